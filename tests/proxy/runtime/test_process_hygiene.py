"""A stopped gateway process leaves no task, timer, thread, descriptor or child process."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import re
import threading
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from proxy.rollout.hub import HubStore, StateHub
from proxy.runtime.process import GatewayProcess
from tests.support import shadowed
from tests.support.gateway_process import get
from tests.support.sockets import serving
from tests.support.waiting import HANG_TIMEOUT
from tests.support.webhook_receiver import WebhookReceiver
from tests.support.worker_processes import children

CONFIG = """
legacy: {{url: 'http://127.0.0.1:{legacy}', breaker: {{failures: 1}}}}
native: tests.support.shadowed:with_dry_runs
mongodb: {{url: '{mongodb}'}}
shadow: {{noise: 0%, max_cpu_wait: 100%}}
health: {{path: /x/same, interval: 100ms}}
notify: {{url: 'http://127.0.0.1:{hook}'}}
routes:
- {{name: all, match: "* /*", native: {share}, shadow: {shadow}, guard: {{}}}}
"""


SHARED = ("asyncio_", "ThreadPoolExecutor-")
"""Threads of asyncio's and the driver's pools, which serve the whole interpreter and grow with use."""

SLEEP = "_set_result_unless_cancelled"
"""The timer of asyncio.sleep, which comes and goes with a task that is counted itself."""


def leftovers() -> Counter[str]:
    """Count each kind of object that outlives its owner; threads of the loop's pool belong to the loop."""
    loop = asyncio.get_running_loop()
    timers = (repr(handle) for handle in getattr(loop, "_scheduled", ()) if not handle.cancelled())
    threads = (thread.name for thread in threading.enumerate())
    counts = Counter(f"task {task.get_coro()!r}" for task in asyncio.all_tasks())
    counts.update(re.sub(r"when=[0-9.]+ |0x[0-9a-f]+|fd=[0-9]+", "", timer) for timer in timers if SLEEP not in timer)
    counts.update(f"thread {name}" for name in threads if not name.startswith(SHARED))
    counts.update(f"child {child}" for child in children(os.getpid()))
    counts["descriptors"] = len(os.listdir("/proc/self/fd"))
    return counts


async def more_than(before: Counter[str]) -> Counter[str]:
    """Return the leftovers beyond `before`, once closing connections had time: what was closing then has gone now."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(HANG_TIMEOUT):
            while leftovers() - before:
                gc.collect()
                await asyncio.sleep(0.1)
    return leftovers() - before


async def quiet(_: GatewayProcess, __: Path, ___: Callable[..., str]) -> None:
    """Stop at once."""


async def active(process: GatewayProcess, file: Path, text: Callable[..., str]) -> None:
    """Send requests and reload the file, some of it unfinished at the end.

    Reloads go in both directions, to another legacy, and to a refused file.
    """
    async with serving(process.gateway) as port:
        await asyncio.gather(*(get(port, "/x/same") for _ in range(20)))
        for content in (text(share="50%"), "nonsense", text(shadow="0%"), text(share="100%", shadow="100%")):
            file.write_text(content)
            await asyncio.sleep(1.3)
            await asyncio.gather(*(get(port, "/x/same") for _ in range(20)))


@pytest.mark.parametrize(
    ("life", "store"),
    [
        pytest.param(quiet, "memory", marks=pytest.mark.slow),
        (quiet, "mongodb"),
        pytest.param(quiet, "hub", marks=pytest.mark.slow),
        (active, "memory"),
        pytest.param(active, "mongodb", marks=pytest.mark.slow),
        pytest.param(active, "hub", marks=pytest.mark.slow),
    ],
)
async def test_stopped_process_leaves_no_thread_task_or_socket(
    tmp_path: Path, mongodb_url: str, life: Callable[..., Awaitable[None]], store: str
) -> None:
    file = tmp_path / "routing.yaml"
    hub = StateHub(tmp_path / "state.sock")
    hub.start()
    receiver = WebhookReceiver(*[200] * 50)
    try:
        async with serving(shadowed.legacy) as legacy, serving(receiver) as hook:

            def text(share: str = "0%", shadow: str = "100%") -> str:
                url = mongodb_url if store == "mongodb" else ""
                return CONFIG.format(legacy=legacy, hook=hook, mongodb=url, share=share, shadow=shadow)

            async def live() -> None:
                file.write_text(text())
                process = GatewayProcess(file, {}, hub=HubStore(tmp_path / "state.sock") if store == "hub" else None)
                async with process.running():
                    await life(process, file, text)

            await live()  # what is made once per interpreter is made now
            await asyncio.sleep(0.5)
            gc.collect()
            before = leftovers()
            await live()
            assert not await more_than(before)
    finally:
        hub.stop()

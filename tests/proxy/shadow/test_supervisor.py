"""`serve` with a shadow process: it follows the file, ends with its worker, and leaves no process."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from proxy.config.loading import parse
from proxy.shadow.load_shedder import CpuTimes, cpu_times
from proxy.shadow.messages import Configure
from proxy.shadow.supervisor import CpuWaits, WorkerSupervisor
from proxy.shadow.timings import ShadowTimings
from tests.support import shadowed
from tests.support.command_line import run_serve, served
from tests.support.gateway_process import get
from tests.support.sockets import serving
from tests.support.waiting import HANG_TIMEOUT, PROMPT_TIMEOUT
from tests.support.waiting import until as until_holds
from tests.support.worker_processes import children, counted, is_running, shadows_of

MATCHES = 'scribe_proxy_comparisons_total{route="all",served="legacy",verdict="match"}'


def config(port: int, share: str = "100%") -> str:
    return f"""
legacy: {{url: http://127.0.0.1:{port}}}
native: tests.support.shadowed:with_dry_runs
mongodb: {{url: ""}}
shadow: {{noise: 0%, max_cpu_wait: 100%}}
routes: [{{name: all, match: "* /*", shadow: {share}}}]
"""


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 120.0) -> None:
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0.2)


async def test_shadow_starts_by_the_file_and_ends_with_its_gateway(tmp_path: Path) -> None:
    file = tmp_path / "routing.yaml"
    async with serving(shadowed.legacy) as port:
        file.write_text(config(port, "0%"))
        async with served(file) as (process, public, ops):

            async def matched() -> bool:
                await get(public, "/x/same")
                return await counted(ops, MATCHES) > 0

            assert children(process.pid) == set()
            file.write_text(config(port))
            await until(matched)
            [shadow] = children(process.pid)
            assert os.getpriority(os.PRIO_PROCESS, shadow) == min(os.getpriority(os.PRIO_PROCESS, process.pid) + 10, 19)
            assert os.sched_getscheduler(shadow) == os.SCHED_BATCH
            process.send_signal(signal.SIGKILL)
            await until_holds(lambda: not is_running(shadow))


@pytest.mark.slow  # tests/proxy/cli/test_serve.py has two workers, and the test above comparisons
async def test_each_worker_has_a_shadow_and_all_end_together(tmp_path: Path) -> None:
    file = tmp_path / "routing.yaml"
    async with serving(shadowed.legacy) as port:
        file.write_text(config(port))
        async with served(file, "--workers", "2") as (process, public, ops):

            async def matched() -> bool:
                await asyncio.gather(*(get(public, "/x/same") for _ in range(8)))
                return await counted(ops, MATCHES) > 0

            await until_holds(lambda: len(shadows_of(process.pid)) == 2)
            await until(matched)
            ending = shadows_of(process.pid)
            assert await counted(ops, "scribe_proxy_config_valid") == 1.0
            started = time.monotonic()
            process.send_signal(signal.SIGTERM)
            await asyncio.wait_for(process.communicate(), HANG_TIMEOUT)
            assert time.monotonic() - started < PROMPT_TIMEOUT
            await until_holds(lambda: not any(map(is_running, ending)))


def test_faulty_contracts_stop_the_start_with_file_and_line(tmp_path: Path) -> None:
    file = tmp_path / "routing.yaml"
    file.write_text(config(1))
    (tmp_path / "contracts").mkdir()
    (tmp_path / "contracts" / "divergences.yaml").write_text("- {id: a}\n")
    code, output = run_serve("--config", file)
    assert code == 1
    assert f"{file}: contracts: {tmp_path}/contracts/divergences.yaml:1: " in output


def test_waits_for_a_cpu_count_since_the_last_message() -> None:
    times = iter([CpuTimes(1.0, 5.0), CpuTimes(1.0, 7.0), CpuTimes(2.0, 8.0), None, CpuTimes(2.0, 8.5)])
    waits = CpuWaits(lambda: next(times))
    assert [waits.since(message) for message in (10.0, 10.0, 11.0, 11.0, 11.0)] == [0.0, 2.0, 0.0, 0.0, 0.5]


@contextlib.contextmanager
def crowded_process() -> Iterator[int]:
    """Run two busy processes on one CPU; yield the pid of one."""
    cpu = min(os.sched_getaffinity(0))
    spin = f"import os; os.sched_setaffinity(0, {{{cpu}}})\nwhile True: pass"
    with contextlib.ExitStack() as running:
        for _ in range(2):
            process = running.enter_context(subprocess.Popen([sys.executable, "-c", spin]))
            running.callback(process.kill)
        yield process.pid


async def test_process_on_a_busy_cpu_waits_for_it() -> None:
    if cpu_times() is None:
        pytest.skip("this system has no schedstat")
    with crowded_process() as pid:
        waits = CpuWaits(lambda: cpu_times(Path(f"/proc/{pid}/schedstat")))
        async with asyncio.timeout(HANG_TIMEOUT):
            await until_holds(lambda: waits.since(1.0) > 0.2)


@pytest.mark.parametrize(("uptime", "delays"), [(math.inf, [1, 2, 4, 8, 8]), (-1.0, [1, 1, 1, 1, 1])])
async def test_delay_of_restarts_doubles_until_a_process_has_run_long(
    uptime: float, delays: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    class Ending(WorkerSupervisor):
        """A supervisor whose processes end at once."""

        async def _run_process(self) -> None: ...

    unit = 1 / 1024
    ending = Ending(lambda _: None, lambda: None, ShadowTimings(retry_delays=(unit, 8 * unit), min_uptime=uptime))
    ending.ensure_running(Configure(parse("legacy: {url: http://x}", {}), Path("nowhere")))
    while len(caplog.records) < len(delays):
        await asyncio.sleep(unit)
    assert (ending.failures >= len(delays)) is (uptime > 0)
    await ending.stop()
    logged = [float(str(next(iter(record.args or ())))) for record in caplog.records]
    assert [delay / unit for delay in logged[: len(delays)]] == delays

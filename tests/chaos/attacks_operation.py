"""Faults of operation: a stalled routing.yaml, killed workers, a hung legacy, ops pages under attack."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from typing import Final

from tests.chaos.attackers import attacking
from tests.chaos.figures import Attack, Figures, Setup
from tests.chaos.flooding_client import flood_legacy, flood_ops_pages
from tests.chaos.target import Target
from tests.chaos.traffic import NATIVE_REQUESTS

ATTACK_S: Final = 6.0
RELOAD_TIMEOUT_S: Final = 30.0


async def stall_configuration(target: Target) -> Figures:
    """Replace routing.yaml by a FIFO that nobody writes, then by a valid file, which must come into force."""
    text = target.file.read_text()
    async with target.traffic() as others:
        fifo = target.file.with_name("fifo")
        os.mkfifo(fifo)
        fifo.replace(target.file)
        await asyncio.sleep(ATTACK_S)
        whole = target.file.with_name("whole")
        whole.write_text(text.replace("name: prompts", "name: prompts.new"))
        whole.replace(target.file)
        began = time.monotonic()
        while "prompts.new" not in str(await target.page("/status.json")):
            if time.monotonic() > began + RELOAD_TIMEOUT_S:
                break
            await asyncio.sleep(0.1)
        elapsed = time.monotonic() - began
        figures = await others.figures()
    return {**figures, "reloaded after, s": elapsed, "failed: reload": int(elapsed > RELOAD_TIMEOUT_S)}


async def kill_workers(target: Target) -> Figures:
    """Kill one worker after another under load; requests on its connections fail, later ones do not."""
    async with target.traffic() as others:
        killed = 0
        deadline = time.monotonic() + ATTACK_S
        while time.monotonic() < deadline:
            workers = [pid for pid in target.pids() if pid != target.process.pid]
            if workers:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(workers[killed % len(workers)], signal.SIGKILL)
                killed += 1
            await asyncio.sleep(2.0)
        during = await others.figures()
        await asyncio.sleep(3.0)
        await others.end_quiet()
        await asyncio.sleep(3.0)
        after = await others.figures()
    failed = float(during["errors of others"])
    return {
        "workers killed": killed,
        "requests lost with their worker": failed,
        "requests of others": during["requests of others"],
        "failed: requests after the last kill": float(after["errors of others"]) - failed,
    }


async def flood_hung_legacy(target: Target) -> Figures:
    """Send 500 requests a second to a legacy that never answers; native's other clients do not notice."""
    async with target.traffic(NATIVE_REQUESTS) as others, attacking(flood_legacy, target.port, 500) as attackers:
        await asyncio.sleep(ATTACK_S)
        return {
            **await others.figures(),
            **await attackers.command("figures"),
            "RSS, MiB": target.peak_rss(),
        }


async def attack_ops_pages(target: Target) -> Figures:
    """Flood the ops port with wrong tokens, wrong hosts and stalled heads, beside other clients on the public one."""
    async with target.traffic() as others, attacking(flood_ops_pages, target.ops) as attackers:
        await asyncio.sleep(ATTACK_S)
        began = time.monotonic()
        health = (await target.client.get(f"http://127.0.0.1:{target.ops}/healthz")).status_code
        page = time.monotonic() - began
        return {
            **await others.figures(),
            "slowest page, s": page,
            "failed: health check": int(health != 200),
            **await attackers.command("figures"),
        }


ATTACKS: Final = [
    Attack("routing.yaml is a FIFO", stall_configuration),
    Attack("workers killed under load", kill_workers, Setup(options=("--workers", "2"))),
    Attack("legacy hangs at 500/s", flood_hung_legacy, Setup(hung=True)),
    Attack("ops pages under attack", attack_ops_pages),
]

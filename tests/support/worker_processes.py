"""Processes that `serve` starts, and samples of their metrics."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from tests.support.gateway_process import get

START_TIMEOUT: Final = 300.0
"""Seconds in which several processes start, one after the other, on a busy machine."""


def workers_of(pid: int) -> set[int]:
    """Return the worker processes of a supervisor, without multiprocessing's resource tracker."""
    return {child for child in children(pid) if "spawn_main" in Path(f"/proc/{child}/cmdline").read_text()}


def shadows_of(pid: int) -> set[int]:
    """Return the shadow processes of a supervisor's workers."""
    started = {child for worker in workers_of(pid) for child in children(worker)}
    return {child for child in started if "proxy.shadow.worker" in Path(f"/proc/{child}/cmdline").read_text()}


def signals_of(pid: int, kind: str) -> set[int]:
    """Return the signals that a process ignores (`SigIgn`) or catches (`SigCgt`) (Linux)."""
    (line,) = [each for each in Path(f"/proc/{pid}/status").read_text().splitlines() if each.startswith(f"{kind}:")]
    mask = int(line.split()[1], 16)
    return {number for number in range(1, 65) if mask >> (number - 1) & 1}


async def until_answered(condition: Callable[[], Awaitable[bool]], seconds: float = START_TIMEOUT) -> None:
    """Wait until the condition holds; while no worker answers, try again."""
    async with asyncio.timeout(seconds):
        while True:
            with contextlib.suppress(OSError, TimeoutError, IndexError):
                if await condition():
                    return
            await asyncio.sleep(0.1)


def children(pid: int) -> set[int]:
    """Return the processes that a process has started, without those that have ended (Linux)."""
    pids = set[int]()
    for listed in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):  # a thread that ends
            pids |= {int(child) for child in listed.read_text().split()}
    return {child for child in pids if is_running(child)}


def is_running(pid: int) -> bool:
    """Return whether a process exists and has not ended (Linux)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def counted(ops: int, sample: str) -> float:
    for line in (await get(ops, "/metrics"))[1].decode().splitlines():
        if line.startswith(sample):
            return float(line.split()[-1])
    return 0.0

"""Metrics of a process, sampled once a second: requests and WebSockets in flight, memory, CPU time.

Sampling has no cost per request, and stays correct when workers start and end.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from proxy.observability import metrics, request_metrics
from proxy.periodic import tick

INTERVAL: Final = 1.0
_PAGE_SIZE: Final = os.sysconf("SC_PAGE_SIZE")
_LIVE: Final = re.compile(r"gauge_live.*_(\d+)\.db")


class ProcessMetrics:
    """Sampler of this process's memory, CPU time and load.

    `under_way` returns the number of HTTP requests and of WebSockets in flight, and the bytes buffered for clients.
    """

    def __init__(self, under_way: Callable[[], tuple[int, int, int]]) -> None:
        self._under_way = under_way
        self._cpu = 0.0

    async def run(self) -> None:
        """Sample once a second until cancelled."""
        while True:
            self.sample()
            await tick(INTERVAL)

    def sample(self) -> None:
        """Update all metrics once."""
        request_metrics.flush()
        requests, websockets, buffered = self._under_way()
        metrics.IN_FLIGHT.labels("http").set(requests)
        metrics.IN_FLIGHT.labels("websocket").set(websockets)
        metrics.BUFFERED.set(buffered)
        cpu = time.process_time()
        metrics.CPU.inc(cpu - self._cpu)
        self._cpu = cpu
        if (memory := resident_memory()) is not None:
            metrics.MEMORY.set(memory)


def resident_memory(pid: int | None = None) -> int | None:
    """Return the resident memory in bytes of a process, by default this one; None if it is unknown (proc(5))."""
    try:
        with open(f"/proc/{'self' if pid is None else pid}/statm", "rb", buffering=0) as file:
            return int(file.read().split()[1]) * _PAGE_SIZE
    except (OSError, ValueError, IndexError):
        return None


def remove_dead_workers(directory: Path) -> None:
    """Remove the gauge files of workers that have ended."""
    for file in directory.glob("gauge_live*.db"):
        match = _LIVE.fullmatch(file.name)
        if match is not None and not _lives(int(match[1])):
            file.unlink(missing_ok=True)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True

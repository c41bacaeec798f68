"""Metrics of a process, sampled once a second: requests and WebSockets in flight, memory, CPU time.

Sampling costs requests nothing and stays correct when workers start and end.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

from prometheus_client import ProcessCollector

from proxy.observability import metrics, request_metrics

INTERVAL: Final = 1.0
_LIVE: Final = re.compile(r"gauge_live.*_(\d+)\.db")


class ProcessMetrics:
    """Sampler of this process's memory, CPU time and load.

    `under_way` returns the number of HTTP requests and of WebSockets in flight, and the bytes buffered for clients.
    """

    def __init__(self, under_way: Callable[[], tuple[int, int, int]]) -> None:
        self._under_way = under_way
        self._process = ProcessCollector(registry=None)
        self._cpu = 0.0

    async def run(self) -> None:
        """Sample once a second until cancelled."""
        while True:
            self.sample()
            await asyncio.sleep(INTERVAL)

    def sample(self) -> None:
        """Update all metrics once."""
        request_metrics.flush()
        requests, websockets, buffered = self._under_way()
        metrics.IN_FLIGHT.labels("http").set(requests)
        metrics.IN_FLIGHT.labels("websocket").set(websockets)
        metrics.BUFFERED.set(buffered)
        values = {sample.name: sample.value for family in self._process.collect() for sample in family.samples}
        if values:  # empty where there is no /proc
            metrics.MEMORY.set(values["process_resident_memory_bytes"])
            metrics.CPU.inc(values["process_cpu_seconds_total"] - self._cpu)
            self._cpu = values["process_cpu_seconds_total"]


def forget_the_dead(directory: Path) -> None:
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

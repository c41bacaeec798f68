"""Load shedding: the share of requests that may run in the shadow, derived from the CPU contention of this process.

Contention has two signs. A gateway thread that is ready to run but waits for a CPU shares it with other processes, such
as the shadow process, which finishes its time slice despite its low priority. A gateway that is rarely idle has no
spare capacity either, even if it never waits, because two CPUs may be hyper-threads of one core. A check that detects
contention halves the share; any other check adds `STEP` (additive increase, multiplicative decrease).

Shedding is fair: every route gets at least one request in every second in which it has any. Beyond that the share
applies to each route separately, so that a busy route does not displace a rare one.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

INTERVAL: Final = 0.1
"""Seconds between two updates."""
IDLE_INTERVAL: Final = 1.0
"""Seconds between two updates while no request is mirrored."""
MIN_SHARE: Final = 0.02
"""The share of requests that is always admitted."""
STEP: Final = 0.02
"""The increase of the share at an update without contention."""
MIN_IDLE: Final = 0.25
"""Minimum idle share of the time of a gateway with spare capacity."""

MAX_FLOORS: Final = 50
"""Maximum number of requests per second admitted by floors; routes never compared before are exempt."""

_SCHEDSTAT: Final = Path("/proc/self/schedstat")


class CpuTimes(NamedTuple):
    """Seconds for which the main thread ran, and for which it was runnable but waited for a CPU."""

    ran: float
    waited: float


def cpu_times(file: Path = _SCHEDSTAT) -> CpuTimes | None:
    """Return the times since the process started (proc(5), Linux only); None elsewhere."""
    try:
        ran, waited, _ = map(int, file.read_bytes().split())
    except (OSError, ValueError):
        return None
    return CpuTimes(ran / 1e9, waited / 1e9)


class CpuLoadShedder:
    """Admits `share` (0 to 1) of each route's requests; the share is 1 without contention."""

    def __init__(self, read_times: Callable[[], CpuTimes | None] = cpu_times) -> None:
        self.share = 1.0
        self._read_times = read_times
        self._last: tuple[float, CpuTimes] | None = None
        self._credits: dict[str, float] = {}

    def update(self, now: float, limit: float) -> None:
        """Adapt the share to the time since the last update; `now` is in seconds.

        `limit` is the share of that time for which the thread may wait for a CPU; 1 disables shedding.
        """
        times = self._read_times()
        last, self._last = self._last, (now, times) if times else None
        if times is None or last is None:
            return
        since, before = now - last[0], last[1]
        waited, ran = times.waited - before.waited, times.ran - before.ran
        if limit < 1 and (waited > limit * since or ran + waited > (1 - MIN_IDLE) * since):
            self.share = max(MIN_SHARE, self.share / 2)
        else:
            self.share = min(1.0, self.share + STEP)

    def admits(self, route: str) -> bool:
        """Return True if a route's next request is admitted; the admitted `share` is evenly spread."""
        credit = self._credits.get(route, 0.0) + self.share
        admitted = credit >= 1.0
        self._credits[route] = credit - 1.0 if admitted else credit
        return admitted


class RouteFloors:
    """Admits a route's first request of every second; routes never compared before take precedence.

    `limit`: maximum number of such requests per second of the other routes.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, limit: int = MAX_FLOORS) -> None:
        self._clock, self._limit = clock, limit
        self._admitted_in: dict[str, int] = {}
        self._compared: set[str] = set()
        self._second, self._remaining = 0, limit

    def is_due(self, route: str) -> bool:
        """Return True if a route had no admitted request in this second, within the limit on floors."""
        second = int(self._clock())
        if self._admitted_in.get(route) == second:
            return False
        if route not in self._compared:
            return True
        if self._second != second:
            self._second, self._remaining = second, self._limit
        self._remaining -= 1
        return self._remaining >= 0

    def admitted(self, route: str) -> None:
        """Record that a request of a route was admitted."""
        self._admitted_in[route] = int(self._clock())

    def compared(self, route: str) -> None:
        """Record that a request of a route was compared."""
        self._compared.add(route)

"""Load shedding: the share of requests that may run in the shadow, derived from the CPU contention of this process.

Two conditions show contention. A gateway that is ready to run but waits for a processor shares it with other
processes, the shadow process among them: a low priority still lets that one finish its time slice. A gateway that
rarely idles has no spare capacity either, although it never waits: two processors may be hyper-threads of one core.
Each check that finds contention halves the share, each other one adds `STEP` (additive increase, multiplicative
decrease).

Shedding is fair: every route has a floor of one request each `FLOOR_INTERVAL`, whatever the share; beyond it, the share
applies to each route by itself, so that a route with much traffic takes nothing from a rare one.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from math import inf
from pathlib import Path
from typing import Final, NamedTuple

INTERVAL: Final = 0.1
"""Seconds between two updates."""
IDLE_INTERVAL: Final = 1.0
"""The same where no route has a shadow."""
MIN_SHARE: Final = 0.02
"""The share of requests that is always admitted."""
STEP: Final = 0.02
"""The increase of the share at an update without contention."""
MIN_IDLE: Final = 0.25
"""The share of its time that a gateway with spare capacity idles."""

FLOOR_INTERVAL: Final = 1.0
"""Seconds after which a route with traffic is due for a comparison."""
MAX_FLOORS: Final = 50
"""Maximum number of requests a second that floors admit; routes that were never compared are not limited."""

_SCHEDSTAT: Final = Path("/proc/self/schedstat")


class CpuTimes(NamedTuple):
    """Seconds that the main thread has run, and that it was ready to run and waited for a processor."""

    ran: float
    waited: float


def cpu_times() -> CpuTimes | None:
    """Return the times since the process started (proc(5), Linux only); None elsewhere."""
    try:
        ran, waited, _ = map(int, _SCHEDSTAT.read_bytes().split())
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

        `limit` is the share of that time for which the thread may wait for a processor; 1 switches shedding off.
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
        """Return whether a route's next request is admitted: `share` of them are, evenly spread."""
        credit = self._credits.get(route, 0.0) + self.share
        admitted = credit >= 1.0
        self._credits[route] = credit - 1.0 if admitted else credit
        return admitted


class RouteFloors:
    """Gives every route with traffic a request each `FLOOR_INTERVAL`, first to those that were never compared."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._admitted_at: dict[str, float] = {}
        self._compared: set[str] = set()
        self._second, self._remaining = 0, MAX_FLOORS

    def is_due(self, route: str) -> bool:
        """Return whether a route has had no admitted request for `FLOOR_INTERVAL`, within the limit on floors."""
        now = self._clock()
        if now - self._admitted_at.get(route, -inf) < FLOOR_INTERVAL:
            return False
        if route not in self._compared:
            return True
        if self._second != int(now):
            self._second, self._remaining = int(now), MAX_FLOORS
        self._remaining -= 1
        return self._remaining >= 0

    def admitted(self, route: str) -> None:
        """Record that a request of a route was admitted."""
        self._admitted_at[route] = self._clock()

    def compared(self, route: str) -> None:
        """Record that a request of a route was compared."""
        self._compared.add(route)

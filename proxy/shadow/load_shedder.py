"""How much of the shadow there is room for on this machine, told by what this process gets of a processor.

A gateway that is ready to run and has to wait shares its processors with others, of which the shadow process is the
first to blame: a low priority lets it finish its turn. One that hardly ever rests has nothing to spare either: what
runs beside it makes it slower, though nothing shows but that (two processors may be one core). In both cases fewer
requests run in the shadow: half as many each time a look finds it so, some more each time it does not (additive
increase, multiplicative decrease).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

INTERVAL: Final = 0.1
"""Seconds between two looks."""
LEAST: Final = 0.02
"""The share of requests that is let in whatever the machine is doing."""
STEP: Final = 0.02
RESTING: Final = 0.25
"""The share of its time that a gateway rests which has something to spare."""

_SCHEDSTAT: Final = Path("/proc/self/schedstat")


class Times(NamedTuple):
    """Seconds that the main thread has run, and that it was ready to run and did not."""

    ran: float
    waited: float


def times() -> Times | None:
    """So far: proc(5), Linux alone; None elsewhere."""
    try:
        ran, waited, _ = map(int, _SCHEDSTAT.read_bytes().split())
    except (OSError, ValueError):
        return None
    return Times(ran / 1e9, waited / 1e9)


class CpuLoadShedder:
    """`share` is the part of all requests that is let in, 1 until there is pressure."""

    def __init__(self, times: Callable[[], Times | None] = times) -> None:
        self.share = 1.0
        self._times = times
        self._last: tuple[float, Times] | None = None
        self._credit = 0.0

    def look(self, now: float, limit: float) -> None:
        """Go by what happened since the last look; `limit` is the share of the time that may have been waited, and 1
        lets everything in."""
        found = self._times()
        last, self._last = self._last, (now, found) if found else None
        if found is None or last is None:
            return
        since, before = now - last[0], last[1]
        waited, ran = found.waited - before.waited, found.ran - before.ran
        if limit < 1 and (waited > limit * since or ran + waited > (1 - RESTING) * since):
            self.share = max(LEAST, self.share / 2)
        else:
            self.share = min(1.0, self.share + STEP)

    def admits(self) -> bool:
        """Whether the next request is let in: `share` of them, evenly spread."""
        self._credit += self.share
        if self._credit < 1.0:
            return False
        self._credit -= 1.0
        return True

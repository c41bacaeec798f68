"""The time that replicas agree on."""

from __future__ import annotations

import time
from collections.abc import Callable


class Clock:
    """Seconds since the epoch: as last told by others, carried on by a clock that nobody sets.

    A wall clock that jumps moves nothing here: it is read once, and counts only until somebody else's time is known.
    """

    def __init__(self, wall: Callable[[], float] = time.time, steady: Callable[[], float] = time.monotonic) -> None:
        self._steady = steady
        self._ahead = wall() - steady()

    def now(self) -> float:
        return self._steady() + self._ahead

    def set(self, now: float) -> None:
        """It is now `now`, by the clock that counts."""
        self._ahead = now - self._steady()

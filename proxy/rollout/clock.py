"""The clock that replicas share."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple


class ClockJump(NamedTuple):
    """Seconds by which the store's clock has deviated from a monotonic one, with readings at most `within` s apart."""

    seconds: float = 0.0
    within: float = 0.0


class Clock:
    """Seconds since the epoch: the store's time, advanced by a monotonic clock.

    The wall clock is read once, and used only until the store's time is known.
    """

    def __init__(self, wall: Callable[[], float] = time.time, steady: Callable[[], float] = time.monotonic) -> None:
        self._steady = steady
        self._offset = wall() - steady()
        self._known = False  # the store's time
        self._read_at = steady()
        self._jump = ClockJump()

    def now(self) -> float:
        return self._steady() + self._offset

    def set(self, now: float) -> None:
        """Set the time to the store's, `now`."""
        before, self._read_at = self._read_at, self._steady()
        if self._known:
            jump = self._jump
            self._jump = ClockJump(jump.seconds + now - self.now(), max(jump.within, self._read_at - before))
        self._offset = now - self._read_at
        self._known = True

    def take_jump(self) -> ClockJump:
        """Return the jump of the store's clock since the last call."""
        jump, self._jump = self._jump, ClockJump()
        return jump

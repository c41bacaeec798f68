"""The clock that replicas share."""

from __future__ import annotations

import time
from collections.abc import Callable


class Clock:
    """Seconds since the epoch: the store's time, advanced by a monotonic clock.

    The wall clock is read once, and used only until the store's time is known; its jumps have no effect.
    """

    def __init__(self, wall: Callable[[], float] = time.time, steady: Callable[[], float] = time.monotonic) -> None:
        self._steady = steady
        self._offset = wall() - steady()
        self._known = False  # the store's time
        self._jump = 0.0

    def now(self) -> float:
        return self._steady() + self._offset

    def set(self, now: float) -> None:
        """Set the time to the store's, `now`."""
        if self._known:
            self._jump += now - self.now()
        self._offset = now - self._steady()
        self._known = True

    def take_jump(self) -> float:
        """Return the seconds by which the store's clock has jumped since the last call."""
        jump, self._jump = self._jump, 0.0
        return jump

"""The minimum rate of a client's progress."""

from __future__ import annotations


class MinimumRate:
    """Deadline by which a client must have transferred more bytes.

    A client may fall behind `rate` (bytes per second) by at most `grace` seconds. Being ahead extends this by no more.
    Times are the event loop's.
    """

    __slots__ = ("_grace", "_rate", "deadline")

    def __init__(self, rate: float, grace: float, now: float) -> None:
        self._rate, self._grace = rate, grace
        self.deadline = now + grace

    def add(self, size: int, now: float) -> None:
        """Record `size` transferred bytes."""
        self.deadline = min(now + self._grace, max(self.deadline, now) + size / self._rate)

    def restart(self, now: float) -> None:
        """Restore the full grace after a wait that the client did not cause."""
        self.deadline = now + self._grace

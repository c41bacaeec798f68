"""A timeout that is extended as long as there is progress."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from common.late_timeout import LateTimer


class ProgressTimeout:
    """Calls `expired` once `progress` has not grown for `seconds`, counted from `start`.

    The time starts again, once, if this process was stopped or starved when it ended: a peer's bytes wait unread.
    """

    __slots__ = ("_expired", "_progress", "_seconds", "_timer")

    def __init__(self, seconds: float, progress: Callable[[], int], expired: Callable[[], None]) -> None:
        self._seconds, self._progress, self._expired = seconds, progress, expired
        self._timer: LateTimer | None = None

    def start(self) -> None:
        """Start, or restart, from the present progress. Must be called in the event loop."""
        self.cancel()
        self._wait(self._progress())

    def cancel(self) -> None:
        """Stop, without expiring."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wait(self, progress: int) -> None:
        self._timer = LateTimer(self._seconds, partial(self._check, progress))

    def _check(self, before: int) -> None:
        self._timer = None
        progress = self._progress()
        if progress > before:
            self._wait(progress)
        else:
            self._expired()

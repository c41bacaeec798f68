"""A timeout that is extended as long as there is progress."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class ProgressTimeout:
    """Calls `expired` once `progress` has not grown for `seconds`, counted from `start`."""

    __slots__ = ("_expired", "_loop", "_progress", "_seconds", "_timer")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        seconds: float,
        progress: Callable[[], int],
        expired: Callable[[], None],
    ) -> None:
        self._loop, self._seconds = loop, seconds
        self._progress, self._expired = progress, expired
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Start, or restart, from the present progress."""
        self.cancel()
        self._wait(self._progress())

    def cancel(self) -> None:
        """Stop, without expiring."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wait(self, progress: int) -> None:
        self._timer = self._loop.call_later(self._seconds, self._check, progress)

    def _check(self, before: int) -> None:
        self._timer = None
        progress = self._progress()
        if progress > before:
            self._wait(progress)
        else:
            self._expired()

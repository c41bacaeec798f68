"""Timeouts that do not blame a peer for the time in which this process was stopped or starved."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Final

MAX_LATENESS: Final = 0.25
"""Seconds by which a timer of a busy event loop may be late."""


class LateTimer:
    """A timer that calls `expired` after `seconds`; it starts again, once, if it fires more than `max_lateness` s late.

    A stopped process runs its timers before it reads what has arrived meanwhile. `was_late`: it has started again.
    """

    __slots__ = ("_due", "_expired", "_handle", "_loop", "_max_lateness", "_seconds", "was_late")

    def __init__(self, seconds: float, expired: Callable[[], None], max_lateness: float = MAX_LATENESS) -> None:
        self._seconds, self._expired, self._max_lateness = seconds, expired, max_lateness
        self._loop = asyncio.get_running_loop()
        self.was_late = False
        self._start()

    def cancel(self) -> None:
        """Stop, without expiring."""
        self._handle.cancel()

    def _start(self) -> None:
        self._due = self._loop.time() + self._seconds
        self._handle = self._loop.call_at(self._due, self._fire)

    def _fire(self) -> None:
        if not self.was_late and self._loop.time() > self._due + self._max_lateness:
            self.was_late = True
            self._start()
        else:
            self._expired()


class LateTimeout:
    """A timeout with a `LateTimer`. Raises TimeoutError like `asyncio.timeout`. `was_late`: it has started again."""

    __slots__ = ("_limit", "_timer")

    def __init__(self, seconds: float, max_lateness: float = MAX_LATENESS) -> None:
        self._limit = asyncio.timeout(None)
        self._timer = LateTimer(seconds, self._expire, max_lateness)

    @property
    def was_late(self) -> bool:
        return self._timer.was_late

    async def __aenter__(self) -> asyncio.Timeout:
        """Begin; return the timeout, which may be rescheduled to end earlier."""
        return await self._limit.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End. Raises TimeoutError if the time is over."""
        self._timer.cancel()
        await self._limit.__aexit__(kind, error, trace)

    def _expire(self) -> None:
        if self._limit.when() is None:
            self._limit.reschedule(asyncio.get_running_loop().time())

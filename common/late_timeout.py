"""Timeouts that do not blame a peer for the time in which this process was stopped or starved."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Final

MAX_LATENESS: Final = 0.25
"""Seconds by which a timer of a busy event loop may be late."""


class LateTimeout:
    """A timeout that starts again, once, if its timer fires more than `max_lateness` seconds late.

    A stopped process runs its timers before it reads what has arrived meanwhile. Raises TimeoutError like
    `asyncio.timeout`. `was_late`: it has started again.
    """

    __slots__ = ("_due", "_limit", "_loop", "_max_lateness", "_seconds", "_timer", "was_late")

    def __init__(self, seconds: float, max_lateness: float = MAX_LATENESS) -> None:
        self._seconds, self._max_lateness = seconds, max_lateness
        self._loop = asyncio.get_running_loop()
        self._limit = asyncio.timeout(None)
        self._due = self._loop.time() + seconds
        self._timer = self._loop.call_at(self._due, self._expire)
        self.was_late = False

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
        now = self._loop.time()
        self.was_late = now > self._due + self._max_lateness
        if self._limit.when() is None:
            self._limit.reschedule(now + self._seconds if self.was_late else now)

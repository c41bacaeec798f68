"""A movable timer that is cheap to set again for every request of a connection."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from proxy.read_flow import call_soon_after_arrivals


class Deadline:
    """Calls `expired` once the time set last has passed.

    Bytes that have arrived by then are read first, and may move the deadline: those of a client that was in time wait
    unread while the process is stopped or starved.

    A running timer is left running when the deadline moves later, and checks the deadline when it fires, so a busy
    connection creates no timers.
    """

    __slots__ = ("_at", "_expired", "_handle", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop, expired: Callable[[], None]) -> None:
        self._loop, self._expired = loop, expired
        self._at: float | None = None
        self._handle: asyncio.TimerHandle | None = None

    @property
    def is_set(self) -> bool:
        return self._at is not None

    def set(self, seconds: float) -> None:
        """Expire in `seconds`, instead of at the time set before."""
        self._at = self._loop.time() + seconds
        if self._handle is None or self._handle.when() > self._at:
            self._start(seconds)

    def clear(self) -> None:
        """Do not expire until set again."""
        self._at = None

    def close(self) -> None:
        """Stop the timer."""
        self._at = None
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _start(self, seconds: float) -> None:
        if self._handle is not None:
            self._handle.cancel()
        self._handle = self._loop.call_later(seconds, self._fire)

    def _fire(self) -> None:
        self._handle = None
        if self._at is None:
            return
        left = self._at - self._loop.time()
        if left > 0:
            self._start(left)
        else:
            call_soon_after_arrivals(self._loop, self._expire)

    def _expire(self) -> None:
        """Expire, unless the deadline was moved."""
        if self._at is None or self._handle is not None:
            return
        self._at = None
        self._expired()

"""Wake those that wait for the progress of an exchange."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class ProgressSignal:
    """The next progress of an exchange: for one caller that waits, or for `receiver`, and for its request's body."""

    __slots__ = ("_first", "_loop", "_next", "receiver")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._next: asyncio.Future[None] | None = None
        self._first: asyncio.Future[None] | None = None
        self.receiver: Callable[[], None] | None = None
        """Called once at the next progress, instead of waking the waiting callers."""

    async def wait(self) -> None:
        """Return at the next progress."""
        self._next = self._loop.create_future()
        try:
            await self._next
        finally:
            self._next = None

    async def wait_before_body(self, seconds: float) -> None:
        """Return at the next progress, or after `seconds`. For the body, which another task sends."""
        self._first = self._loop.create_future()
        await asyncio.wait((self._first,), timeout=seconds)

    def wake(self) -> None:
        """Report progress."""
        receiver, self.receiver = self.receiver, None
        if receiver is not None:
            receiver()
            return
        for waiter in (self._next, self._first):
            if waiter is not None and not waiter.done():
                waiter.set_result(None)

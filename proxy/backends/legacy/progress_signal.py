"""Wake the callers that wait for the progress of an exchange."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class ProgressSignal:
    """A signal of an exchange's progress, for one waiting caller or `receiver`, and for the sender of the body."""

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
        """Return at the next progress, or after `seconds`. Used by the task that sends the body."""
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

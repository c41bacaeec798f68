"""Wait for the beginning of a request's body before legacy is connected.

head ──▶ first part within `delay`? ── yes ─▶ connect, send head and part
                                   └─ no ──▶ few others wait like this? ── yes ─▶ connect, send the head alone
                                                                         └─ no ──▶ wait on
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.types import Message, Receive


class ClientGone(Exception):
    """Raised where the client has disconnected, so that no answer can be delivered."""


class EarlyHeads:
    """The requests that legacy has got without the beginning of their body, at most `limit` at once.

    Clients that announce bodies and send none would otherwise hold the connections that others need.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.used = 0

    @asynccontextmanager
    async def body_of(self, receive: Receive, delay: float) -> AsyncIterator[Receive]:
        """Wait until the body has begun or the head may be sent; give a `receive` of all of it. Raises `ClientGone`."""
        first = await _receive_within(receive, delay)
        if first is None and self.used >= self._limit:
            first = await receive()
        if first is not None:
            if first["type"] == "http.disconnect":
                raise ClientGone
            yield _beginning_with(first, receive)
            return
        self.used += 1
        try:
            yield receive
        finally:
            self.used -= 1


async def _receive_within(receive: Receive, seconds: float) -> Message | None:
    try:
        async with asyncio.timeout(seconds):
            return await receive()
    except TimeoutError:
        return None


def _beginning_with(first: Message, receive: Receive) -> Receive:
    messages = [first]

    async def receive_all() -> Message:
        return messages.pop() if messages else await receive()

    return receive_all

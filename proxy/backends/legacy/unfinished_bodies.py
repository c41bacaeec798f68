"""Bound the connections to legacy whose requests have an unfinished body.

first part within `delay` ─▶ whole? ── yes ─▶ connect, send all
                               └─ no ──▶ a free slot? ── yes ─▶ connect, send what comes
                                              └─ no ──▶ buffer, until the body is whole or a slot is free

Without this limit, clients whose bodies stall would occupy the connections that others need. A body is charged to the
memory budget from its wait for a slot until its last buffered part is forwarded.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final

from starlette.types import Message, Receive

from proxy.gateway.client_connection import ClientConnection
from proxy.gateway.errors import Overloaded

BUFFER: Final = 32 * 1024
"""Buffered bytes of a body at which a request without a slot stops reading."""


class ClientGone(Exception):
    """Raised if the client has disconnected, so that no answer can be delivered."""


class UnfinishedBodies:
    """The slots of requests that legacy has received without the end of their body.

    There are `limit` slots, at most `per_client` for each client; a client without a key (None) has only the former.
    """

    def __init__(self, limit: int, per_client: int) -> None:
        self._limit, self._per_client = max(limit, 1), max(per_client, 1)
        self._clients: Counter[str | None] = Counter()
        self._waiting: dict[asyncio.Future[None], str | None] = {}

    @property
    def used(self) -> int:
        """Number of slots in use."""
        return self._clients.total()

    @asynccontextmanager
    async def body_of(
        self,
        receive: Receive,
        client: str | None,
        connection: ClientConnection | None = None,
        *,
        delay: float,
        timeout: float,
    ) -> AsyncIterator[Receive]:
        """Wait until the request may be sent to legacy; yield a `receive` of its whole body.

        `connection`: the client's, if it has a memory budget. `delay`: seconds to wait for the first part; 0 if the
        client may wait for a 100 Continue. `timeout`: seconds to wait for a slot while nothing is read. Raises
        `ClientGone`, or `Overloaded` without a slot.
        """
        body = BufferedBody(receive, connection)
        if delay:
            await body.read_first(delay)
        if not body.whole and await self._take_slot(body if delay else None, client, timeout):
            body.on_end = lambda: self._release(client)
        try:
            yield body.receive
        finally:
            body.end()

    async def _take_slot(self, body: BufferedBody | None, client: str | None, timeout: float) -> bool:
        """Return True with a slot; return False if the body, which is read meanwhile, is complete first."""
        if self._has_slot(client):
            self._clients[client] += 1
            return True
        granted = self._waiting_future(client)
        try:
            if body is not None:
                await body.read_until(granted)
            if body is None or not body.whole:
                async with asyncio.timeout(timeout):
                    await granted
        except BaseException as error:
            if granted.done() and not granted.cancelled():
                self._release(client)
            if isinstance(error, TimeoutError):
                raise Overloaded("max_connections") from None
            raise
        finally:
            self._waiting.pop(granted, None)
        return granted.done()

    def _waiting_future(self, client: str | None) -> asyncio.Future[None]:
        """Return a future that is done once the client has a slot."""
        granted = asyncio.get_running_loop().create_future()
        self._waiting[granted] = client
        return granted

    def _has_slot(self, client: str | None) -> bool:
        return self.used < self._limit and (client is None or self._clients[client] < self._per_client)

    def _release(self, client: str | None) -> None:
        """Release a slot, to the first request that may have it."""
        self._clients[client] -= 1
        if not self._clients[client]:
            del self._clients[client]
        for granted, waiting in self._waiting.items():
            if not granted.done() and self._has_slot(waiting):
                self._clients[waiting] += 1
                granted.set_result(None)
                return


class BufferedBody:
    """A body whose beginning is read before it is forwarded. `on_end` is called once, at its end.

    From `read_until` on, until all that was read is forwarded, the body is charged to the client's `connection`.
    """

    on_end: Callable[[], None] | None = None
    _is_charged = False

    def __init__(self, receive: Receive, connection: ClientConnection | None = None) -> None:
        self._receive, self._connection = receive, connection
        self._read: deque[Message] = deque()
        self._size = 0
        self.whole = False

    async def read_first(self, seconds: float) -> None:
        """Read the first part, unless it takes too long. Raises `ClientGone`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._read_part()

    async def read_until(self, stop: asyncio.Future[None]) -> None:
        """Read until all has been read, the buffer is full, or `stop` is done. Raises `ClientGone`."""
        if self._connection is not None:
            self._is_charged = True
            self._connection.retain_body(self._size)
        now = asyncio.get_running_loop().time
        with suppress(TimeoutError):
            async with asyncio.timeout(None) as limit:

                def end(_: asyncio.Future[None]) -> None:
                    limit.reschedule(now())

                stop.add_done_callback(end)
                try:
                    while not (self.whole or self._size > BUFFER or stop.done()):
                        await self._read_part()
                finally:
                    stop.remove_done_callback(end)

    async def _read_part(self) -> None:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        self._read.append(message)
        self._size += len(message.get("body", b""))
        self.whole = not message.get("more_body", False)

    async def receive(self) -> Message:
        """Return the next part: what was read, then what follows. ASGI `receive`."""
        message = self._read.popleft() if self._read else await self._receive()
        if self._is_charged and self._connection is not None and not self._read:
            self._is_charged = False
            self._connection.release_body()
        if not message.get("more_body", False):
            self.end()
        return message

    def end(self) -> None:
        """Report the end of the body, or of the request."""
        on_end, self.on_end = self.on_end, None
        if on_end is not None:
            on_end()

"""One HTTP/1.1 connection to the legacy.

Written on asyncio's transport because no client library shows what a faithful proxy needs to know: whether any byte of
an answer has come (a retry is safe or not), 100 Continue as it arrives, header bytes as they stand, and an answer that
comes while the request is still being sent.
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import Callable
from typing import cast

from proxy.backends.legacy.framing import MalformedResponse, RecurringHeads, ResponseReader
from proxy.gateway.errors import BadAnswer, Failure, Reset
from proxy.types import HeaderFields

HIGH_WATER = 256 * 1024
"""Bytes of a response's body held for a slow client before reading from the legacy pauses."""
DEFAULT_IDLE_TIMEOUT = 15.0
"""Seconds a connection may be idle when the legacy names no `Keep-Alive: timeout`."""
IDLE_MARGIN = 1.0
"""Seconds before the legacy's own limit at which an idle connection is no longer used."""


class Connection(asyncio.Protocol):
    """Carries one exchange at a time: `send` the head, then `wait` for progress and `take` what has come.

    Bytes that come before the first exchange, or between two, close the connection.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, recurring: RecurringHeads | None = None) -> None:
        """`recurring`: heads that the legacy has sent before, on any connection."""
        self._loop, self._recurring = loop, recurring
        self._on_disconnected: Callable[[Connection], None] | None = None
        self.disconnected = False
        self._transport: asyncio.Transport
        self._readable: select.poll | None = None
        self.response = ResponseReader()
        self.response.complete = True
        self.receiver: Callable[[], None] | None = None
        """Called once at the next progress, in place of a caller that waits."""
        self._waiter: asyncio.Future[None] | None = None
        self._continued: asyncio.Future[None] | None = None
        self._drained: asyncio.Future[None] | None = None
        self._write_paused = False
        self._held = 0
        self.reading_paused = False
        """Whether the answer waits for the client, which reads slowly, and not for the legacy."""
        self.idle_timeout = DEFAULT_IDLE_TIMEOUT
        self.idle_since = self.idle_until = self.opened_at = loop.time()
        self.closed = self.used = False
        self.error: Failure | None = None

    # -- the exchange

    def begin(self, *, head_only: bool, upgrade: bool = False) -> None:
        """Begin an exchange. `head_only`: the method is HEAD; `upgrade`: it asks for a 101."""
        self.response = ResponseReader(head_only=head_only, upgrade=upgrade, recurring=self._recurring)
        self.error = Reset() if self.closed else None

    def send(self, head: bytes, *, head_only: bool, upgrade: bool = False) -> None:
        """Begin an exchange and send its head."""
        self.begin(head_only=head_only, upgrade=upgrade)
        self.write(head)

    def write(self, data: bytes) -> None:
        if not self.closed:
            self._transport.write(data)

    async def drain(self) -> None:
        """Wait until the legacy has taken enough of what was written."""
        if self._write_paused and not self.closed:
            self._drained = self._loop.create_future()
            await self._drained

    async def wait(self) -> None:
        """Return at the next progress: `has_head`, `may_continue`, more to `take`, `complete` or `error`."""
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    async def continues(self, seconds: float) -> bool:
        """Return whether the body may follow: the legacy says so (100), or has said nothing for `seconds`."""
        if not (self.response.continued or self.has_head or self.closed):
            self._continued = self._loop.create_future()
            await asyncio.wait((self._continued,), timeout=seconds)
        return not (self.has_head or self.closed)

    def take(self) -> bytes:
        """Return the part of the body that has come since the last call."""
        response = self.response
        chunks, response.body, self._held = response.body, [], 0
        if self.reading_paused:
            self.reading_paused = False
            if not self.closed:
                self._transport.resume_reading()
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    @property
    def has_head(self) -> bool:
        return self.response.head is not None

    @property
    def status(self) -> int:
        return self.response.head.status if self.response.head is not None else 0

    @property
    def headers(self) -> HeaderFields:
        return self.response.head.headers if self.response.head is not None else ()

    @property
    def complete(self) -> bool:
        return self.response.complete

    @property
    def has_more(self) -> bool:
        return bool(self.response.body)

    @property
    def reusable(self) -> bool:
        """Whether the exchange has ended so that another may follow: the answer whole, and nothing beyond it."""
        response = self.response
        head = response.head
        return response.complete and head is not None and head.keep_alive and not self.closed and self.error is None

    @property
    def quiet(self) -> bool:
        """Whether the socket has nothing to read: neither stray bytes nor the legacy's end, seen by no event yet."""
        if self._readable is None:
            self._readable = select.poll()
            self._readable.register(self._transport.get_extra_info("socket").fileno(), select.POLLIN)
        return not self._readable.poll(0)

    def fail(self, failure: Failure) -> None:
        """End the exchange and the connection."""
        if self.error is None and not self.complete:
            self.error = failure
        self.close()
        self._wake()

    def close(self) -> None:
        self.closed = True
        self._transport.abort()

    def on_disconnected(self, callback: Callable[[Connection], None]) -> None:
        """Call back once the connection is closed for good; at once where it is."""
        if self.disconnected:
            callback(self)
        else:
            self._on_disconnected = callback

    def _wake(self) -> None:
        receiver, self.receiver = self.receiver, None
        if receiver is not None:
            receiver()
            return
        for waiter in (self._waiter, self._continued):
            if waiter is not None and not waiter.done():
                waiter.set_result(None)

    # -- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own does not inherit from it

    def data_received(self, data: bytes) -> None:
        response = self.response
        if response.complete:
            self.close()  # nothing was asked: a time-out notice, or worse
            return
        try:
            response.feed(data)
        except MalformedResponse:
            self.fail(BadAnswer())
            return
        if self.response.complete:
            self._end_response(response)
        elif response.body:
            self._hold(len(data))
        self._wake()

    def _hold(self, size: int) -> None:
        self._held += size
        if self._held > HIGH_WATER and not self.reading_paused:
            self.reading_paused = True
            self._transport.pause_reading()

    def _end_response(self, response: ResponseReader) -> None:
        head = response.head
        if head is None or head.status == 101:
            return
        if response.excess:
            self.close()
        if head.idle_limit is not None:
            self.idle_timeout = max(head.idle_limit - IDLE_MARGIN, 0.0)

    def eof_received(self) -> None:
        self.closed = True

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = self.disconnected = True
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        if self.error is None and not self.complete and (exc is not None or not self.response.end()):
            self.error = Reset()
        self._wake()
        if self._on_disconnected is not None:
            self._on_disconnected(self)

    def pause_writing(self) -> None:
        self._write_paused = True

    def resume_writing(self) -> None:
        self._write_paused = False
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)

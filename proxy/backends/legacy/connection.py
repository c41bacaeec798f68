"""One HTTP/1.1 connection to the legacy.

It uses asyncio's transport directly, because no client library shows what a transparent proxy needs: whether any byte
of an answer has been received (which decides whether a retry is safe), a 100 Continue when it arrives, the unchanged
header bytes, and an answer that arrives while the request is still being sent.
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import Callable
from typing import cast

from proxy.backends.legacy.framing import MalformedResponse, RecurringHeads, ResponseReader
from proxy.backends.legacy.lifetime import Lifetime
from proxy.backends.legacy.progress_signal import ProgressSignal
from proxy.backends.legacy.write_pause import WritePause
from proxy.gateway.errors import BadAnswer, Failure, Reset
from proxy.types import HeaderFields

HIGH_WATER = 256 * 1024
"""Bytes of a response's body, not yet taken, at which reading is paused."""


class Connection(asyncio.Protocol):
    """A connection with one exchange at a time: `send` the head, then wait for `progress` and `take` parts of the body.

    Bytes that arrive before the first exchange, or between two, close the connection.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, recurring: RecurringHeads | None = None) -> None:
        """`recurring` caches heads of all connections to this legacy."""
        self._recurring = recurring
        self._on_disconnected: Callable[[Connection], None] | None = None
        self.disconnected = False
        self._transport: asyncio.Transport
        self._readable: select.poll | None = None
        self.response = ResponseReader()
        self.response.complete = True
        self.progress = ProgressSignal(loop)
        """Progress is `has_head`, `has_more` to `take`, `complete`, a 100, or `error`."""
        self.lifetime = Lifetime(loop.time())
        self._write_pause = WritePause(loop)
        self._held = 0
        self.reading_paused = False
        """True while the answer waits for a slow client, and not for legacy."""
        self.closed = False
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
        """Wait until legacy has received enough of the written bytes."""
        if not self.closed:
            await self._write_pause.wait()

    async def continues(self, seconds: float) -> bool:
        """Return True if the body may follow: after a 100, or after `seconds` without an answer."""
        if not (self.response.continued or self.has_head or self.closed):
            await self.progress.wait_before_body(seconds)
        return not (self.has_head or self.closed)

    def take(self) -> bytes:
        """Return the part of the body received since the last call."""
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
        """True if the exchange is complete and another may follow on this connection."""
        response = self.response
        head = response.head
        return response.complete and head is not None and head.keep_alive and not self.closed and self.error is None

    @property
    def quiet(self) -> bool:
        """True if the socket has nothing to read: no stray bytes and no end that no event has reported yet."""
        if self._readable is None:
            self._readable = select.poll()
            self._readable.register(self._transport.get_extra_info("socket").fileno(), select.POLLIN)
        return not self._readable.poll(0)

    def fail(self, failure: Failure) -> None:
        """End the exchange and the connection."""
        if self.error is None and not self.complete:
            self.error = failure
        self.close()
        self.progress.wake()

    def close(self) -> None:
        self.closed = True
        if not self.disconnected:
            self._transport.abort()

    def on_disconnected(self, callback: Callable[[Connection], None]) -> None:
        """Call back once the connection is lost, or now if it already is."""
        if self.disconnected:
            callback(self)
        else:
            self._on_disconnected = callback

    # -- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own does not inherit from it

    def data_received(self, data: bytes) -> None:
        response = self.response
        if response.complete:
            self.close()  # bytes without a pending request, such as a 408 for an idle connection
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
        self.progress.wake()

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
            self.lifetime.announce(head.idle_limit)

    def eof_received(self) -> None:
        self.closed = True

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = self.disconnected = True
        self._write_pause.end()
        if self.error is None and not self.complete and (exc is not None or not self.response.end()):
            self.error = Reset()
        self.progress.wake()
        if self._on_disconnected is not None:
            self._on_disconnected(self)

    def pause_writing(self) -> None:
        self._write_pause.begin()

    def resume_writing(self) -> None:
        self._write_pause.end()

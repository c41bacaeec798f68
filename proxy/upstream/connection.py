"""One HTTP/1.1 connection to the legacy, and the pool of those at rest.

Written on asyncio's transport and llhttp because no client library shows what a faithful proxy needs to know: whether
any byte of an answer has come (a retry is safe or not), 100 Continue as it arrives, header bytes as they stand, and an
answer that comes while the request is still being sent.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import cast

import httptools

from proxy.failures import BadAnswer, ConnectTimeout, LegacyFailure, Overloaded, Reset, Unreachable

from .headers import RawHeaders

HIGH_WATER = 256 * 1024
"""Bytes of an answer held for a slow client before reading from the legacy pauses."""
DEFAULT_REST = 15.0
"""Seconds a connection may rest when the legacy names no `Keep-Alive: timeout`."""
REST_MARGIN = 1.0
"""Seconds before the legacy's own limit at which a resting connection is no longer used."""
BODILESS = frozenset((204, 304))


class Connection(asyncio.Protocol):
    """Carries one exchange at a time: `send` the head, then `wait` for progress and `take` what has come."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._transport: asyncio.Transport
        self._parser = httptools.HttpResponseParser(self)
        self._waiter: asyncio.Future[None] | None = None
        self._continued: asyncio.Future[None] | None = None
        self._drained: asyncio.Future[None] | None = None
        self._write_paused = self._read_paused = False
        self.rest_limit = DEFAULT_REST
        self.rested_since = 0.0
        self.closed = False
        self.used = False
        self._reset_exchange(head_only=False)

    def _reset_exchange(self, *, head_only: bool) -> None:
        self._head_only = head_only
        self._framed = False
        self._chunks: list[bytes] = []
        self._held = 0
        self._keep_alive = False
        self.status = 0
        self.headers: RawHeaders = []
        self.has_head = self.complete = self.may_continue = False
        self.error: LegacyFailure | None = None

    # -- the exchange

    def send(self, head: bytes, *, head_only: bool) -> None:
        """Begin an exchange. `head_only`: the method is HEAD, so no body follows whatever the headers say."""
        self._reset_exchange(head_only=head_only)
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
        """Whether the body may follow: the legacy says so (100), or has said nothing for `seconds`."""
        if not (self.may_continue or self.has_head or self.closed):
            self._continued = self._loop.create_future()
            await asyncio.wait((self._continued,), timeout=seconds)
        return not (self.has_head or self.closed)

    def take(self) -> bytes:
        """The part of the body that has come since the last call."""
        chunks, self._chunks, self._held = self._chunks, [], 0
        if self._read_paused:
            self._read_paused = False
            self._transport.resume_reading()
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    @property
    def has_more(self) -> bool:
        return bool(self._chunks)

    @property
    def held_back(self) -> bool:
        """Whether it is the client, not the legacy, that the answer waits for."""
        return self._read_paused

    @property
    def reusable(self) -> bool:
        return self.complete and self._keep_alive and not self.closed and self.error is None

    def fail(self, failure: LegacyFailure) -> None:
        """End the exchange and the connection."""
        if self.error is None and not self.complete:
            self.error = failure
        self.close()
        self._wake()

    def close(self) -> None:
        self.closed = True
        self._transport.abort()

    def _wake(self) -> None:
        for waiter in (self._waiter, self._continued):
            if waiter is not None and not waiter.done():
                waiter.set_result(None)

    # -- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own does not inherit from it

    def data_received(self, data: bytes) -> None:
        if self.complete:
            self.close()  # nothing was asked: a time-out notice, or worse
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self.fail(BadAnswer())
        except httptools.HttpParserError:
            if not self.complete:
                self.fail(BadAnswer())
        self._wake()

    def eof_received(self) -> None:
        self.closed = True

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        if not self.complete and self.error is None:
            if self.has_head and not self._framed and exc is None:
                self.complete = True  # a body that ends with the connection (RFC 9112 §6.3)
            else:
                self.error = Reset()
        self._wake()

    def pause_writing(self) -> None:
        self._write_paused = True

    def resume_writing(self) -> None:
        self._write_paused = False
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)

    # -- httptools callbacks

    def on_message_begin(self) -> None:
        self.headers = []

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.has_head:  # later ones are trailers, which stay behind
            self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200:
            self.may_continue = self.may_continue or status == 100
            return
        self.status = status
        self.has_head = True
        for name, value in self.headers:
            if name in (b"content-length", b"transfer-encoding"):
                self._framed = True
            elif name == b"keep-alive":
                self._note_keep_alive(value)
        if self._head_only or status in BODILESS:
            self._keep_alive = self._framed_keep_alive()
            self._parser = httptools.HttpResponseParser(self)
            self.complete = True

    def on_body(self, body: bytes) -> None:
        self._chunks.append(body)
        self._held += len(body)
        if self._held > HIGH_WATER and not self._read_paused:
            self._read_paused = True
            self._transport.pause_reading()

    def on_message_complete(self) -> None:
        if self.has_head and not self.complete:
            self._keep_alive = self._parser.should_keep_alive()
            self.complete = True

    def _framed_keep_alive(self) -> bool:
        """llhttp asks for a length that a bodiless answer need not have; only its own word counts here."""
        closing = any(name == b"connection" and value.lower() == b"close" for name, value in self.headers)
        return self._parser.get_http_version() == "1.1" and not closing

    def _note_keep_alive(self, value: bytes) -> None:
        _name, _, seconds = value.partition(b"timeout=")
        digits = seconds.split(b",")[0].strip()
        if digits.isdigit():
            self.rest_limit = max(int(digits) - REST_MARGIN, 0.0)


class Pool:
    """Connections to one address, the most recently used first, at most `limit` of them carrying an exchange."""

    def __init__(self, host: str, port: int, *, limit: int, secure: bool = False) -> None:
        self._host, self._port, self._limit, self._secure = host, port, limit, secure
        self._resting: deque[Connection] = deque()
        self._carrying = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def acquire(self, rest_limit: float, timeout: float) -> Connection:
        """A connection that has rested for at most `rest_limit` seconds, or a new one, within `timeout` seconds.

        Raises `Overloaded` where all stay in use, `Unreachable` or `ConnectTimeout`. What is acquired is to be
        released.
        """
        if self._carrying < self._limit:
            self._carrying += 1
        else:
            await self._be_handed_a_place(timeout)
        try:
            return self._rested(rest_limit) or await self._connect(timeout)
        except BaseException:
            self._yield_place()
            raise

    def release(self, connection: Connection) -> None:
        """Take back a connection after its exchange: to rest if it may be used again, else closed."""
        if connection.reusable:
            connection.used = True
            connection.rested_since = asyncio.get_running_loop().time()
            self._resting.append(connection)
            while self._resting[0].closed:
                self._resting.popleft()
        else:
            connection.close()
        self._yield_place()

    def close(self) -> None:
        """Close the connections at rest."""
        while self._resting:
            self._resting.pop().close()

    def _rested(self, rest_limit: float) -> Connection | None:
        now = asyncio.get_running_loop().time()
        while self._resting:
            connection = self._resting.pop()
            rested = now - connection.rested_since
            if not connection.closed and rested < connection.rest_limit:
                if rested < rest_limit:
                    return connection
                self._resting.append(connection)
                return None
            connection.close()
        return None

    async def _connect(self, timeout: float) -> Connection:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(timeout):
                _, connection = await loop.create_connection(
                    lambda: Connection(loop), self._host, self._port, ssl=self._secure or None
                )
        except TimeoutError:
            raise ConnectTimeout from None
        except OSError as error:
            raise Unreachable from error
        return connection

    async def _be_handed_a_place(self, timeout: float) -> None:
        place = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        done, _ = await asyncio.wait((place,), timeout=timeout)
        if not done:
            place.cancel()
            raise Overloaded

    def _yield_place(self) -> None:
        while self._waiting:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(None)
                return
        self._carrying -= 1

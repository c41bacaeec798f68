"""The legacy side as an ASGI app over HTTP/1.1.

    client ── receive ──▶ (1) head ─▶ (2) connection ─▶ (3) request body ──▶ legacy
    client ◀── send ───── (6) body ◀─ (5) head ◀────── (4) wait: answer, 100, time-out, client gone

The request's body goes up while the answer may already be coming down; either side's slowness slows the other, and
nothing is held beyond a small buffer. A request fails (see `failures`) only before its answer has begun; an answer that
breaks off is broken off towards the client too, never ended as if it were whole.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.types import Receive, Scope, Send

from proxy.failures import AnswerTimeout, Reset

from .connection import BODILESS, Connection, Pool
from .headers import RawHeaders, end_to_end, request_headers, request_target

SAFE = frozenset(("GET", "HEAD", "OPTIONS", "TRACE"))
"""Methods that may be sent again when a resting connection turns out to be closed (RFC 9110 §9.2.1)."""
FRESH = 1.0
"""Seconds of rest after which a connection no longer carries a request that must not be sent twice."""
WATCH_AFTER = 0.2
"""Seconds after which an answer still awaited makes it worth watching whether the client is still there."""
CONTINUE_AFTER = 1.0
"""Seconds to wait for 100 Continue before sending the body all the same (RFC 9110 §10.1.1)."""


class ClientGone(Exception):
    """The client closed its connection: there is nobody to answer."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds: to connect; without progress until an answer begins; without progress within an answer."""

    connect: float = 2.0
    response: float = 30.0
    idle: float = 60.0


class HttpUpstream:
    """Forwards `http` scopes to `url` (scheme, host and port) on at most `max_connections`.

    `scope["proxy.timeouts"]`, where the gateway sets it, stands above `timeouts`. Raises `failures.Failure`.
    """

    def __init__(self, url: str, timeouts: Timeouts | None = None, *, max_connections: int = 256) -> None:
        parts = urlsplit(url)
        self._timeouts = timeouts or Timeouts()
        secure = parts.scheme == "https"
        port = parts.port or (443 if secure else 80)
        self._pool = Pool(parts.hostname or "127.0.0.1", port, limit=max_connections, secure=secure)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            timeouts: Timeouts = scope.get("proxy.timeouts") or self._timeouts
            await _Exchange(self._pool, timeouts, scope, receive, send).run()
        except ClientGone:
            return

    def close(self) -> None:
        """Close the connections at rest."""
        self._pool.close()


class _Exchange:
    """One request and its answer."""

    def __init__(self, pool: Pool, timeouts: Timeouts, scope: Scope, receive: Receive, send: Send) -> None:
        self._pool, self._timeouts = pool, timeouts
        self._receive, self._send = receive, send
        self._method: str = scope["method"]
        self._loop = asyncio.get_running_loop()
        self._scope = scope
        self._body: bytes | None = None
        self._body_complete = True
        self._coding = b""
        self._continue = False
        self._connection: Connection
        self._companion: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle
        self._progress = 0.0
        self._client_gone = self._sending = False

    async def run(self) -> None:
        head = self._head()  # 1
        if not self._body_complete and not self._continue:
            await self._receive_body()
        await self._answer(head)

    def _head(self) -> bytes:
        headers = request_headers(self._scope, self._scope.get("proxy.request_id", b"-"))
        self._note_framing(headers)
        lines = [self._method.encode(), b" ", request_target(self._scope), b" HTTP/1.1\r\n"]
        for name, value in headers:
            lines += (name, b": ", value, b"\r\n")
        if self._coding:
            lines += (b"transfer-encoding: ", self._coding, b"\r\n")
        lines.append(b"\r\n")
        return b"".join(lines)

    def _note_framing(self, headers: RawHeaders) -> None:
        for name, value in headers:
            if name == b"content-length":
                self._body_complete = value.strip(b"0") == b""
            elif name == b"expect":
                self._continue = value.lower() == b"100-continue"
        for name, value in self._scope["headers"]:
            if name == b"transfer-encoding":  # always ends in `chunked`: the server refuses others
                self._coding, self._body_complete = value, False
        self._continue = self._continue and not self._body_complete

    async def _receive_body(self) -> None:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        self._body = message.get("body", b"")
        self._body_complete = not message.get("more_body", False)

    async def _answer(self, head: bytes) -> None:
        """Steps 2 to 6, and once more on a new connection where a pooled one was closed under a safe request."""
        safe = self._method in SAFE and self._body_complete
        connection = await self._pool.acquire(float("inf") if safe else FRESH, self._timeouts.connect)  # 2
        try:
            await self._carry(connection, head)
        except Reset:
            if not (connection.used and safe) or connection.has_head:
                raise
            await self._carry(await self._pool.acquire(-1, self._timeouts.connect), head)

    async def _carry(self, connection: Connection, head: bytes) -> None:
        self._connection = connection
        try:
            self._write_request(head)  # 3
            await self._await_head()  # 4
            await self._relay()  # 5, 6
        finally:
            self._timer.cancel()
            if self._companion is not None:
                self._companion.cancel()
                if not self._body_complete:
                    connection.close()  # an early answer: the rest of the request must not follow here
            self._pool.release(connection)

    def _write_request(self, head: bytes) -> None:
        connection = self._connection
        head_only = self._method == "HEAD"
        if self._body is None:
            connection.send(head, head_only=head_only)
        else:
            connection.send(head + self._framed(self._body), head_only=head_only)
        self._progress = self._loop.time()
        if self._body_complete:
            self._timer = self._loop.call_later(min(WATCH_AFTER, self._timeouts.response), self._look)
        else:
            self._companion = self._loop.create_task(self._send_body(connection))
            self._timer = self._loop.call_later(self._timeouts.response, self._look)

    def _framed(self, data: bytes) -> bytes:
        if not self._coding:
            return data
        chunk = b"%x\r\n%b\r\n" % (len(data), data) if data else b""
        return chunk + b"0\r\n\r\n" if self._body_complete else chunk

    async def _send_body(self, connection: Connection) -> None:
        """Pass on the rest of the body as it comes, then watch for the client's leaving."""
        if self._continue and not await connection.continues(CONTINUE_AFTER):
            return
        while not self._body_complete:
            await connection.drain()
            message = await self._receive()
            if message["type"] == "http.disconnect":
                self._leave(connection)
                return
            self._body_complete = not message.get("more_body", False)
            connection.write(self._framed(message.get("body", b"")))
            self._progress = self._loop.time()
        await self._watch(connection)

    async def _watch(self, connection: Connection) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._leave(connection)

    def _leave(self, connection: Connection) -> None:
        self._client_gone = True
        connection.fail(Reset())

    def _look(self) -> None:
        """Look after an exchange that takes its time: is the client there, does the legacy make progress?"""
        connection = self._connection
        if self._companion is None:
            self._companion = self._loop.create_task(self._watch(connection))
        limit = self._timeouts.idle if connection.has_head else self._timeouts.response
        left = self._progress + limit - self._loop.time()
        if self._sending or connection.held_back:
            left = limit  # it is the client that is slow
        if left <= 0:
            connection.fail(AnswerTimeout())
        else:
            self._timer = self._loop.call_later(left, self._look)

    async def _await_head(self) -> None:
        connection = self._connection
        while not connection.has_head:
            self._check()
            await connection.wait()

    def _check(self) -> None:
        if self._client_gone:
            raise ClientGone
        if self._connection.error is not None:
            raise self._connection.error

    async def _relay(self) -> None:
        connection = self._connection
        await self._send(
            {
                "type": "http.response.start",
                "status": connection.status,
                "headers": self._answer_headers(connection),
            }
        )
        while True:
            complete = connection.complete
            body = connection.take()
            if body or complete:
                self._sending = True
                await self._send({"type": "http.response.body", "body": body, "more_body": not complete})
                self._sending = False
                self._progress = self._loop.time()
            if complete:
                return
            if connection.error is not None:
                return  # without the last part: the server breaks the client's connection off
            if not connection.complete and not connection.has_more:
                await connection.wait()

    def _answer_headers(self, connection: Connection) -> RawHeaders:
        """A 304 may name the length of the body that it spares (RFC 9110 §8.6), which uvicorn would wait for."""
        headers = end_to_end(connection.headers)
        if connection.status in BODILESS:
            return [(name, value) for name, value in headers if name != b"content-length" or value == b"0"]
        return headers

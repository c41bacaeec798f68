"""The legacy backend as an ASGI app over HTTP/1.1.

    client ── receive ──▶ (1) head ─▶ (2) connection ─▶ (3) request body ──▶ legacy
    client ◀── send ───── (6) body ◀─ (5) head ◀────── (4) wait: answer, 100, timeout, disconnect

The head is sent once the body has begun (see `unfinished_bodies`), and the body as it arrives, while the answer may
already be received. The slower side limits the pace, and only a small buffer is held. A request fails (see `errors`)
only before its answer has begun. A truncated answer is truncated for the client too, and never completed.
"""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager, nullcontext
from functools import partial
from typing import cast

from starlette.types import Message, Receive, Scope, Send

from common.late_timeout import MAX_LATENESS
from proxy.backends.legacy.connection import Connection
from proxy.backends.legacy.dial import Dialer
from proxy.backends.legacy.endpoint import Endpoint
from proxy.backends.legacy.pool import Pool, PoolLimits
from proxy.backends.legacy.request import EncodedRequest, ForwardedRequest, HeaderEncoder, RequestBody
from proxy.backends.legacy.started import StartedExchange, StartedExchanges
from proxy.backends.legacy.unfinished_bodies import ClientGone, UnfinishedBodies
from proxy.fair_queue import fair_queue_of
from proxy.gateway.errors import AnswerTimeout, BodyMismatch, Reset
from proxy.gateway.request_context import RequestContext, context_of
from proxy.gateway.scope import request_target
from proxy.gateway.starting import StartRequest
from proxy.gateway.timeouts import Timeouts
from proxy.types import HeaderFields

SAFE_METHODS = frozenset(("GET", "HEAD", "OPTIONS", "TRACE"))
"""Methods that may be sent again if an idle connection turns out to be closed (RFC 9110 §9.2.1)."""
_ANY_AGE = float("inf")
DISCONNECT_WATCH_DELAY = 0.2
"""Seconds of waiting for an answer after which the client is watched for its disconnect."""

UNFINISHED = 2
"""Requests with an unfinished body may use one in this many connections."""
UNFINISHED_PER_CLIENT = 8
"""Requests with an unfinished body of one client may use one in this many connections."""


class HttpUpstream:
    """Forwards `http` scopes to a legacy (a URL, or the dialer of its endpoint) on a pool of connections.

    Timeouts in the scope's `RequestContext` replace `timeouts`. Raises `errors.Failure`.
    """

    def __init__(
        self, legacy: str | Dialer, timeouts: Timeouts | None = None, limits: PoolLimits | None = None
    ) -> None:
        dialer = legacy if isinstance(legacy, Dialer) else Dialer(Endpoint.parse(legacy))
        self._encoder = HeaderEncoder(dialer.endpoint)
        self._timeouts = timeouts or Timeouts()
        self.pool = Pool(dialer, limits or PoolLimits())
        most = self.pool.limits.max_connections
        self._unfinished_bodies = UnfinishedBodies(most // UNFINISHED, most // UNFINISHED_PER_CLIENT)
        self._started = StartedExchanges(self.pool, DISCONNECT_WATCH_DELAY)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        context = context_of(scope)
        started = cast("StartedExchange | None", context.started)
        request = started.request if started is not None else self._encode(scope, context.request_id)  # 1
        timeouts = context.timeouts or self._timeouts
        has_body = started is None and request.encoded.has_body
        body = self._body_of(request.encoded, receive, context, timeouts) if has_body else nullcontext(receive)
        try:
            async with body as receive_body:
                if started is None:
                    await fair_queue_of(asyncio.get_running_loop()).wait_if_contended(context.client)
                await _Forwarding(self.pool, timeouts, request, receive_body, send).run(started)
        except ClientGone:
            return

    def _body_of(
        self, request: EncodedRequest, receive: Receive, context: RequestContext, timeouts: Timeouts
    ) -> AbstractAsyncContextManager[Receive]:
        delay = 0.0 if request.expects_continue else timeouts.body_delay
        return self._unfinished_bodies.body_of(
            receive, context.client, context.connection, delay=delay, timeout=timeouts.response
        )

    def prepare(
        self, method: str, target: bytes, headers: HeaderFields, timeouts: Timeouts | None
    ) -> StartRequest | None:
        """Encode a request without a body, to be sent on an idle connection: see `starting`.

        Return None for a request that needs a task: with a body, `HEAD`, or a very short timeout.
        """
        encoded = EncodedRequest.of(method, target, headers, self._encoder)
        limit = (timeouts or self._timeouts).response
        if encoded.has_body or method == "HEAD" or limit < 2 * DISCONNECT_WATCH_DELAY:
            return None
        max_idle = _ANY_AGE if method in SAFE_METHODS else self.pool.limits.max_idle_for_unsafe
        return partial(self._started.start, encoded, max_idle)

    def _encode(self, scope: Scope, request_id: bytes) -> ForwardedRequest:
        encoded = EncodedRequest.of(scope["method"], request_target(scope), scope["headers"], self._encoder)
        return ForwardedRequest(encoded, encoded.head(request_id))

    def close(self) -> None:
        """Close the idle connections now, the others when their exchanges end."""
        self.pool.close()


class _Upload:
    """The request on its way to legacy: the head, then the body as the client sends it.

    `complete`: all of it has been written, or there is no body. `waiting`: it waits for the client. `progress`: the
    loop's time of the last part.
    """

    def __init__(
        self, request: ForwardedRequest, receive: Receive, connection: Connection, continue_after: float
    ) -> None:
        self._request, self._receive, self._connection = request, receive, connection
        self._continue_after = continue_after
        self._unsent = request.head
        self.complete = not request.encoded.has_body

    # for speed, class attributes: most requests have no body and are answered soon, and never change these
    client_gone = waiting = _slow = False
    progress = 0.0
    _task: asyncio.Task[None] | None = None

    async def begin(self) -> None:
        """Send the head, in one write with the available part of the body."""
        connection, request = self._connection, self._request.encoded
        connection.begin(head_only=request.method == "HEAD")
        if not self.complete:
            self._task = asyncio.get_running_loop().create_task(self._run())
            if not request.expects_continue:
                await asyncio.sleep(0)  # lets the task that receives the available part run
            self._slow = not self._task.done()
        if self._unsent:
            self._write(b"")

    def watch(self) -> None:
        """Watch for the client's disconnect, unless the rest of the body will show it."""
        if self._task is None or (self._task.done() and self.complete):
            self._task = asyncio.get_running_loop().create_task(self._watch())

    def end(self) -> None:
        """Stop. After an early answer, the rest of the request must not follow on the connection."""
        if self._task is not None:
            self._task.cancel()
        if not self.complete:
            self._connection.close()

    async def _run(self) -> None:
        try:
            expects_continue = self._request.encoded.expects_continue
            if expects_continue and not await self._connection.continues(self._continue_after):
                return
            body = RequestBody(self._request.encoded.length)
            while not self.complete:
                await self._forward_part(body)
            if self._slow:
                await self._watch()
        except BodyMismatch as mismatch:
            self._connection.fail(mismatch)
        except ClientGone:
            self._leave()

    async def _forward_part(self, body: RequestBody) -> None:
        await self._connection.drain()
        self.waiting = True
        message = await self._receive()
        self.waiting = False
        self.progress = asyncio.get_running_loop().time()
        if message["type"] == "http.disconnect":
            raise ClientGone
        self._write(body.frame(message.get("body", b""), last=not message.get("more_body", False)))
        self.complete = body.complete

    def _write(self, data: bytes) -> None:
        data, self._unsent = self._unsent + data, b""
        if data:
            self._connection.write(data)

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._leave()

    def _leave(self) -> None:
        self.client_gone = True
        self._connection.fail(Reset())


class _Forwarding:
    """One request and its answer."""

    def __init__(self, pool: Pool, timeouts: Timeouts, request: ForwardedRequest, receive: Receive, send: Send) -> None:
        self._pool, self._timeouts, self._request = pool, timeouts, request
        self._receive, self._send = receive, send
        self._loop = asyncio.get_running_loop()
        self._connection: Connection
        self._upload: _Upload
        self._timer: asyncio.TimerHandle
        self._progress = 0.0
        self._sending = self._was_late = False

    async def run(self, started: StartedExchange | None = None) -> None:
        """Run steps 2 to 6; repeat them once on a new connection if an idle one was closed during a safe request."""
        request = self._request.encoded
        safe = request.method in SAFE_METHODS and not request.has_body
        if started is not None:
            connection = started.connection
        else:
            max_idle = _ANY_AGE if safe else self._pool.limits.max_idle_for_unsafe
            connection = await self._pool.acquire(max_idle, self._timeouts.connect)  # 2
        retried = safe and connection.lifetime.used
        try:
            await self._carry(connection, started)
        except Reset:
            if not retried or connection.response.begun or self._upload.client_gone:
                raise
            await self._carry(await self._pool.acquire(-1, self._timeouts.connect))

    async def _carry(self, connection: Connection, started: StartedExchange | None = None) -> None:
        self._connection = connection
        self._upload = _Upload(self._request, self._receive, connection, self._timeouts.continue_after)
        now = self._loop.time()
        self._progress = started.at if started is not None else now
        watch_at = self._progress + min(DISCONNECT_WATCH_DELAY, self._timeouts.response)
        self._timer = self._loop.call_at(watch_at, self._supervise, watch_at)
        try:
            if started is None:
                await self._upload.begin()  # 3
            await self._await_head()  # 4
            await self._relay()  # 5, 6
        finally:
            self._timer.cancel()
            self._upload.end()
            self._pool.release(connection)

    def _supervise(self, due: float) -> None:
        """End an exchange if its client has disconnected, or if legacy makes no progress.

        Legacy's time starts again, once, if this process was stopped or starved when it ended.
        """
        self._upload.watch()
        connection = self._connection
        limit = self._timeouts.idle if connection.has_head else self._timeouts.response
        now = self._loop.time()
        left = max(self._progress, self._upload.progress) + limit - now
        if self._sending or self._upload.waiting:
            left = limit  # the client is slow, not legacy
        elif left <= 0 and now > due + MAX_LATENESS and not self._was_late:
            self._was_late, left = True, limit
        if left <= 0:
            connection.fail(AnswerTimeout())
        else:
            self._timer = self._loop.call_at(now + left, self._supervise, now + left)

    async def _await_head(self) -> None:
        connection = self._connection
        while connection.response.head is None:
            if self._upload.client_gone:
                raise ClientGone
            if connection.error is not None:
                raise connection.error
            await connection.progress.wait()

    async def _relay(self) -> None:
        connection = self._connection
        response = connection.response
        head = response.head
        assert head is not None
        await self._forward({"type": "http.response.start", "status": head.status, "headers": list(head.passed)})
        while True:
            complete = response.complete
            body = connection.take()
            if body or complete:
                await self._forward({"type": "http.response.body", "body": body, "more_body": not complete})
            if complete:
                return
            if connection.error is not None:
                return  # without the last part: the server then truncates the client's answer too
            if not response.complete and not response.body:
                await connection.progress.wait()

    async def _forward(self, message: Message) -> None:
        """Send a part of the answer. The time that the client takes does not count as legacy's."""
        self._sending = True
        await self._send(message)
        self._sending = False
        self._progress = self._loop.time()

"""The legacy backend for WebSockets as an ASGI app.

    client ── connect ──▶ (1) connection ─▶ (2) handshake ──▶ legacy
    client ◀── accept, or legacy's own refusal ─────── (3) ◀─ legacy
    client ◀────────── (4) bytes, both ways (`Relay`) ───▶ legacy

The client is accepted only after legacy has accepted, so a refusal of legacy reaches the client unchanged.
"""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.types import Message, Receive, Scope, Send

from common.late_timeout import LateTimeout
from proxy.backends.legacy.connection import Connection
from proxy.backends.legacy.dial import Dialer
from proxy.backends.legacy.endpoint import Endpoint
from proxy.backends.legacy.handshake import Accepted, WebSocketHandshake
from proxy.backends.legacy.headers import end_to_end
from proxy.gateway.errors import AnswerTimeout


class WebSocketUpstream:
    """Forwards `websocket` scopes to a legacy: a URL (`http` and `ws` mean the same), or the dialer of its endpoint.

    `connect_timeout` and `response_timeout` are seconds: for connecting, and for the answer to the handshake. Raises
    `errors.LegacyFailure` before the client has been answered, never after. The server must offer the extensions
    `websocket.http.response` and `proxy.relay` (`proxy.server.websocket` does).
    """

    def __init__(
        self,
        legacy: str | Dialer,
        *,
        connect_timeout: float = 2.0,
        response_timeout: float = 30.0,
    ) -> None:
        self._dialer = legacy if isinstance(legacy, Dialer) else Dialer(Endpoint.parse(legacy))
        self._connect_timeout, self._response_timeout = connect_timeout, response_timeout

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()  # websocket.connect
        opening = asyncio.ensure_future(self._open(scope))
        try:
            if not await self._is_awaited(opening, receive):
                return
            answer = opening.result()
            if isinstance(answer, Accepted):
                await self._relay(answer, send)
            else:
                await self._refuse(answer, send)
        finally:
            await _end(opening)

    async def _is_awaited(self, opening: asyncio.Future[Any], receive: Receive) -> bool:
        """Wait for legacy's answer; return False if the client disconnects first."""
        leaving = asyncio.ensure_future(receive())
        try:
            await asyncio.wait((leaving, opening), return_when=asyncio.FIRST_COMPLETED)
            return not leaving.done()
        finally:
            leaving.cancel()
            await asyncio.gather(leaving, return_exceptions=True)

    async def _relay(self, accepted: Accepted, send: Send) -> None:
        """Run steps 3 and 4, until both connections are closed."""
        relay = accepted.relay
        try:
            await send({"type": "websocket.accept", "headers": accepted.headers, "proxy.relay": relay})
            await relay.ended.wait()
        except OSError:
            return  # the client disconnected before it was accepted

    async def _open(self, scope: Scope) -> Accepted | WebSocketHandshake:
        """Run steps 1 and 2. A returned `WebSocketHandshake` contains legacy's refusal."""
        opening = await self._connect()
        try:
            async with LateTimeout(self._response_timeout):
                opening.request(scope, self._dialer.endpoint)
                while not opening.decided:
                    await opening.progress.wait()
        except TimeoutError:
            opening.close()
            raise AnswerTimeout from None
        except asyncio.CancelledError:
            opening.close()
            raise
        if opening.accepted is not None:
            return opening.accepted
        if opening.error is not None and opening.status in (0, 101):
            raise opening.error
        return opening

    async def _connect(self) -> WebSocketHandshake:
        loop = asyncio.get_running_loop()
        return await self._dialer.dial(lambda: WebSocketHandshake(loop), self._connect_timeout)

    async def _refuse(self, connection: Connection, send: Send) -> None:
        """Run step 3 for a refusal: forward legacy's answer, of any status and length."""
        start: Message = {"type": "websocket.http.response.start", "status": connection.status}
        start["headers"] = end_to_end(connection.headers)
        try:
            await send(start)
            while True:
                complete = connection.complete
                body = connection.take()
                if body or complete:
                    message = {"type": "websocket.http.response.body", "body": body, "more_body": not complete}
                    await send(message)
                if complete or connection.error is not None:
                    return  # the server truncates the client's answer at the same point
                if not (connection.complete or connection.has_more):
                    async with LateTimeout(self._response_timeout):
                        await connection.progress.wait()
        except (OSError, TimeoutError):
            return


async def _end(opening: asyncio.Future[Accepted | WebSocketHandshake]) -> None:
    """Close the connection of a handshake with any result."""
    opening.cancel()
    (answer,) = await asyncio.gather(opening, return_exceptions=True)
    if isinstance(answer, Accepted):
        answer.relay.abort()
    elif isinstance(answer, WebSocketHandshake):
        answer.close()

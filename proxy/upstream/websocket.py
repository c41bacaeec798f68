"""The legacy side of a WebSocket as an ASGI app.

    client ── connect ──▶ (1) connection ─▶ (2) handshake ──▶ legacy
    client ◀── accept, or the legacy's own refusal ─── (3) ◀─ legacy
    client ◀────────── (4) messages, both ways ──────────▶ legacy
    client ◀────────── (5) how it ended, passed on ──────▶ legacy

The client is accepted only once the legacy has accepted us, so it gets the legacy's refusal as the legacy gave it.
Messages pass whole and one at a time: a side that reads slowly slows the other, and nothing piles up between.

What the other side sees of an end: a close frame's code and reason as they came, without a code where there was none
(1005). An end without a close frame (1006: dropped, frozen, broken protocol) cannot be passed on as such; the client is
told 1011 (the service failed), the legacy 1001 (the client went away).
"""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.types import Message, Receive, Scope, Send

from proxy.failures import AnswerTimeout
from proxy.websocket.peer import ABNORMAL, GOING_AWAY, INTERNAL_ERROR, NO_STATUS, Closed, Limits, PeerGone

from .connection import Connection
from .dial import Dialer
from .endpoint import Endpoint
from .handshake import Accepted, Opening
from .headers import end_to_end

STALL = 2.0
"""Seconds that the legacy may take nothing of what waits for it: a server is not granted a slow client's patience."""


class WebSocketUpstream:
    """Forwards `websocket` scopes to a legacy: a URL (`http` and `ws` mean the same), or the dialer of its endpoint.

    `connect_timeout` and `response_timeout` are seconds: to connect, and for the handshake's answer. Raises
    `failures.LegacyFailure` before the client has been answered, never after. The answers of the server it runs under
    must allow `websocket.http.response`, and a close with code 1005 (`proxy.server.websocket` does).
    """

    def __init__(
        self,
        legacy: str | Dialer,
        *,
        connect_timeout: float = 2.0,
        response_timeout: float = 30.0,
        limits: Limits | None = None,
    ) -> None:
        self._dialer = legacy if isinstance(legacy, Dialer) else Dialer(Endpoint.parse(legacy))
        self._connect_timeout, self._response_timeout = connect_timeout, response_timeout
        self._limits = limits or Limits(stall=STALL)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()  # websocket.connect
        leaving = asyncio.ensure_future(receive())  # its first message, once it is accepted
        opening = asyncio.ensure_future(self._open(scope))
        try:
            await asyncio.wait((leaving, opening), return_when=asyncio.FIRST_COMPLETED)
            if not opening.done():
                return
            answer = opening.result()
            if isinstance(answer, Accepted):
                await _Bridge(answer, leaving, receive, send).run()
            else:
                await self._refuse(answer, send)
        finally:
            await _abandon(leaving, opening)

    async def _open(self, scope: Scope) -> Accepted | Opening:
        """Steps 1 and 2. An `Opening` that comes back holds the legacy's refusal."""
        opening = await self._connect()
        try:
            async with asyncio.timeout(self._response_timeout):
                opening.ask(scope, self._dialer.endpoint)
                while not opening.decided:
                    await opening.wait()
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

    async def _connect(self) -> Opening:
        loop = asyncio.get_running_loop()
        return await self._dialer.dial(lambda: Opening(loop, self._limits), self._connect_timeout)

    async def _refuse(self, connection: Connection, send: Send) -> None:
        """Step 3 where the legacy does not want the client: its answer, whatever it is."""
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
                    return  # where it broke off, so does the server's answer
                if not (connection.complete or connection.has_more):
                    async with asyncio.timeout(self._response_timeout):
                        await connection.wait()
        except (OSError, TimeoutError):
            return
        finally:
            connection.close()


class _Bridge:
    """One client and its legacy, joined."""

    def __init__(self, accepted: Accepted, first: asyncio.Future[Message], receive: Receive, send: Send) -> None:
        self._accepted, self._legacy = accepted, accepted.peer
        self._first, self._receive, self._send = first, receive, send

    async def run(self) -> None:
        legacy = self._legacy
        try:
            accept: Message = {"type": "websocket.accept", "subprotocol": self._accepted.subprotocol}
            await self._send({**accept, "headers": self._accepted.headers})
            await self._join()
            await legacy.lost
        except OSError:
            legacy.close(GOING_AWAY)
        finally:
            if legacy.ended is None:
                legacy.abort()

    async def _join(self) -> None:
        """Steps 4 and 5. A direction that merely finds its receiver gone leaves the last word to the other, which has
        the receiver's own messages and close frame to pass on."""
        directions = {asyncio.ensure_future(self._pass_up()), asyncio.ensure_future(self._pass_down())}
        try:
            done, others = await asyncio.wait(directions, return_when=asyncio.FIRST_COMPLETED)
            if others and not any(direction.result() for direction in done):
                done, _ = await asyncio.wait(others)
            for direction in done:
                direction.result()
        finally:
            await _abandon(*directions)

    async def _pass_up(self) -> bool:
        """Client to legacy. True once the client's end is passed on, False where the legacy ended first."""
        message = await self._first
        while message["type"] == "websocket.receive":
            text = message.get("text")
            try:
                await self._legacy.send(text if text is not None else message["bytes"])
            except PeerGone:
                return False
            message = await self._receive()
        code = message.get("code", NO_STATUS)
        self._legacy.close(GOING_AWAY if code == ABNORMAL else code, message.get("reason") or "")
        return True

    async def _pass_down(self) -> bool:
        """Legacy to client. True once the legacy's end is passed on, False where the client ended first."""
        try:
            while not isinstance(message := await self._legacy.receive(), Closed):
                kind = "text" if isinstance(message, str) else "bytes"
                await self._send({"type": "websocket.send", kind: message})
            code = INTERNAL_ERROR if message.code == ABNORMAL else message.code
            await self._send({"type": "websocket.close", "code": code, "reason": message.reason})
        except OSError:
            return False
        return True


async def _abandon(*tasks: asyncio.Future[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

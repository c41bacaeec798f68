"""ASGI apps for tests of the gateway's WebSocket server: one that records and echoes, and scripts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tests.support.sockets import serving
from tests.support.waiting import HANG_TIMEOUT
from tests.support.websocket_server import with_pings


@asynccontextmanager
async def pinging(app: ASGIApp, interval: float = 0.1, timeout: float = 0.1) -> AsyncIterator[int]:
    """Serve an app with frequent pings; yield the port."""
    async with serving(with_pings(app, interval, timeout), lifespan="on") as port:
        yield port


class Recorder:
    """An app that accepts, echoes messages, and records the scope and all received messages."""

    def __init__(self) -> None:
        self.scope: Scope = {}
        self.received: list[Message] = []
        self.done = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        while (message := await receive())["type"] != "websocket.disconnect":
            self.received.append(message)
            if message["type"] == "websocket.connect":
                await send({"type": "websocket.accept"})
                continue
            with suppress(OSError):
                await send({**message, "type": "websocket.send"})
        self.received.append(message)
        self.done.set()

    async def end(self) -> Message:
        """Wait for the disconnect message and return it."""
        async with asyncio.timeout(HANG_TIMEOUT):
            await self.done.wait()
        return self.received[-1]


def sending(*messages: Message) -> ASGIApp:
    """Return an app that sends these messages without regard to those that it receives."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        for message in messages:
            await send(message)

    return app


def raising(error: Exception, *messages: Message) -> ASGIApp:
    before = sending(*messages)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await before(scope, receive, send)
        raise error

    return app


ACCEPTED: Message = {"type": "websocket.accept"}


async def pour(writer: asyncio.StreamWriter, data: bytes, times: int) -> None:
    for _ in range(times):
        writer.write(data)
        await writer.drain()

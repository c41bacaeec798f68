"""An ASGI app that answers when a test lets it, requests for it, and its client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from proxy.server.settings import uvicorn_settings
from proxy.server.timeouts import STATE_KEY, ClientTimeouts, ListenerTimeouts
from tests.support.sockets import OwnLoopServer
from tests.support.waiting import HANG_TIMEOUT

TIMEOUT = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n"
BAD = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"
GET = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n"
LAST = b"GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
OK: Message = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]}
BODY: Message = {"type": "http.response.body", "body": b"ok"}


class App:
    """An app that answers `ok` once `proceed` is set; `received` are all messages of all requests."""

    def __init__(self, *, read: bool = True) -> None:
        self.read = read
        self.begun = asyncio.Event()
        self.proceed = asyncio.Event()
        self.gone = asyncio.Event()
        self.paths: list[str] = []
        self.received: list[Message] = []
        self.running = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.paths.append(scope["path"])
        self.begun.set()
        self.running += 1
        watching = asyncio.create_task(self._watch(receive)) if self.read else None
        try:
            await self.proceed.wait()
            await send(dict(OK))
            await send(dict(BODY))
        finally:
            self.running -= 1
            if watching is not None:
                watching.cancel()

    async def _watch(self, receive: Receive) -> None:
        while True:
            message = await receive()
            self.received.append(message)
            if message["type"] == "http.disconnect":
                self.gone.set()
                self.proceed.set()
                return


def with_timeouts(app: ASGIApp, timeouts: ClientTimeouts) -> tuple[ASGIApp, ListenerTimeouts]:
    """Return the app with timeouts in its lifespan's state, and the holder of these timeouts."""
    holder = ListenerTimeouts(timeouts)

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await app(scope, receive, send)
            return
        assert (await receive())["type"] == "lifespan.startup"
        scope["state"][STATE_KEY] = holder
        await send({"type": "lifespan.startup.complete"})
        assert (await receive())["type"] == "lifespan.shutdown"
        await send({"type": "lifespan.shutdown.complete"})

    return wrapped, holder


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()


def limit(seconds: float = HANG_TIMEOUT) -> asyncio.Timeout:
    return asyncio.timeout(seconds)


def start(status: int = 200, *headers: tuple[bytes, bytes]) -> Message:
    return {"type": "http.response.start", "status": status, "headers": list(headers)}


def part(body: bytes, *, more: bool = False) -> Message:
    return {"type": "http.response.body", "body": body, "more_body": more}


@asynccontextmanager
async def stoppable(
    app: ASGIApp, lifespan: Literal["on", "off"] = "off"
) -> AsyncIterator[tuple[int, uvicorn.Server, asyncio.Task[None]]]:
    config = uvicorn.Config(app, port=0, log_config=None, lifespan=lifespan, **uvicorn_settings())
    server = OwnLoopServer(config)
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    try:
        yield server.servers[0].sockets[0].getsockname()[1], server, task
    finally:
        server.should_exit = True
        await task

"""The gateway's own server for tests of WebSockets: with ping timeouts of its own, and with a graceful shutdown."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from proxy.server.settings import uvicorn_settings
from proxy.server.timeouts import STATE_KEY, ClientTimeouts, ListenerTimeouts
from tests.support.sockets import OwnLoopServer
from tests.support.waiting import HANG_TIMEOUT


def with_pings(app: ASGIApp, interval: float, timeout: float) -> ASGIApp:
    """Return the app with times for pings, in seconds; serve it with `lifespan="on"`."""
    timeouts = ClientTimeouts(websocket_ping_interval=interval, websocket_ping_timeout=timeout)
    return with_state(app, {STATE_KEY: ListenerTimeouts(timeouts)})


def with_state(app: ASGIApp, state: Mapping[str, object]) -> ASGIApp:
    """Return the app with a lifespan's state; serve it with `lifespan="on"`."""

    async def stateful(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await app(scope, receive, send)
            return
        await receive()
        scope["state"].update(state)
        await send({"type": "lifespan.startup.complete"})
        with suppress(asyncio.CancelledError):  # a server that is forced to exit does not shut down
            await receive()
            await send({"type": "lifespan.shutdown.complete"})

    return stateful


@asynccontextmanager
async def stoppable(app: ASGIApp, **settings: Any) -> AsyncIterator[tuple[int, Callable[[], None]]]:
    """Run a server; yield its port and a function that stops it as a signal would."""
    arguments = {**uvicorn_settings(), "lifespan": "off", "log_config": None, **settings}
    server = OwnLoopServer(uvicorn.Config(app, host="127.0.0.1", port=0, **arguments))
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.005)

    def stop() -> None:
        server.should_exit = True

    yield server.servers[0].sockets[0].getsockname()[1], stop
    async with asyncio.timeout(HANG_TIMEOUT):
        await task

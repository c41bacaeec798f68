"""An app that gives its server WebSocket timeouts through the lifespan state, as the gateway's process does."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from starlette.types import ASGIApp, Receive, Scope, Send

from proxy.server.timeouts import STATE_KEY, ClientTimeouts, ListenerTimeouts


def with_pings(app: ASGIApp, interval: float, timeout: float) -> ASGIApp:
    """Return the app; serve it with `lifespan="on"`. Both times are in seconds."""
    timeouts = ListenerTimeouts(ClientTimeouts(websocket_ping_interval=interval, websocket_ping_timeout=timeout))

    async def timed(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await app(scope, receive, send)
            return
        await receive()
        scope["state"][STATE_KEY] = timeouts
        await send({"type": "lifespan.startup.complete"})
        with suppress(asyncio.CancelledError):  # a server that is forced to exit does not shut down
            await receive()
            await send({"type": "lifespan.shutdown.complete"})

    return timed

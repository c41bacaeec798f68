"""The legacy side: another service, over the network, as an ASGI app."""

from __future__ import annotations

from starlette.types import Receive, Scope, Send

from proxy.upstream.http import HttpUpstream, Timeouts
from proxy.upstream.websocket import WebSocketUpstream

__all__ = ["Timeouts", "Upstream"]


class Upstream:
    """Forwards `http` and `websocket` scopes to `url`. Raises `failures.Failure`."""

    def __init__(self, url: str, timeouts: Timeouts, *, max_connections: int) -> None:
        self._http = HttpUpstream(url, timeouts, max_connections=max_connections)
        self._websocket = WebSocketUpstream(url, connect_timeout=timeouts.connect, response_timeout=timeouts.response)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        side = self._http if scope["type"] == "http" else self._websocket
        await side(scope, receive, send)

    def close(self) -> None:
        """Close the connections at rest."""
        self._http.close()

"""The legacy backend: a service that is reached over the network, as an ASGI app."""

from __future__ import annotations

from starlette.types import Receive, Scope, Send

from proxy.backends.legacy.dial import Dialer
from proxy.backends.legacy.endpoint import Endpoint
from proxy.backends.legacy.http import HttpUpstream
from proxy.backends.legacy.pool import PoolLimits
from proxy.backends.legacy.websocket import WebSocketUpstream
from proxy.gateway.timeouts import Timeouts

__all__ = ["Endpoint", "PoolLimits", "Timeouts", "Upstream"]


class Upstream:
    """Forwards `http` and `websocket` scopes to a legacy: its URL, or its endpoint. Raises `errors.Failure`."""

    def __init__(self, legacy: str | Endpoint, timeouts: Timeouts, limits: PoolLimits | None = None) -> None:
        dialer = Dialer(Endpoint.parse(legacy) if isinstance(legacy, str) else legacy)
        self._http = HttpUpstream(dialer, timeouts, limits)
        self.prepare = self._http.prepare
        self._websocket = WebSocketUpstream(
            dialer, connect_timeout=timeouts.connect, response_timeout=timeouts.response
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        backend = self._http if scope["type"] == "http" else self._websocket
        await backend(scope, receive, send)

    def close(self) -> None:
        """Close the idle connections now, the others when their exchanges end."""
        self._http.close()

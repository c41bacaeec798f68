"""Dispatch connections to the public or the ops app by the socket that accepted them.

uvicorn serves one app on both listeners. The kernel gives a connection the local address of its listening socket (any
address, if that is bound to a wildcard), and no client can choose another one. The ops app is therefore unreachable
through the public socket.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from ipaddress import ip_address

from starlette.types import ASGIApp, Receive, Scope, Send

from proxy.gateway.client_address import read_address
from proxy.server.exchange import BeginRequest, begin_of


@dataclass(frozen=True, slots=True)
class ListenerAddress:
    """The address that a listening socket is bound to."""

    host: str
    port: int

    @classmethod
    def of(cls, listener: socket.socket) -> ListenerAddress:
        """Return the address of a bound socket."""
        host, port = listener.getsockname()[:2]
        return cls(host, port)

    def accepted(self, local: tuple[str, int | None] | None) -> bool:
        """Return True if this listener accepted a connection with that local address (`scope["server"]`)."""
        if local is None or local[1] != self.port:
            return False
        return ip_address(self.host).is_unspecified or read_address(local[0]) == read_address(self.host)


class ListenerDispatcher:
    """An ASGI app that passes connections of the ops listener to the ops app and all others to the public app.

    `lifespan` handles the lifespan scope of both.
    """

    def __init__(
        self, public: ASGIApp, ops: ASGIApp, ops_listener: ListenerAddress, lifespan: ASGIApp | None = None
    ) -> None:
        self._public, self._ops, self._ops_listener = public, ops, ops_listener
        self._lifespan = lifespan or public
        self._begin_public = begin_of(public)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self._lifespan if scope["type"] == "lifespan" else self._app_of(scope)
        await app(scope, receive, send)

    def begin_for(self, server: tuple[str, int | None] | None) -> BeginRequest | None:
        """Return the public app's `begin`; None for connections of the ops listener: see `proxy.server.exchange`."""
        return None if self._ops_listener.accepted(server) else self._begin_public

    def _app_of(self, scope: Scope) -> ASGIApp:
        return self._ops if self._ops_listener.accepted(scope.get("server")) else self._public

"""Tell the two listeners of a process apart by the socket that a connection was accepted on.

uvicorn serves one app on both. The kernel gives a connection the local address of its listening socket (any address,
where that is bound to a wildcard), and no client can choose another, so the ops app is never reached through the public
socket.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from ipaddress import ip_address

from starlette.types import ASGIApp, Receive, Scope, Send

from proxy.gateway.client_address import read_address


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
        """Return whether this listener accepted a connection with that local address (`scope["server"]`)."""
        if local is None or local[1] != self.port:
            return False
        return ip_address(self.host).is_unspecified or read_address(local[0]) == read_address(self.host)


class ListenerDispatcher:
    """Gives a connection of the ops listener to the ops app, any other to the public one."""

    def __init__(self, public: ASGIApp, ops: ASGIApp, ops_listener: ListenerAddress) -> None:
        self._public, self._ops, self._ops_listener = public, ops, ops_listener

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self._ops if self._ops_listener.accepted(scope.get("server")) else self._public
        await app(scope, receive, send)

"""The PROXY protocol: a connection of a trusted proxy begins with a header that names its client.

    bytes ─▶ parse_header ─▶ HttpProtocol, on a transport whose peer is the client that the header names

All later layers see an ordinary connection, WebSockets included. A connection that lacks a required header is closed
without an answer. Optional headers would let clients write their own. `ProxyProtocolPolicy` decides which connections
require one; the app passes it to the server through its lifespan state, under `STATE_KEY`.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from functools import partial
from typing import Any, Final, cast

from uvicorn.config import Config
from uvicorn.protocols.utils import get_local_addr, get_remote_addr
from uvicorn.server import ServerState

from proxy.gateway.client_address import TrustedProxies
from proxy.read_flow import call_after_arrivals, call_soon_after_arrivals
from proxy.server.known_heads import KNOWN_HEADS_KEY, KnownHeads
from proxy.server.protocol import HttpProtocol
from proxy.server.proxy_header import MalformedHeaderError, ProxyHeader, parse_header
from proxy.server.timeouts import timeouts_in_force

logger = logging.getLogger("scribe_proxy")

STATE_KEY: Final = "proxy.proxy_protocol"
HEADER_TIMEOUT: Final = 5.0
"""Seconds for the header to arrive; the specification requires at least three."""

PeerAddress = tuple[str, int] | None
LocalAddress = tuple[str, int | None] | None


class ProxyProtocolPolicy:
    """The rule in force for the connections that must begin with a header.

    `trusted`: the peers whose connections must; None for no peers. `header_timeout`: seconds for the header to arrive.
    """

    def __init__(self, trusted: TrustedProxies | None = None, header_timeout: float = HEADER_TIMEOUT) -> None:
        self.trusted = trusted
        self.header_timeout = header_timeout
        self.exempt: Callable[[LocalAddress], bool] = lambda _: False
        """Returns True for local addresses whose connections never have one."""

    def expects_header(self, peer: PeerAddress, local: LocalAddress) -> bool:
        """Return True if a connection of that peer to that local address begins with a header."""
        if self.trusted is None or self.exempt(local):
            return False
        return self.trusted.trusts_peer(peer[0] if peer is not None else None)


def create_protocol(
    config: Config,
    server_state: ServerState,
    app_state: dict[str, Any],
    _loop: asyncio.AbstractEventLoop | None = None,
) -> asyncio.Protocol:
    """Return the protocol of a new connection; uvicorn calls it instead of a protocol class."""
    if KNOWN_HEADS_KEY not in app_state:
        app_state[KNOWN_HEADS_KEY] = KnownHeads()
    state = {key: value for key, value in app_state.items() if key != STATE_KEY}
    http = partial(HttpProtocol, config, server_state, state, _loop)
    policy: ProxyProtocolPolicy | None = app_state.get(STATE_KEY)
    if policy is None or policy.trusted is None:
        return http()
    return ProxyProtocol(http, policy, server_state, timeouts_in_force(state).drain)


class ProxyProtocol(asyncio.Protocol):
    """A connection until its header has been read, or until it is known to have none.

    `drain`: seconds at a shutdown for a header.
    """

    def __init__(
        self, http: Callable[[], HttpProtocol], policy: ProxyProtocolPolicy, server_state: ServerState, drain: float
    ) -> None:
        self._http, self._policy, self._drain = http, policy, drain
        self._is_leaving = False
        self._connections = cast("set[object]", server_state.connections)
        self._transport: asyncio.Transport
        self._timer: asyncio.TimerHandle | None = None
        self._data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if not self._policy.expects_header(get_remote_addr(self._transport), get_local_addr(self._transport)):
            self._hand_over(self._transport, b"")
            return
        self._connections.add(self)
        loop = asyncio.get_running_loop()
        timeout = self._policy.header_timeout
        self._timer = loop.call_later(timeout, call_soon_after_arrivals, loop, self._expire)

    def data_received(self, data: bytes) -> None:
        self._data += data
        try:
            header = parse_header(self._data)
        except MalformedHeaderError as error:
            self._refuse(str(error))
            return
        if header is not None:
            self._end()
            self._hand_over(_transport_from(self._transport, header), self._data[header.length :])

    def connection_lost(self, exc: Exception | None) -> None:
        self._end()

    def shutdown(self) -> None:
        """Close, unless a header comes in time: its request is served. uvicorn's graceful shutdown."""
        self._is_leaving = True
        call_after_arrivals(asyncio.get_running_loop(), self._drain, self._close_idle)

    def _close_idle(self) -> None:
        if self in self._connections:
            self._transport.close()

    def _hand_over(self, transport: asyncio.Transport, data: bytes) -> None:
        protocol = self._http()
        self._transport.set_protocol(protocol)
        protocol.connection_made(transport)
        if self._is_leaving:
            protocol.shutdown()
        if data:
            protocol.data_received(data)

    def _expire(self) -> None:
        if self in self._connections:
            self._refuse("none in time")

    def _refuse(self, reason: str) -> None:
        peer = get_remote_addr(self._transport)
        logger.warning("no PROXY header from %s: %s", peer[0] if peer else "a Unix socket", reason)
        self._end()
        self._transport.abort()

    def _end(self) -> None:
        self._connections.discard(self)
        if self._timer is not None:
            self._timer.cancel()


def _transport_from(transport: asyncio.Transport, header: ProxyHeader) -> asyncio.Transport:
    """Return the transport with the client named by the header as its peer."""
    if header.source is None:
        return transport
    return cast("asyncio.Transport", _ProxiedTransport(transport, header.source))


class _ProxiedTransport:
    """A transport with another peer; other attributes are those of the wrapped transport."""

    def __init__(self, transport: asyncio.Transport, peer: tuple[str, int]) -> None:
        self._transport, self._peer = transport, peer

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        if name == "peername":
            return self._peer
        value = self._transport.get_extra_info(name, default)
        return _ProxiedSocket(value, self._peer) if name == "socket" and value is not None else value

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class _ProxiedSocket:
    """The socket of a `_ProxiedTransport`, from which uvicorn reads the peer."""

    def __init__(self, wrapped: socket.socket, peer: tuple[str, int]) -> None:
        self._wrapped, self._peer = wrapped, peer

    def getpeername(self) -> tuple[str, int]:
        return self._peer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._wrapped, name)

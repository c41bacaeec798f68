"""The opening of a WebSocket to the legacy: one HTTP request, and 101 or the legacy's own refusal.

The request is the client's own, target and headers as they came, but for what belongs to one connection: the key, the
version and the extensions offered (none: `ws` compresses only when told to, and what is not compressed need not be
unpacked and packed again here). The answer is read by the HTTP side's connection, so that a refusal is an answer like
any other, of any length.
"""

from __future__ import annotations

import asyncio
import base64
import secrets
from dataclasses import dataclass

from starlette.types import Scope
from websockets.protocol import Side
from websockets.utils import accept_key

from proxy.failures import BadAnswer
from proxy.websocket.peer import Limits, Peer

from .connection import Connection
from .endpoint import Endpoint
from .headers import RawHeaders, end_to_end, first, request_headers, request_target

OURS = frozenset((b"sec-websocket-key", b"sec-websocket-version", b"sec-websocket-extensions", b"content-length"))
"""Request headers that we write ourselves, or not at all."""
SPENT = frozenset((b"sec-websocket-accept", b"sec-websocket-extensions", b"sec-websocket-protocol", b"content-length"))
"""Headers of a 101 that end here."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """A handshake that the legacy took: its end of the socket, the subprotocol it chose, its other headers."""

    peer: Peer
    subprotocol: str | None
    headers: RawHeaders


class Opening(Connection):
    """A connection to the legacy that asks to become a WebSocket.

    After `ask`, `wait` until there is `accepted`, a refusal (`has_head`; then as any HTTP answer) or an `error`.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, limits: Limits) -> None:
        super().__init__(loop)
        self._limits = limits
        self._key = base64.b64encode(secrets.token_bytes(16))
        self.accepted: Accepted | None = None

    def ask(self, scope: Scope, endpoint: Endpoint) -> None:
        headers = endpoint.with_host(request_headers(scope, scope.get("proxy.request_id", b"-")))
        lines = [b"GET ", endpoint.target(request_target(scope)), b" HTTP/1.1\r\n"]
        for name, value in headers:
            if name not in OURS:
                lines += (name, b": ", value, b"\r\n")
        lines += (b"upgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-version: 13\r\n",)
        lines += (b"sec-websocket-key: ", self._key, b"\r\n\r\n")
        self.send(b"".join(lines), head_only=False, upgrade=True)

    @property
    def decided(self) -> bool:
        return self.accepted is not None or self.has_head or self.error is not None

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.status == 101 and self.accepted is None and self.error is None:
            self._switch(self._reader.excess)

    def _switch(self, rest: bytes) -> None:
        """The legacy says 101: the connection is a WebSocket from here on (RFC 6455 §4.1)."""
        upgrade = first(self.headers, b"upgrade") or b""
        answer = first(self.headers, b"sec-websocket-accept")
        extended = first(self.headers, b"sec-websocket-extensions")
        right = answer == accept_key(self._key.decode()).encode()
        if upgrade.lower() != b"websocket" or not right or extended:
            self.error = BadAnswer()
            self.close()
            return
        chosen = first(self.headers, b"sec-websocket-protocol")
        peer = Peer(Side.CLIENT, self._limits)
        headers = [header for header in end_to_end(self.headers) if header[0] not in SPENT]
        self.accepted = Accepted(peer, chosen.decode("latin-1") if chosen else None, headers)
        peer.adopt(self._transport, rest)

"""The opening handshake of a WebSocket with legacy: one HTTP request, then 101 or legacy's refusal.

The request is the client's own, with its target, headers, key, version and offered extensions. The two ends negotiate
extensions such as permessage-deflate themselves, and frames pass unchanged. The HTTP connection reads the answer, so a
refusal is an ordinary answer of any length.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from starlette.types import Scope
from websockets.utils import accept_key

from proxy.backends.legacy.connection import Connection
from proxy.backends.legacy.endpoint import Endpoint
from proxy.backends.legacy.headers import end_to_end, request_headers
from proxy.gateway.errors import BadAnswer
from proxy.gateway.request_context import context_of
from proxy.gateway.scope import first_header, request_target
from proxy.types import RawHeaders
from proxy.websocket.relay import Relay

GENERATED_HEADERS = frozenset((b"content-length",))
"""Request headers that are not forwarded, because a handshake has no body."""
CONSUMED_HEADERS = frozenset((b"sec-websocket-accept", b"content-length"))
"""Headers of a 101 that the server writes itself or omits."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """A handshake accepted by legacy: the relay to it, and its further headers (extensions, subprotocol)."""

    relay: Relay
    headers: RawHeaders


class WebSocketHandshake(Connection):
    """A connection to legacy that requests an upgrade to a WebSocket.

    After `request`, `wait` until there is `accepted`, a refusal (`has_head`, then as for any answer) or an `error`.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._key = b""
        self.accepted: Accepted | None = None

    def request(self, scope: Scope, endpoint: Endpoint) -> None:
        """Send the request."""
        self._key = first_header(scope["headers"], b"sec-websocket-key") or b""
        lines = [b"GET ", endpoint.target(request_target(scope)), b" HTTP/1.1\r\n"]
        for name, value in endpoint.with_host(request_headers(scope, context_of(scope).request_id)):
            if name not in GENERATED_HEADERS:
                lines += (name, b": ", value, b"\r\n")
        lines.append(b"upgrade: websocket\r\nconnection: Upgrade\r\n\r\n")
        self.send(b"".join(lines), head_only=False, upgrade=True)

    @property
    def decided(self) -> bool:
        """True once legacy has accepted or refused, or the connection has failed."""
        return self.accepted is not None or self.has_head or self.error is not None

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.status == 101 and self.accepted is None and self.error is None:
            self._switch(self.response.excess)

    def _switch(self, received: bytes) -> None:
        """Continue as a relayed WebSocket after a 101 that answers the key (RFC 6455 §4.1)."""
        upgrade = first_header(self.headers, b"upgrade") or b""
        answer = first_header(self.headers, b"sec-websocket-accept")
        if upgrade.lower() != b"websocket" or answer != accept_key(self._key.decode("latin-1")).encode():
            self.error = BadAnswer()
            self.close()
            return
        headers = [header for header in end_to_end(self.headers) if header[0] not in CONSUMED_HEADERS]
        self.accepted = Accepted(Relay(self._transport, received), headers)

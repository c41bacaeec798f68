"""The client of a request and its forwarding headers, cached for recurring headers. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import lru_cache
from typing import Final, NamedTuple

from starlette.types import Scope

from proxy.gateway.client_address import TrustedProxies, canonical_peer, client_key, resolve_client
from proxy.gateway.cookies import without_cookies
from proxy.gateway.forwarding import with_forwarding
from proxy.gateway.scope import first_header
from proxy.types import HeaderFields

CACHED: Final = 1024
"""Maximum number of combinations of headers, peer and scheme whose origin is cached."""

_MEANINGLESS: Final = re.compile(rb"[0-9a-fA-F]{8}(-?)(?:[0-9a-fA-F]{4}\1){3}[0-9a-fA-F]{12}")


class RequestOrigin(NamedTuple):
    """The client of a request, as recorded by trusted proxies, and the headers that identify it.

    `address`: the client's; None if unknown. `scheme`: `http` or `https`. `headers`: the request's, with the gateway's
    forwarding headers. `passed`: the part of them that backends receive. `key`: the client's `client_key`.
    `request_id`: the client's own `X-Request-Id` if it is a plain token; `logged_id`: the same, if it may be
    logged.
    """

    address: str | None
    scheme: str
    headers: HeaderFields
    passed: tuple[tuple[bytes, bytes], ...]
    key: str | None
    request_id: bytes | None
    logged_id: str | None

    def client(self, peer: tuple[str, int] | None) -> tuple[str, int] | None:
        """Return the client's address for the scope, with the port if it is the connection's peer, otherwise 0."""
        address = self.address
        if address is None or (peer is not None and address == peer[0]):
            return peer
        return address, (peer[1] if peer is not None and address == canonical_peer(peer[0]) else 0)


class OriginResolver:
    """Resolver of origins, for one configuration.

    `secret_header`: the override header, whose secret is not forwarded; `own_cookies`: cookies of the gateway itself.
    """

    def __init__(
        self, trusted: TrustedProxies, secret_header: bytes | None = None, own_cookies: Collection[bytes] = ()
    ) -> None:
        self._trusted, self._secret_header, self._own_cookies = trusted, secret_header, own_cookies
        self._recurring: Final = lru_cache(maxsize=CACHED)(self._resolve)

    def resolve(self, headers: HeaderFields, peer: str | None, scheme: str) -> RequestOrigin:
        """Return the origin of a request, cached if `headers` is a tuple. `peer` is None on a Unix socket."""
        known = isinstance(headers, tuple)
        return self._recurring(headers, peer, scheme) if known else self._resolve(headers, peer, scheme)

    def passed(self, headers: HeaderFields) -> HeaderFields:
        """Return the headers without the override header and the gateway's own cookies."""
        if self._secret_header is not None:
            headers = [header for header in headers if header[0] != self._secret_header]
        return without_cookies(headers, self._own_cookies)

    def _resolve(self, headers: HeaderFields, peer: str | None, scheme: str) -> RequestOrigin:
        client = resolve_client(headers, peer, self._trusted)
        peer = canonical_peer(peer) if peer is not None else None
        scheme = client.scheme or scheme
        forwarded = tuple(with_forwarding(headers, client, peer, scheme))
        key = client_key((client.address, 0), self._trusted) if client.address is not None else None
        given = _plain_request_id(headers)
        logged = given.decode() if given is not None and _MEANINGLESS.fullmatch(given) else None
        return RequestOrigin(client.address, scheme, forwarded, tuple(self.passed(forwarded)), key, given, logged)


def resolve_origin(scope: Scope, resolver: OriginResolver) -> RequestOrigin:
    """Return the origin of a request, and store its client, scheme and headers in the scope."""
    connection = scope.get("client")
    websocket = scope["type"] == "websocket"
    given: str = scope.get("scheme", "http")
    scheme = given.replace("ws", "http") if websocket else given
    origin = resolver.resolve(scope["headers"], connection and connection[0], scheme)
    if origin.address is not None:
        scope["client"] = origin.client(connection)
    if origin.scheme != scheme:
        scope["scheme"] = origin.scheme.replace("http", "ws") if websocket else origin.scheme
    scope["headers"] = origin.headers
    return origin


def _plain_request_id(headers: HeaderFields) -> bytes | None:
    given = first_header(headers, b"x-request-id")
    if given is None or len(given) > 128 or not given.replace(b"-", b"").replace(b"_", b"").isalnum():
        return None
    return given

"""Where a request comes from, and the headers that follow from it, worked out once for headers that recur. Pure."""

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
"""Combinations of headers, peer and scheme whose origin is remembered."""

_MEANINGLESS: Final = re.compile(rb"[0-9a-fA-F]{8}(-?)(?:[0-9a-fA-F]{4}\1){3}[0-9a-fA-F]{12}")


class RequestOrigin(NamedTuple):
    """The client of a request, as trusted proxies recorded it, and the headers that name it.

    `address`: the client's, None where it is not known. `scheme`: `http` or `https`. `headers`: the request's, with the
    forwarding headers of this gateway; `passed`: those that backends get. `key`: by which the client is counted.
    `request_id`: the client's own `X-Request-Id`, where that is a plain token; `logged_id`: the same, where the log may
    have it.
    """

    address: str | None
    scheme: str
    headers: HeaderFields
    passed: HeaderFields
    key: str | None
    request_id: bytes | None
    logged_id: str | None


class OriginResolver:
    """Resolves origins under one configuration.

    `secret_header`: the header of overrides, whose secret backends do not get; `own_cookies`: the gateway's own.
    """

    def __init__(
        self, trusted: TrustedProxies, secret_header: bytes | None = None, own_cookies: Collection[bytes] = ()
    ) -> None:
        self._trusted, self._secret_header, self._own_cookies = trusted, secret_header, own_cookies
        self._recurring: Final = lru_cache(maxsize=CACHED)(self._resolve)

    def resolve(self, headers: HeaderFields, peer: str | None, scheme: str) -> RequestOrigin:
        """Return the origin of a request. `peer`: None on a Unix socket. Remembered where `headers` is a tuple."""
        known = isinstance(headers, tuple)
        return self._recurring(headers, peer, scheme) if known else self._resolve(headers, peer, scheme)

    def passed(self, headers: HeaderFields) -> HeaderFields:
        """Return the headers without the override's secret and without the gateway's own cookies."""
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
    """Return the origin of a request; put its client, its scheme and its headers into the scope."""
    connection, websocket = scope.get("client"), scope["type"] == "websocket"
    given: str = scope.get("scheme", "http")
    scheme = given.replace("ws", "http") if websocket else given
    origin = resolver.resolve(scope["headers"], connection and connection[0], scheme)
    address = origin.address
    if address is not None and (connection is None or address != connection[0]):
        port = connection[1] if connection and address == canonical_peer(connection[0]) else 0
        scope["client"] = (address, port)
    if origin.scheme != scheme:
        scope["scheme"] = origin.scheme.replace("http", "ws") if websocket else origin.scheme
    scope["headers"] = origin.headers
    return origin


def _plain_request_id(headers: HeaderFields) -> bytes | None:
    given = first_header(headers, b"x-request-id")
    if given is None or len(given) > 128 or not given.replace(b"-", b"").replace(b"_", b"").isalnum():
        return None
    return given

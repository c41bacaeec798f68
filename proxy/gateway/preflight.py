"""CORS preflights: `OPTIONS` requests by which a browser asks for permission to send another request. Pure.

A preflight follows the route of the announced request, so that it reaches the same backend. It carries no
`Authorization`, no cookies and no headers of the page, so its caller's key is often missing or different. That is
harmless, because both backends answer preflights alike. While both have callers, either may answer.
"""

from __future__ import annotations

from dataclasses import replace

from proxy.gateway.patterns import WEBSOCKET
from proxy.gateway.routing import Match, RouteTable
from proxy.types import HeaderFields


def requested_method(method: str, headers: HeaderFields) -> str | None:
    """Return the method that a preflight announces; None for other requests (Fetch, "CORS-preflight request")."""
    if method != "OPTIONS":
        return None
    preflight_headers = {
        name: value for name, value in headers if name in (b"origin", b"access-control-request-method")
    }
    requested = preflight_headers.get(b"access-control-request-method", b"").decode("latin-1")
    return requested if requested and b"origin" in preflight_headers and requested != WEBSOCKET else None


def match_request(table: RouteTable, method: str, headers: HeaderFields, raw_path: bytes) -> Match | None:
    """Return the match of a request; for a preflight, that of the announced request.

    A route declared for `OPTIONS` takes precedence. `method` and `raw_path` are those of `RouteTable.match`.
    """
    requested = requested_method(method, headers) if method == "OPTIONS" else None
    if requested is None:
        return table.match(method, raw_path)
    own = table.match("OPTIONS", raw_path)
    if own is not None and own.route.pattern.method == "OPTIONS":
        return own
    match = table.match(requested, raw_path) or own
    return replace(match, preflight=True) if match is not None else None

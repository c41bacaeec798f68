"""Which headers cross the gateway. Pure; `proxy.forwarding` writes those that say where a request came from.

Hop-by-hop headers (RFC 9110 §7.6.1) concern one connection only and stay behind, with every header that `Connection`
names; all others pass in their order, duplicates kept.
"""

from __future__ import annotations

from collections.abc import Iterable

from starlette.types import Scope

from proxy.forwarding import FORWARDING

RawHeaders = list[tuple[bytes, bytes]]

HOP_BY_HOP = frozenset(
    (
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    )
)


def end_to_end(headers: Iterable[tuple[bytes, bytes]]) -> RawHeaders:
    """The headers that pass on. Names are lower-case, as ASGI has them. No option removes what the gateway wrote."""
    headers = list(headers)
    dropped = HOP_BY_HOP
    for name, value in headers:
        if name == b"connection":
            dropped = dropped | ({token.strip().lower() for token in value.split(b",")} - FORWARDING)
    return [header for header in headers if header[0] not in dropped]


def request_headers(scope: Scope, request_id: bytes) -> RawHeaders:
    """Return the request's headers as legacy gets them: its own, with the gateway's `X-Request-Id`."""
    headers = [header for header in end_to_end(scope["headers"]) if header[0] != b"x-request-id"]
    headers.append((b"x-request-id", request_id))
    return headers


def request_target(scope: Scope) -> bytes:
    """The request target exactly as the client wrote it, where the server kept it; else path and query rejoined."""
    target: bytes | None = scope.get("proxy.target")
    if target is not None:
        return target
    path: bytes = scope.get("raw_path") or scope["path"].encode()
    query: bytes = scope.get("query_string", b"")
    return path + b"?" + query if query else path


def first(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> bytes | None:
    """The first header of that (lower-case) name."""
    for key, value in headers:
        if key == name:
            return value
    return None

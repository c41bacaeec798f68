"""Which headers cross the gateway, and what it adds to them. Pure.

Hop-by-hop headers (RFC 9110 §7.6.1) concern one connection only and stay behind, with every header that `Connection`
names; all others pass in their order, duplicates kept.
"""

from __future__ import annotations

from collections.abc import Iterable

from starlette.types import Scope

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
    """The headers that pass on. Names are lower-case, as ASGI has them."""
    headers = list(headers)
    dropped = HOP_BY_HOP
    for name, value in headers:
        if name == b"connection":
            dropped = dropped | {token.strip().lower() for token in value.split(b",")}
    return [header for header in headers if header[0] not in dropped]


def request_headers(scope: Scope, request_id: bytes) -> RawHeaders:
    """The request's headers as the legacy gets them: its own, then the forwarding ones.

    `X-Forwarded-For` grows by the peer's address; `-Proto` and `-Host` say what a proxy in front has already said, or
    what this connection shows. `Host` itself passes unchanged.
    """
    headers: RawHeaders = []
    forwarded_for = b""
    host = b""
    has_proto = has_host = False
    for header in end_to_end(scope["headers"]):
        name, value = header
        if name == b"x-forwarded-for":
            forwarded_for = forwarded_for + value + b", "
            continue
        if name == b"x-request-id":
            continue
        if name == b"host":
            host = value
        elif name == b"x-forwarded-proto":
            has_proto = True
        elif name == b"x-forwarded-host":
            has_host = True
        headers.append(header)
    client = scope.get("client")
    peer = client[0].encode() if client else b"unknown"
    headers.append((b"x-forwarded-for", forwarded_for + peer))
    if not has_proto:
        headers.append((b"x-forwarded-proto", scope.get("scheme", "http").replace("ws", "http").encode()))
    if not has_host and host:
        headers.append((b"x-forwarded-host", host))
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

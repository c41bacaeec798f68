"""Select the headers to forward. Pure; `proxy.gateway.forwarding` writes the headers about the client.

Hop-by-hop headers (RFC 9110 §7.6.1) apply to one connection and are removed, as are the headers that `Connection`
names. All others pass in their order, including duplicates.
"""

from __future__ import annotations

from collections.abc import Iterable

from starlette.types import Scope

from proxy.gateway.forwarding import FORWARDING, Header
from proxy.types import HeaderFields, RawHeaders

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


PROTECTED = frozenset(
    (
        *(b"host", b"content-length", b"content-type", b"content-encoding", b"content-range", b"content-disposition"),
        *(b"accept", b"accept-encoding", b"accept-language", b"authorization", b"cache-control", b"cookie", b"date"),
        *(b"expect", b"etag", b"location", b"origin", b"range", b"retry-after", b"set-cookie", b"vary"),
        *(b"user-agent", b"www-authenticate", b"x-request-id", *FORWARDING),
    )
)
"""Headers that `Connection` cannot remove: they frame or route the message or name its sender for all recipients, so no
sender may make them options of one connection (RFC 9110 §7.6.1)."""


_NAMELESS = frozenset((b"close", b"keep-alive", b"Keep-Alive", b"Upgrade", b"upgrade"))
"""Values of `Connection` that name only hop-by-hop headers."""


def list_members(value: bytes) -> list[bytes]:
    """Return the members of a comma-separated list in lower case, without empty ones (RFC 9110 §5.6.1)."""
    members = [member.strip(b" \t").lower() for member in value.split(b",")]
    return [member for member in members if member] if b"" in members else members


def dropped_names(headers: Iterable[Header]) -> frozenset[bytes]:
    """Return the names of headers that are not forwarded: hop-by-hop, or named by `Connection`."""
    dropped = HOP_BY_HOP
    for name, value in headers:
        if name == b"connection" and value not in _NAMELESS:
            dropped = dropped | (frozenset(list_members(value)) - PROTECTED)
    return dropped


def end_to_end(headers: HeaderFields) -> RawHeaders:
    """Return the headers to forward. Names are in lower case."""
    dropped = dropped_names(headers)
    return [header for header in headers if header[0] not in dropped]


def response_headers(status: int, headers: HeaderFields, dropped: frozenset[bytes] | None = None) -> RawHeaders:
    """Return a response's headers to forward; `dropped` are their `dropped_names`, if known.

    A 204 retains only a length of 0: the `cors` package sends it, although RFC 9110 §8.6 forbids any. A 426 retains the
    protocols to upgrade to, which are part of its meaning (RFC 9110 §15.5.22).
    """
    if dropped is None:
        dropped = dropped_names(headers)
    passed = [header for header in headers if header[0] not in dropped]
    if status == 204:
        return [header for header in passed if header[0] != b"content-length" or header[1] == b"0"]
    if status == 426:
        return [*passed, *(header for header in headers if header[0] == b"upgrade")]
    return passed


def request_headers(scope: Scope, request_id: bytes) -> RawHeaders:
    """Return the request's headers for legacy: its own, with the gateway's `X-Request-Id`."""
    return [*unidentified_headers(scope["headers"]), (b"x-request-id", request_id)]


def unidentified_headers(headers: HeaderFields) -> RawHeaders:
    """Return the headers of a request that are forwarded, without `X-Request-Id`."""
    dropped = dropped_names(headers)
    return [header for header in headers if header[0] not in dropped and header[0] != b"x-request-id"]

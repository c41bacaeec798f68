"""Write the headers that identify the client and the original request. Pure.

    X-Forwarded-For, -Proto, -Host    always present
    Forwarded, X-Real-IP              present if the request had them

Headers of a trusted proxy are extended. Headers of any other peer are replaced by the connection's values, and its
other `X-Forwarded-*` headers are removed, so that backends can trust all of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from proxy.gateway.client_address import ResolvedClient

Header = tuple[bytes, bytes]

FORWARDING: Final = frozenset(
    (b"forwarded", b"x-real-ip", b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host")
)
"""Headers that this module writes. A client's `Connection` header cannot remove them."""
_PREFIX: Final = b"x-forwarded-"


def with_forwarding(headers: Iterable[Header], client: ResolvedClient, peer: str | None, scheme: str) -> list[Header]:
    """Return the headers for backends: the others first, in their order, then the forwarding headers.

    `peer` is the connection's peer, None on a Unix socket; `scheme` is the scheme of the client's request, `http` or
    `https`. Names are in lower case, as in ASGI.
    """
    if client.behind_proxy:
        return _extended(headers, (peer or "unknown").encode(), scheme.encode())
    return _replaced(list(headers), peer or "unknown", scheme)


def _replaced(headers: list[Header], peer: str, scheme: str) -> list[Header]:
    passed = [header for header in headers if header[0] not in FORWARDING and header[0][:12] != _PREFIX]
    written = list(_shown(peer, scheme))
    for name, value in headers:
        if name == b"host":
            written.append((b"x-forwarded-host", value))
            break
    if len(passed) < len(headers):
        names = {name for name, _ in headers}
        if b"forwarded" in names:
            written.append((b"forwarded", b"for=%b;proto=%b" % (_node(peer.encode()), scheme.encode())))
        if b"x-real-ip" in names:
            written.append((b"x-real-ip", peer.encode()))
    return passed + written


@lru_cache(maxsize=4096)
def _shown(peer: str, scheme: str) -> tuple[Header, Header]:
    """Return the headers that depend only on the connection."""
    return (b"x-forwarded-for", peer.encode()), (b"x-forwarded-proto", scheme.encode())


def _extended(headers: Iterable[Header], peer: bytes, scheme: bytes) -> list[Header]:
    passed: list[Header] = []
    chain: list[bytes] = []
    elements: list[bytes] = []
    known: dict[bytes, bytes] = {}
    for header in headers:
        name, value = header
        known.setdefault(name, value)
        if name == b"x-forwarded-for":
            chain.append(value)
        elif name == b"forwarded":
            elements.append(value)
        else:
            passed.append(header)
    written = [(b"x-forwarded-for", b", ".join([*chain, peer]))]
    if b"x-forwarded-proto" not in known:
        written.append((b"x-forwarded-proto", scheme))
    if b"x-forwarded-host" not in known and b"host" in known:
        written.append((b"x-forwarded-host", known[b"host"]))
    if elements:
        written.append((b"forwarded", b", ".join([*elements, b"for=" + _node(peer)])))
    return passed + written


def _node(peer: bytes) -> bytes:
    """Return an address as a node of `Forwarded` (RFC 7239 §6.1)."""
    return b'"[%b]"' % peer if b":" in peer else peer

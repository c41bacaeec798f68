"""Resolve the address of the client behind trusted proxies. Pure.

A connection's peer is the client unless it is a trusted proxy. Then the recorded addresses are read from right to left,
because each proxy appends on the right: the first address that is not a trusted proxy is the client. An entry that is
not an address (malformed, obfuscated, `unknown`) ends the search at the proxy that reported it, because anyone may have
written the entries further left.

`X-Forwarded-For` is read if it is present, otherwise `Forwarded` (RFC 7239). A proxy that writes only one of the two
must remove the other from its clients' requests.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from proxy.types import HeaderFields

UNIX: Final = "unix"
"""The entry of `trusted_proxies` for peers on a Unix socket, which have no address."""
MAX_HOPS: Final = 64
"""Maximum number of entries to read, from the right."""

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_PORT: Final = r"(?::\d{1,5})?"
_V4_WITH_PORT: Final = re.compile(rf"(\d{{1,3}}(?:\.\d{{1,3}}){{3}}){_PORT}", re.ASCII)
_V6_IN_BRACKETS: Final = re.compile(rf"\[([0-9A-Fa-f:.]{{2,45}})\]{_PORT}", re.ASCII)
_NAME: Final = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_PAIR: Final = rf"({_NAME})=({_NAME}|\"[^\"\\]*\")"
_ELEMENT: Final = re.compile(rf"{_PAIR}(?:[ \t]*;[ \t]*{_PAIR})*;?", re.ASCII)
_PAIRS: Final = re.compile(_PAIR, re.ASCII)


@dataclass(frozen=True, slots=True)
class ResolvedClient:
    """The client of one request.

    `address` is its IP address in canonical text, None if it is unknown (a Unix socket without a recorded client).
    `behind_proxy`: the peer is trusted, so its forwarding headers are valid. `scheme` is the scheme that it recorded,
    `http` or `https`, or None.
    """

    address: str | None
    behind_proxy: bool = False
    scheme: str | None = None


class TrustedProxies:
    """The peers whose forwarding headers are trusted. `entries` are networks in CIDR notation, or `unix`."""

    __slots__ = ("_networks", "_unix")

    def __init__(self, entries: Iterable[str] = ()) -> None:
        entries = tuple(entries)
        self._unix: Final = UNIX in entries
        self._networks: Final[tuple[Network, ...]] = tuple(read_network(entry) for entry in entries if entry != UNIX)

    def __bool__(self) -> bool:
        return self._unix or bool(self._networks)

    def trusts_peer(self, peer: str | None) -> bool:
        """Return True if a connection's peer is a trusted proxy; None is a peer on a Unix socket."""
        if peer is None:
            return self._unix
        if not self._networks:
            return False
        address = read_address(peer)
        return address is not None and self.trusts(address)

    def trusts(self, address: Address) -> bool:
        """Return True if an address is a trusted proxy's."""
        return any(address.version == network.version and address in network for network in self._networks)


def read_network(text: str) -> Network:
    """Return the network of an address or CIDR notation; IPv4-mapped ones as IPv4. Raises ValueError."""
    network = ip_network(text)
    if isinstance(network, IPv6Network) and network.prefixlen >= 96 and network.network_address.ipv4_mapped is not None:
        return IPv4Network((network.network_address.ipv4_mapped, network.prefixlen - 96))
    return network


@lru_cache(maxsize=4096)
def read_address(text: str) -> Address | None:
    """Return an address without its zone, IPv4-mapped ones as IPv4; None for anything else."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def canonical_peer(peer: str) -> str:
    """Return a peer's address in canonical text; a peer that is not an address is returned unchanged."""
    if ":" not in peer:
        return peer
    address = read_address(peer)
    return str(address) if address is not None else peer


def client_key(client: tuple[str, int] | None, trusted: TrustedProxies) -> str | None:
    """Return the key that a client counts by: its IPv4 address, or the /64 of its IPv6 address.

    None means not limited: a client without an address, or a trusted proxy that recorded no client.
    """
    address = read_address(client[0]) if client else None
    if address is None or (trusted and trusted.trusts(address)):
        return None
    return _key_of(address)


@lru_cache(maxsize=4096)
def _key_of(address: Address) -> str:
    if isinstance(address, IPv6Address):
        return str(IPv6Network((int(address) >> 64 << 64, 64)).network_address)
    return str(address)


def resolve_client(headers: HeaderFields, peer: str | None, trusted: TrustedProxies) -> ResolvedClient:
    """Return the client of a request. `headers` are as in an ASGI scope; `peer` is None on a Unix socket."""
    peer = canonical_peer(peer) if peer is not None else None
    if not trusted.trusts_peer(peer):
        return ResolvedClient(peer)
    address = peer
    for hop in _hops(headers):
        if hop is None:
            break
        address = str(hop)
        if not trusted.trusts(hop):
            break
    return ResolvedClient(address, behind_proxy=True, scheme=_scheme(headers))


def _hops(headers: HeaderFields) -> Iterator[Address | None]:
    """Yield recorded addresses, the nearest first; None for an entry that is not an address."""
    listed = _joined(headers, b"x-forwarded-for")
    if listed is not None:
        entries = (_listed_address(entry) for entry in _entries(listed, quoted=False))
    else:
        entries = (_element_address(entry) for entry in _entries(_joined(headers, b"forwarded") or "", quoted=True))
    for _, address in zip(range(MAX_HOPS), entries, strict=False):
        yield address


def _joined(headers: HeaderFields, name: bytes) -> str | None:
    """Return all lines of a header joined to one list (RFC 9110 §5.3); None without the header."""
    values = [value for key, value in headers if key == name]
    return b",".join(values).decode("latin-1") if values else None


def _entries(text: str, *, quoted: bool) -> Iterator[str]:
    """Yield the members of a list from the right, without empty ones (RFC 9110 §5.6.1).

    Reading from the right prevents an unclosed quote of the client from hiding what a proxy appended.
    """
    end = len(text)
    while end >= 0:
        start = _comma_before(text, end, quoted=quoted)
        entry = text[start + 1 : end].strip(" \t")
        if entry:
            yield entry
        end = start if start >= 0 else -1


def _comma_before(text: str, end: int, *, quoted: bool) -> int:
    """Return the position of the comma before `end`, outside of quotes; -1 without one."""
    inside, comma = False, end
    while (comma := text.rfind(",", 0, right := comma)) >= 0:
        inside ^= quoted and text.count('"', comma, right) % 2 == 1
        if not inside:
            break
    return comma


def _listed_address(entry: str) -> Address | None:
    """Return the address of an entry of `X-Forwarded-For`: bare, or with a port, as some balancers write it."""
    entry = entry.strip('"')
    with_port = _V4_WITH_PORT.fullmatch(entry) or _V6_IN_BRACKETS.fullmatch(entry)
    return read_address(with_port[1] if with_port else entry)


def _element_address(element: str) -> Address | None:
    """Return the address of an element of `Forwarded`: the node of its `for` (RFC 7239 §6)."""
    if _ELEMENT.fullmatch(element) is None:
        return None
    nodes = [value.strip('"') for name, value in _PAIRS.findall(element) if name.lower() == "for"]
    if len(nodes) != 1:
        return None
    node = _V4_WITH_PORT.fullmatch(nodes[0]) or _V6_IN_BRACKETS.fullmatch(nodes[0])
    return read_address(node[1]) if node else None


def _scheme(headers: HeaderFields) -> str | None:
    """Return the scheme that the nearest proxy recorded, from `Forwarded` if its `for` gave the client."""
    recorded = _joined(headers, b"x-forwarded-proto")
    if recorded is None and _joined(headers, b"x-forwarded-for") is None:
        element = next(_entries(_joined(headers, b"forwarded") or "", quoted=True), "")
        pairs = _PAIRS.findall(element) if _ELEMENT.fullmatch(element) else []
        recorded = next((value.strip('"') for name, value in pairs if name.lower() == "proto"), None)
    scheme = (recorded or "").rpartition(",")[2].strip().lower()
    return scheme if scheme in ("http", "https") else None

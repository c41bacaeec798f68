"""Parse the header of the PROXY protocol, versions 1 and 2. Pure.

A proxy that forwards TCP sends the header first, to name the client. The specification is HAProxy's
doc/proxy-protocol.txt (2020/03/05), whose sections are cited here.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Final

MAX_V1: Final = 107
"""Maximum bytes of a version 1 header, with its line end (§2.1)."""
MAX_V2: Final = 16 + 4096
"""Maximum bytes of a version 2 header; its extensions are ignored."""

_V1_PREFIX: Final = b"PROXY "
_V1: Final = re.compile(rb"PROXY TCP([46]) ([0-9A-Fa-f.:]+) ([0-9A-Fa-f.:]+) (0|[1-9]\d{0,4}) (0|[1-9]\d{0,4})\r\n")
_V1_UNKNOWN: Final = re.compile(rb"PROXY UNKNOWN(?: [^\r\n]*)?\r\n")
_V2_SIGNATURE: Final = b"\r\n\r\n\x00\r\nQUIT\n"
_V2_FIXED: Final = 16
_LOCAL, _PROXY = 0, 1
_ADDRESSES: Final = {0x11: 12, 0x12: 12, 0x21: 36, 0x22: 36, 0x31: 216, 0x32: 216, 0x00: 0}
"""Bytes of addresses by family and protocol (§2.2)."""
_TCP4, _TCP6 = 0x11, 0x21


class MalformedHeaderError(ValueError):
    """Raised if a connection does not begin with a PROXY header."""


@dataclass(frozen=True, slots=True)
class ProxyHeader:
    """A header. `source`: the client's address and port; None if the proxy connects for itself, or does not know them.

    `length` is its size in bytes; the client's bytes follow.
    """

    source: tuple[str, int] | None
    length: int


def parse_header(data: bytes) -> ProxyHeader | None:
    """Return the header at the beginning of a connection; None while it is incomplete.

    Raises MalformedHeaderError as soon as no further byte can make it valid.
    """
    if data.startswith(_V2_SIGNATURE[: len(data)]):
        return _parse_v2(data)
    if data.startswith(_V1_PREFIX[: len(data)]):
        return _parse_v1(data)
    raise MalformedHeaderError("no signature")


def _parse_v1(data: bytes) -> ProxyHeader | None:
    end = data.find(b"\n", 0, MAX_V1)
    if end < 0:
        if len(data) >= MAX_V1:
            raise MalformedHeaderError("no end of line")
        return None
    line = data[: end + 1]
    if _V1_UNKNOWN.fullmatch(line):
        return ProxyHeader(None, len(line))
    match = _V1.fullmatch(line)
    if match is None:
        raise MalformedHeaderError("a malformed line")
    family, source, destination, *ports = (part.decode() for part in match.groups())
    read = IPv4Address if family == "4" else IPv6Address
    try:
        address, _ = read(source), read(destination)
    except ValueError:
        raise MalformedHeaderError("a malformed address") from None
    if max(map(int, ports)) > 65535:
        raise MalformedHeaderError("a malformed port")
    return ProxyHeader((str(address), int(ports[0])), len(line))


def _parse_v2(data: bytes) -> ProxyHeader | None:
    if len(data) > 12 and (data[12] >> 4 != 2 or data[12] & 0x0F not in (_LOCAL, _PROXY)):
        raise MalformedHeaderError("an unknown version or command")
    if len(data) < _V2_FIXED:
        return None
    command, family = data[12] & 0x0F, data[13]
    end = _V2_FIXED + int.from_bytes(data[14:16], "big")
    if end > MAX_V2:
        raise MalformedHeaderError("too long")
    if command == _PROXY and (family not in _ADDRESSES or _V2_FIXED + _ADDRESSES[family] > end):
        raise MalformedHeaderError("an unknown family, or too short for its addresses")
    if len(data) < end:
        return None
    if command == _LOCAL:
        return ProxyHeader(None, end)
    addresses = data[_V2_FIXED : _V2_FIXED + _ADDRESSES[family]]
    _check_extensions(data[_V2_FIXED + len(addresses) : end])
    return ProxyHeader(_source(family, addresses), end)


def _source(family: int, addresses: bytes) -> tuple[str, int] | None:
    """Return the source of a stream over IP; None for other families and protocols."""
    if family == _TCP4:
        return str(IPv4Address(addresses[:4])), *struct.unpack_from("!H", addresses, 8)
    if family == _TCP6:
        return str(IPv6Address(addresses[:16])), *struct.unpack_from("!H", addresses, 32)
    return None


def _check_extensions(data: bytes) -> None:
    """Raise MalformedHeaderError unless these are complete type-length-values (§2.2.1)."""
    at = 0
    while at < len(data):
        if at + 3 > len(data):
            raise MalformedHeaderError("a truncated extension")
        at += 3 + int.from_bytes(data[at + 1 : at + 3], "big")
    if at != len(data):
        raise MalformedHeaderError("a truncated extension")

"""Headers of the PROXY protocol: each prefix waits for more, each fault is found, and what follows is left alone."""

from __future__ import annotations

import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.server.proxy_header import MAX_V2, MalformedHeaderError, ProxyHeader, parse_header

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
ports = st.integers(0, 65535)


def v2(command: int = 1, family: int = 0x11, payload: bytes = b"", version: int = 2) -> bytes:
    return SIGNATURE + struct.pack("!BBH", version << 4 | command, family, len(payload)) + payload


def over_tcp(source: str, port: int) -> bytes:
    """The addresses of a TCP connection in version 2."""
    family = socket.AF_INET6 if ":" in source else socket.AF_INET
    target = socket.inet_pton(family, "::1" if ":" in source else "127.0.0.1")
    return socket.inet_pton(family, source) + target + struct.pack("!HH", port, 443)


TCP4 = over_tcp("203.0.113.7", 4711)
TCP6 = over_tcp("2001:db8::7", 4711)
TLV = b"\x04\x00\x02ab" + b"\x20\x00\x00"
VALID = {
    b"PROXY TCP4 203.0.113.7 10.0.0.1 4711 443\r\n": ("203.0.113.7", 4711),
    b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n": ("255.255.255.255", 65535),
    b"PROXY TCP6 2001:db8::7 ::1 4711 443\r\n": ("2001:db8::7", 4711),
    b"PROXY TCP6 " + b"ffff:" * 7 + b"ffff " + b"ffff:" * 7 + b"ffff 65535 65535\r\n": (("ffff:" * 8)[:-1], 65535),
    b"PROXY UNKNOWN\r\n": None,
    b"PROXY UNKNOWN ffff::1 whatever 1 2\r\n": None,
    v2(payload=TCP4): ("203.0.113.7", 4711),
    v2(payload=TCP4 + TLV): ("203.0.113.7", 4711),
    v2(family=0x21, payload=TCP6 + TLV): ("2001:db8::7", 4711),
    v2(family=0x31, payload=bytes(216)): None,
    v2(family=0x12, payload=TCP4): None,
    v2(family=0x00): None,
    v2(family=0x00, payload=TLV): None,
    v2(command=0, family=0x00): None,
    v2(command=0, family=0x11, payload=TCP4): None,
    v2(command=0, family=0xFF, payload=b"anything"): None,
}
MALFORMED = [
    b"GET / HTTP/1.1\r\n",
    b"proxy TCP4 1.1.1.1 1.1.1.1 1 1\r\n",
    b"PROXY  TCP4 1.1.1.1 1.1.1.1 1 1\r\n",
    b"PROXY TCP4 1.1.1.1 1.1.1.1 1 1\n",
    b"PROXY TCP4 1.1.1.1 1.1.1.1 1\r\n",
    b"PROXY TCP4 1.1.1.1 1.1.1.1 1 65536\r\n",
    b"PROXY TCP4 1.1.1.1 1.1.1.1 01 1\r\n",
    b"PROXY TCP4 1.1.1.256 1.1.1.1 1 1\r\n",
    b"PROXY TCP4 ::1 ::1 1 1\r\n",
    b"PROXY TCP6 1.1.1.1 1.1.1.1 1 1\r\n",
    b"PROXY UDP4 1.1.1.1 1.1.1.1 1 1\r\n",
    b"PROXY UNKNOWNS\r\n",
    b"PROXY UNKNOWN " + b"x" * 100,
    v2(version=1, payload=TCP4),
    v2(command=2, payload=TCP4),
    v2(family=0x13, payload=TCP4),
    v2(family=0x41, payload=TCP4),
    v2(payload=TCP4[:-1]),
    v2(family=0x21, payload=TCP4),
    v2(payload=TCP4 + TLV[:-1]),
    v2(payload=TCP4 + b"\x04\x00\x05ab"),
    v2(payload=TCP4 + b"\x04\xff\xff" + bytes(MAX_V2)),
]


@pytest.mark.parametrize(("header", "source"), VALID.items())
def test_header_names_its_source(header: bytes, source: tuple[str, int] | None) -> None:
    assert parse_header(header) == ProxyHeader(source, len(header))
    assert parse_header(header + b"GET / HTTP/1.1\r\n") == ProxyHeader(source, len(header))


@pytest.mark.parametrize("header", VALID)
def test_every_prefix_waits_for_more(header: bytes) -> None:
    for length in range(1, len(header)):
        assert parse_header(header[:length]) is None


@pytest.mark.parametrize("data", MALFORMED)
def test_malformed_header_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedHeaderError):
        parse_header(data)


@given(st.ip_addresses().map(str), ports)
def test_both_versions_say_the_same(source: str, port: int) -> None:
    six = ":" in source
    target = "::1" if six else "127.0.0.1"
    line = f"PROXY TCP{6 if six else 4} {source} {target} {port} 443\r\n".encode()
    binary = v2(family=0x21 if six else 0x11, payload=over_tcp(source, port))
    first, second = parse_header(line), parse_header(binary)
    assert first is not None
    assert second is not None
    assert first.source == second.source == (source, port)


@given(st.binary(max_size=300), st.sampled_from([b"", SIGNATURE, b"PROXY ", b"PROXY TCP4 ", SIGNATURE + b"\x21\x11"]))
def test_any_bytes_are_a_header_or_refused_within_the_limit(data: bytes, start: bytes) -> None:
    given_bytes = (start + data).ljust(1, b"x")
    try:
        header = parse_header(given_bytes)
    except MalformedHeaderError:
        return
    assert header is None or 0 < header.length <= len(given_bytes)
    if header is None:
        try:
            assert parse_header(given_bytes + bytes(MAX_V2)) is not None
        except MalformedHeaderError:
            return

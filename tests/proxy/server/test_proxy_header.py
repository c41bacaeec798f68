"""Headers of the PROXY protocol: incomplete ones wait, faults are found, and later bytes are left unread."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.server.proxy_header import MAX_V2, MalformedHeaderError, ProxyHeader, parse_header
from tests.support.proxy_headers import MALFORMED, SIGNATURE, TCP4, TLV, over_tcp, v2

ports = st.integers(0, 65535)


TCP6 = over_tcp("2001:db8::7", 4711)
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
def test_both_versions_parse_alike(source: str, port: int) -> None:
    six = ":" in source
    target = "::1" if six else "127.0.0.1"
    line = f"PROXY TCP{6 if six else 4} {source} {target} {port} 443\r\n".encode()
    binary = v2(family=0x21 if six else 0x11, payload=over_tcp(source, port))
    first, second = parse_header(line), parse_header(binary)
    assert first is not None
    assert second is not None
    assert first.source == second.source == (source, port)


@given(st.binary(max_size=300), st.sampled_from([b"", SIGNATURE, b"PROXY ", b"PROXY TCP4 ", SIGNATURE + b"\x21\x11"]))
def test_random_bytes_are_a_header_or_refused_within_the_limit(data: bytes, start: bytes) -> None:
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

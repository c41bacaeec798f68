"""Headers of the PROXY protocol, versions 1 and 2."""

from __future__ import annotations

import socket
import struct

from proxy.server.proxy_header import MAX_V2

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"


def v2(command: int = 1, family: int = 0x11, payload: bytes = b"", version: int = 2) -> bytes:
    return SIGNATURE + struct.pack("!BBH", version << 4 | command, family, len(payload)) + payload


def over_tcp(source: str, port: int) -> bytes:
    """Return the addresses of a TCP connection in version 2."""
    family = socket.AF_INET6 if ":" in source else socket.AF_INET
    target = socket.inet_pton(family, "::1" if ":" in source else "127.0.0.1")
    return socket.inet_pton(family, source) + target + struct.pack("!HH", port, 443)


TCP4 = over_tcp("203.0.113.7", 4711)
TLV = b"\x04\x00\x02ab" + b"\x20\x00\x00"
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

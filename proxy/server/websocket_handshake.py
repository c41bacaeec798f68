"""Read the head of a client's WebSocket handshake, check it as `ws` does, and write the head of the answer."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from common.javascript_number import to_double
from proxy.server.response import LISTENER_HEADERS, header_lines
from proxy.types import RawHeaders

KEY: Final = re.compile(rb"[+/0-9A-Za-z]{22}==")
"""A `Sec-WebSocket-Key`: 16 bytes in base64."""
_VERSIONS: Final = (13, 8)


def read_head(head: bytes) -> tuple[bytes, bytes, RawHeaders]:
    """Return method, target and headers of a head that uvicorn's HTTP protocol has parsed and joined."""
    first, *lines = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
    method, _, rest = first.partition(b" ")
    target = rest.removesuffix(b" HTTP/1.1")
    headers = [(name, value) for name, _, value in (line.partition(b": ") for line in lines)]
    return method, target, headers


def joined_value(headers: RawHeaders, name: bytes) -> bytes:
    """Return a header's value; duplicates are joined as Node joins them."""
    return b", ".join([value for key, value in headers if key == name])


def find_fault(method: bytes, headers: RawHeaders) -> tuple[int, bytes, RawHeaders] | None:
    """Return the answer of `ws` to an invalid handshake: status, text, further headers. The checks are in its order."""
    if method != b"GET":
        return 405, b"Invalid HTTP method", []
    if joined_value(headers, b"upgrade").lower() != b"websocket":
        return 400, b"Invalid Upgrade header", []
    if not KEY.fullmatch(joined_value(headers, b"sec-websocket-key")):
        return 400, b"Missing or invalid Sec-WebSocket-Key header", []
    if not _is_known_version(joined_value(headers, b"sec-websocket-version")):
        known = (b"sec-websocket-version", b"13, 8")
        return 400, b"Missing or invalid Sec-WebSocket-Version header", [known]
    return None


def _is_known_version(value: bytes) -> bool:
    """Return whether `ws` supports a version, which it reads as a JavaScript number: `1.3e1` and `0xd` are 13."""
    return to_double(value.decode("latin-1")) in _VERSIONS


def accepting_head(accept: bytes, subprotocol: str, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return the head of a 101 with an app's headers, except those that the listener sets.

    `accept` is the value of `Sec-WebSocket-Accept`. Raises `InvalidResponse` for a header that would corrupt the head.
    """
    lines = [b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %b\r\n" % accept]
    if subprotocol:
        chosen = [(b"sec-websocket-protocol", subprotocol.encode("latin-1"))]
        lines.append(header_lines(chosen))
    lines.append(header_lines([(name, value) for name, value in headers if name.lower() not in _OWN_HEADERS]))
    return b"HTTP/1.1 101 Switching Protocols\r\n%b\r\n" % b"".join(lines)


_OWN_HEADERS: Final = LISTENER_HEADERS | {b"sec-websocket-accept"}

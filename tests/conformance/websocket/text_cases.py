"""Cases of UTF-8: valid and invalid, whole, in fragments, and split within a character."""

from __future__ import annotations

from collections.abc import Iterator

from tests.conformance.websocket.case import Case, fragmented
from tests.support.websocket_client import frame

VALID = (
    b"",
    b"plain",
    "é".encode(),
    "κόσμε".encode(),
    "日本語".encode(),
    "😀🎤".encode(),
    b"\x00",
    b"\x7f",
    b"\xc2\x80",
    b"\xdf\xbf",
    b"\xe0\xa0\x80",
    b"\xed\x9f\xbf",
    b"\xee\x80\x80",
    b"\xef\xbb\xbfbom",
    b"\xef\xbf\xbd",
    b"\xef\xbf\xbf",
    b"\xf0\x90\x80\x80",
    b"\xf4\x8f\xbf\xbf",
)
INVALID = (
    b"\x80",
    b"\xbf",
    b"\xff",
    b"\xfe",
    b"\xc3",
    b"\xc3\x28",
    b"\xc0\x80",
    b"\xc1\xbf",
    b"\xe2\x82",
    b"\xe2\x28\xa1",
    b"\xe0\x80\xaf",
    b"\xe0\x9f\xbf",
    b"\xed\xa0\x80",
    b"\xed\xbf\xbf",
    b"\xed\xa0\xbd\xed\xb8\x80",
    b"\xf0\x9f\x98",
    b"\xf0\x80\x80\xaf",
    b"\xf0\x8f\xbf\xbf",
    b"\xf4\x90\x80\x80",
    b"\xf5\x80\x80\x80",
    b"\xf8\x88\x80\x80\x80",
    b"\xfc\x84\x80\x80\x80\x80",
    b"good \xce\xba\xe1\xbd\xb9 bad \xed\xa0\x80 good",
)


def text_cases() -> Iterator[Case]:
    """Yield each sequence whole, in fragments of a byte, and after a message that is delivered."""
    for number, data in enumerate(VALID, 1):
        yield Case(f"6.1.{number}", f"valid text {data.hex()}", (frame(1, data),))
        yield Case(f"6.2.{number}", f"valid text {data.hex()} by the byte", _by_the_byte(data))
    for number, data in enumerate(INVALID, 1):
        parts = (frame(1, b"before"), frame(1, data), frame(1, b"after"))
        yield Case(f"6.3.{number}", f"invalid text {data.hex()}", parts, end="peer")
        yield Case(f"6.4.{number}", f"invalid text {data.hex()} by the byte", _by_the_byte(data), end="peer")
        yield Case(f"6.5.{number}", f"binary {data.hex()}", (frame(2, data),))
    ping = frame(9, b"within")
    first, second = fragmented(1, b"\xe2\x82", b"\xac")
    yield Case("6.6.1", "ping within a character", (first, ping, second))
    yield Case("6.6.2", "end within a character", (first,), end="half")


def _by_the_byte(data: bytes) -> tuple[bytes, ...]:
    return fragmented(1, *[bytes([byte]) for byte in data]) if data else (frame(1),)

"""Cases that a server plays to a standard client: the effects of an unusual legacy on the gateway's clients."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from tests.conformance.websocket.case import Deflater, ServerCase, close, reserved, unmasked
from tests.conformance.websocket.text_cases import INVALID
from tests.support.websocket_client import frame

HELLO = unmasked(1, b"hello")
SIZES = (0, 125, 126, 65535, 65536, 1 << 20)
DEFLATE = "permessage-deflate"


def server_cases() -> list[ServerCase]:
    """Return all of them; ids are unique."""
    return [case for family in (messages, faults, closes, ends, compression) for case in family()]


def _fragments(opcode: int, *parts: bytes) -> tuple[bytes, ...]:
    last = len(parts) - 1
    return tuple(unmasked(opcode if not number else 0, part, fin=number == last) for number, part in enumerate(parts))


def messages() -> Iterator[ServerCase]:
    """Yield what is as it should be."""
    for number, size in enumerate(SIZES, 1):
        yield ServerCase(f"S1.1.{number}", f"text of {size} bytes", (unmasked(1, b"*" * size),))
        yield ServerCase(f"S1.2.{number}", f"binary of {size} bytes", (unmasked(2, b"\xff" * size),))
    yield ServerCase("S1.3", "text in three fragments", _fragments(1, b"one", b"", b"three"))
    yield ServerCase("S1.4", "character split over fragments", _fragments(1, b"\xe2\x82", b"\xac"))
    one, two = _fragments(1, b"one", b"two")
    yield ServerCase("S1.5", "ping between fragments", (one, unmasked(9, b"ping"), two))
    yield ServerCase("S1.6", "pings of 0 and 125 bytes", (unmasked(9), unmasked(9, b"x" * 125), HELLO))
    yield ServerCase("S1.7", "pong nobody asked for", (unmasked(10, b"unasked"), HELLO))
    yield ServerCase("S1.8", "two hundred messages at once", (HELLO * 200,))


def faults() -> Iterator[ServerCase]:
    """Yield what a client must not accept, each after a message that it gets."""
    one, _ = _fragments(1, b"one", b"two")
    wrong = {
        **{f"opcode {opcode}": (unmasked(opcode),) for opcode in (3, 7, 11, 15)},
        **{f"RSV {bits:03b}": (reserved(HELLO, bits),) for bits in (1, 2, 4)},
        **{f"invalid text {data.hex()}": (unmasked(1, data),) for data in INVALID[:12]},
        "a masked frame": (frame(1, b"masked"),),
        "ping of 126 bytes": (unmasked(9, b"x" * 126),),
        "ping without FIN": (unmasked(9, fin=False),),
        "continuation of nothing": (unmasked(0, b"x"),),
        "text amid a text": (one, HELLO),
    }
    for number, (title, parts) in enumerate(wrong.items(), 1):
        yield ServerCase(f"S2.{number}", title, (HELLO, *parts), end="peer")


def closes() -> Iterator[ServerCase]:
    """Yield close frames."""
    one, _ = _fragments(1, b"one", b"two")
    for code in (1000, 1001, 1003, 1008, 1009, 1011, 1012, 1013, 3000, 4000, 4999):
        parts = (HELLO, close(code, b"reason", masked=False))
        yield ServerCase(f"S3.1.{code}", f"close with code {code}", parts, end="peer")
    for code in (0, 999, 1004, 1005, 1006, 1015, 2000, 5000):
        parts = (HELLO, close(code, masked=False))
        yield ServerCase(f"S3.2.{code}", f"close with code {code}", parts, end="peer")
    yield ServerCase("S3.3", "close without a code", (HELLO, unmasked(8)), end="peer")
    yield ServerCase("S3.4", "close of one byte", (HELLO, unmasked(8, b"\x03")), end="peer")
    yield ServerCase("S3.5", "close with a reason that is not UTF-8", (close(1000, b"\xff", masked=False),), end="peer")
    yield ServerCase("S3.6", "close amid a fragmented message", (HELLO, one, close(1000, masked=False)), end="peer")
    yield ServerCase("S3.7", "message after a close", (close(4000, masked=False), HELLO), end="peer")
    yield ServerCase("S3.8", "close right after the handshake", (), end="close")


def ends() -> Iterator[ServerCase]:
    """Yield connections that end without a close frame."""
    whole = unmasked(2, b"x" * 300)
    yield ServerCase("S4.1", "end after a message", (HELLO,), end="half")
    yield ServerCase("S4.2", "end without a word", (), end="half")
    yield ServerCase("S4.3", "end amid a fragmented message", (HELLO, unmasked(1, b"one", fin=False)), end="half")
    for number, at in enumerate((1, 2, 3, 4, 200), 1):
        yield ServerCase(f"S4.4.{number}", f"end after {at} bytes of a frame", (HELLO, whole[:at]), end="half")
    endless = b"\x82\x7f" + struct.pack("!Q", 1 << 63) + b"x"
    yield ServerCase("S4.6", "end within a frame of 2^63 bytes", (HELLO, endless), end="half")
    yield ServerCase("S4.7", "bytes that are no frames", (b"HTTP/1.1 200 OK\r\n\r\n",), end="half")
    yield ServerCase("S4.5", "connection dropped without a word", (), end="reset")


def compression() -> Iterator[ServerCase]:
    """Yield compressed messages, as agreed and not."""
    text = b"compressible " * 50
    for number, parts in enumerate((1, 3), 1):
        sent = Deflater().message(1, text, parts=parts, masked=False)
        yield ServerCase(f"S5.1.{number}", f"compressed text in {parts} frames", sent, DEFLATE)
    deflater = Deflater()
    many = tuple(part for _ in range(10) for part in deflater.message(1, text, masked=False))
    yield ServerCase("S5.2", "ten compressed texts", many, DEFLATE)
    fresh = Deflater(takeover=False)
    each = tuple(part for _ in range(3) for part in fresh.message(2, text, masked=False))
    yield ServerCase("S5.3", "no context takeover", each, f"{DEFLATE}; server_no_context_takeover")
    narrow = Deflater(9).message(1, text, masked=False)
    yield ServerCase("S5.4", "a window of 9 bits", narrow, f"{DEFLATE}; server_max_window_bits=9")
    yield ServerCase("S5.5", "compressed where nothing was agreed", (HELLO, *Deflater().message(1, text, masked=False)),
                     end="peer")  # fmt: skip
    broken = (HELLO, reserved(unmasked(1, b"\xff\xff\xff\xff"), 4))
    yield ServerCase("S5.6", "payload that is no deflate", broken, DEFLATE, end="peer")
    yield ServerCase("S5.7", "an extension nobody offered", (HELLO,), "permessage-bzip2", end="peer")
    yield ServerCase("S5.8", "a parameter that is unknown", (HELLO,), f"{DEFLATE}; unknown", end="peer")
    yield ServerCase("S5.9", "plain messages where compression is agreed", (HELLO, HELLO), DEFLATE)

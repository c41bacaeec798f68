"""Cases that a client plays to an echo server: framing, pings, reserved bits, opcodes, fragments, closes and limits.

The numbers follow the order of topics that WebSocket test suites have in common.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from tests.conformance.websocket.case import (
    CLOSE_1000,
    Case,
    close,
    fragmented,
    long_form,
    masked_with,
    reserved,
)
from tests.conformance.websocket.compression_cases import compression_cases
from tests.conformance.websocket.text_cases import text_cases
from tests.support.websocket_client import MASK, frame

BINARY = bytes(range(256))
HELLO = frame(1, b"hello")
SIZES = (0, 1, 125, 126, 127, 128, 65535, 65536)


def client_cases() -> list[Case]:
    """Return all of them; ids are unique."""
    families = (
        *(framing, pings, reserved_bits, opcodes, fragments, text_cases, closes),
        *(masks_and_lengths, sizes, truncations, limits, handshakes, compression_cases),
    )
    return [case for family in families for case in family()]


def framing() -> Iterator[Case]:
    """Yield messages of each size at which the head changes."""
    for kind, opcode in (("text", 1), ("binary", 2)):
        for number, size in enumerate(SIZES):
            data = b"*" * size if opcode == 1 else (BINARY * 257)[:size]
            yield Case(f"1.{opcode}.{number}", f"{kind} message of {size} bytes", (frame(opcode, data),))
    yield Case("1.3.1", "two messages at once", (HELLO + frame(2, b"\x00\xff"),))
    yield Case("1.3.2", "fifty messages", tuple(frame(1, str(number).encode()) for number in range(50)))
    yield Case("1.3.3", "messages, early", (HELLO, HELLO), early=True)


def pings() -> Iterator[Case]:
    """Yield pings and pongs, asked for and not, alone and between others."""
    payloads = (b"", b"hello", b"\x00\xff\xfe\x00", BINARY[:125])
    for number, payload in enumerate(payloads, 1):
        yield Case(f"2.{number}", f"ping of {len(payload)} bytes", (frame(9, payload),))
    yield Case("2.5", "ping of 126 bytes", (frame(9, b"x" * 126),), end="peer")
    yield Case("2.6", "pong nobody asked for", (frame(10),))
    yield Case("2.7", "pong with a payload nobody asked for", (frame(10, b"unasked"),))
    yield Case("2.8", "pong, then ping", (frame(10, b"unasked"), frame(9, b"ping")))
    yield Case("2.9", "ten pings", tuple(frame(9, b"ping %d" % number) for number in range(10)))
    yield Case("2.10", "ten pings at once", (b"".join(frame(9, b"ping %d" % number) for number in range(10)),))
    yield Case("2.11", "pong of 126 bytes", (frame(10, b"x" * 126),), end="peer")
    yield Case("2.12", "ping between messages", (HELLO, frame(9, b"x"), HELLO))
    yield Case("2.13", "ping without FIN", (frame(9, b"x", fin=False),), end="peer")
    yield Case("2.14", "pong without FIN", (frame(10, b"x", fin=False),), end="peer")
    yield Case("2.15", "pong of eight bytes, as the gateway's own pings have", (frame(10, b"12345678"), HELLO))


def reserved_bits() -> Iterator[Case]:
    """Yield frames with reserved bits that nothing has given a meaning."""
    for bits in range(1, 8):
        yield Case(f"3.1.{bits}", f"text with RSV {bits:03b}", (HELLO, reserved(HELLO, bits), HELLO), end="peer")
    for number, opcode in enumerate((2, 8, 9, 10), 1):
        yield Case(f"3.2.{number}", f"opcode {opcode} with RSV1", (HELLO, reserved(frame(opcode), 4)), end="peer")
    first, second = fragmented(1, b"one", b"two")
    yield Case("3.3", "continuation with RSV1", (first, reserved(second, 4)), end="peer")
    yield Case("3.4", "RSV2 where compression is agreed", (reserved(HELLO, 2),), *DEFLATE, end="peer")
    yield Case("3.5", "ping with RSV1 where compression is agreed", (reserved(frame(9), 4),), *DEFLATE, end="peer")


DEFLATE = ("/deflate", ("Sec-WebSocket-Extensions: permessage-deflate",))
"""The server that compresses, and the offer to it."""


def opcodes() -> Iterator[Case]:
    """Yield opcodes without a meaning."""
    for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15):
        yield Case(f"4.1.{opcode}", f"opcode {opcode}", (frame(opcode),), end="peer")
        parts = (HELLO, frame(opcode, b"payload"), frame(9))
        yield Case(f"4.2.{opcode}", f"opcode {opcode} with a payload, after a text", parts, end="peer")


def fragments() -> Iterator[Case]:
    """Yield fragmented messages, in order and not, with control frames between."""
    one, two = fragmented(1, b"one", b"two")
    yield Case("5.1", "ping in two fragments", (frame(9, b"a", fin=False), frame(0, b"b")), end="peer")
    yield Case("5.2", "pong in two fragments", (frame(10, b"a", fin=False), frame(0, b"b")), end="peer")
    yield Case("5.3", "text in two fragments", (one, two))
    yield Case("5.4", "text in two fragments at once", (one + two,))
    yield Case("5.5", "binary in three fragments", fragmented(2, b"\x00", BINARY, b"\xff"))
    yield Case("5.6", "ping between fragments", (one, frame(9, b"ping"), two))
    yield Case("5.7", "pong between fragments", (one, frame(10, b"pong"), two))
    yield Case("5.8", "pings between many fragments", _interleaved(20))
    yield Case("5.9", "continuation with FIN, of nothing", (frame(0, b"x"), HELLO), end="peer")
    yield Case("5.10", "continuation without FIN, of nothing", (frame(0, b"x", fin=False), HELLO), end="peer")
    yield Case("5.11", "continuation after a whole message", (HELLO, frame(0, b"x")), end="peer")
    yield Case("5.12", "text amid a text", (one, HELLO), end="peer")
    yield Case("5.13", "binary amid a text", (one, frame(2, b"x")), end="peer")
    yield Case("5.14", "fragments all empty", fragmented(1, b"", b"", b""))
    yield Case("5.15", "only the middle fragment not empty", fragmented(1, b"", b"middle", b""))
    yield Case("5.16", "a hundred fragments of a byte", fragmented(1, *[b"x"] * 100))
    yield Case("5.17", "two fragmented messages", (one, two, *fragmented(2, b"a", b"b", b"c")))
    yield Case("5.18", "close amid a fragmented message", (one, CLOSE_1000), end="peer")
    yield Case("5.19", "close with a reason amid a fragmented message", (one, close(4000, b"enough")), end="peer")
    yield Case("5.20", "message, then close amid another", (HELLO, one, CLOSE_1000), end="peer")
    yield Case("5.21", "fault after a whole message", (HELLO + frame(0, b"x"),), end="peer")
    yield Case("5.22", "end amid a fragmented message", (HELLO, one), end="half")
    yield Case("5.23", "connection dropped amid a fragmented message", (HELLO, one), end="reset")


def _interleaved(count: int) -> tuple[bytes, ...]:
    parts = fragmented(2, *[b"part %d" % number for number in range(count)])
    return tuple(each for number, part in enumerate(parts) for each in (frame(9, b"%d" % number), part))


def closes() -> Iterator[Case]:
    """Yield close frames: codes, reasons, and what follows them."""
    yield Case("7.1.1", "close after a message", (HELLO,))
    yield Case("7.1.2", "two closes", (CLOSE_1000, CLOSE_1000), end="peer")
    yield Case("7.1.3", "ping after a close", (CLOSE_1000, frame(9, b"late")), end="peer")
    yield Case("7.1.4", "text after a close", (CLOSE_1000, HELLO), end="peer")
    yield Case("7.1.5", "close and text at once", (CLOSE_1000 + HELLO,), end="peer")
    yield Case("7.1.6", "long message, then close", (frame(2, b"x" * 300_000),))
    yield Case("7.2.1", "close without a code", (frame(8),), end="peer")
    yield Case("7.2.2", "close of one byte", (frame(8, b"\x03"),), end="peer")
    yield Case("7.2.3", "close of 126 bytes", (frame(8, b"\x03\xe8" + b"x" * 124),), end="peer")
    yield Case("7.2.4", "close without FIN", (frame(8, b"\x03\xe8", fin=False),), end="peer")
    for number, reason in enumerate((b"x", "é€😀".encode(), b"x" * 123, b"\xff", b"\xce\xba\xed\xa0\x80"), 1):
        yield Case(f"7.3.{number}", f"close with a reason of {len(reason)} bytes", (close(1000, reason),), end="peer")
    valid = (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999)
    invalid = (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535)
    for code in (*valid, *invalid):
        yield Case(f"7.4.{code}", f"close with code {code}", (HELLO, close(code)), end="peer")
    yield Case("7.5.1", "end without a close", (HELLO,), end="half")
    yield Case("7.5.2", "connection dropped", (HELLO,), end="reset")
    yield Case("7.5.3", "end without a word", (), end="half")


def masks_and_lengths() -> Iterator[Case]:
    """Yield masks and lengths at their edges."""
    for number, mask in enumerate((bytes(4), b"\xff" * 4, b"\x00\x01\x00\x01"), 1):
        yield Case(f"8.1.{number}", f"mask {mask.hex()}", (masked_with(mask, 1, b"hello"),))
    yield Case("8.2.1", "text without a mask", (frame(1, b"hello", masked=False),), end="peer")
    yield Case("8.2.2", "ping without a mask", (HELLO, frame(9, masked=False)), end="peer")
    yield Case("8.2.3", "close without a mask", (HELLO, close(1000, masked=False)), end="peer")
    for number, (size, data) in enumerate(((2, b"hello"), (8, b"hello"), (8, b"x" * 300), (2, b""), (8, b"")), 1):
        title = f"length {len(data)} in {size} bytes"
        yield Case(f"8.3.{number}", title, (long_form(1, data, 2 if size == 2 else 8), HELLO))
    for number, length in enumerate((1 << 63, (1 << 64) - 1, 1 << 53, (1 << 53) - 1), 1):
        head = b"\x82\xff" + struct.pack("!Q", length) + MASK
        yield Case(f"8.4.{number}", f"a length of {length}", (HELLO, head + b"x"), end="peer")
    yield Case("8.5", "bytes that are no frames", (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",), end="peer")


def sizes() -> Iterator[Case]:
    """Yield large messages, whole and fragmented."""
    for number, size in enumerate((1 << 16, 1 << 18, 1 << 20, 1 << 22), 1):
        yield Case(f"9.1.{number}", f"text of {size} bytes", (frame(1, b"*" * size),))
        yield Case(f"9.2.{number}", f"binary of {size} bytes", (frame(2, BINARY * (size // 256)),))
    for number, part in enumerate((64, 1024, 65536, 1 << 20), 1):
        parts = [BINARY * (part // 256) or BINARY[:part]] * min((1 << 20) // part, 512)
        yield Case(f"9.3.{number}", f"binary in {len(parts)} fragments of {part} bytes", fragmented(2, *parts))
    yield Case("9.4", "a thousand messages at once", (frame(1, b"x" * 16) * 1000,))
    yield Case("9.5", "two hundred messages of 4 KiB", (frame(2, BINARY * 16),) * 200)


def truncations() -> Iterator[Case]:
    """Yield frames that break off at each of their parts."""
    whole = frame(1, b"x" * 300)
    for number, at in enumerate((1, 2, 3, 4, 7, 8, 200, len(whole) - 1), 1):
        yield Case(f"10.1.{number}", f"frame broken off after {at} bytes", (HELLO, whole[:at]), end="half")
        yield Case(f"10.2.{number}", f"connection dropped after {at} bytes of a frame", (whole[:at],), end="reset")


def limits() -> Iterator[Case]:
    """Yield messages at the limit of a server that takes 1 KiB, and above it."""
    small = "/small"
    yield Case("11.1", "message at the limit", (frame(2, b"x" * 1024),), small)
    yield Case("11.2", "message above the limit", (HELLO, frame(2, b"x" * 1025)), small, end="peer")
    yield Case("11.3", "head above the limit, without its payload", (HELLO, frame(2, length=1025)), small, end="peer")
    parts = fragmented(2, b"x" * 600, b"y" * 600)
    yield Case("11.4", "fragments above the limit together", (HELLO, *parts), small, end="peer")
    yield Case("11.5", "fragments at the limit together", fragmented(2, b"x" * 512, b"y" * 512), small)
    yield Case("11.6", "a length of 100 MiB and one", (HELLO, frame(2, length=(100 << 20) + 1)), end="peer")


def handshakes() -> Iterator[Case]:
    """Yield handshakes that are accepted or refused, with a message after each."""
    connection = b"Connection: Upgrade\r\n"
    variants = {
        "two Connection lines": (connection, connection + b"Connection: keep-alive\r\n"),
        "two Connection lines, Upgrade last": (connection, b"Connection: keep-alive\r\n" + connection),
        "Connection: keep-alive, Upgrade": (b"n: Upgrade\r\n", b"n: keep-alive, Upgrade\r\n"),
        "Connection: upgrade": (b"n: Upgrade\r\n", b"n: upgrade\r\n"),
        "Upgrade: WebSocket": (b"e: websocket", b"e: WebSocket"),
        "version 8": (b"n: 13", b"n: 8"),
        "version 14": (b"n: 13", b"n: 14"),
        "no version": (b"Sec-WebSocket-Version: 13\r\n", b""),
        "no key": (b"Sec-WebSocket-Key: ", b"X-Key: "),
        "a short key": (b"==\r\n", b"=\r\n"),
        "header names in capitals": (b"Sec-WebSocket-Key", b"SEC-WEBSOCKET-KEY"),
        "another path": (b"GET /plain", b"GET /nothing"),
    }
    for number, (title, replaced) in enumerate(variants.items(), 1):
        yield Case(f"14.1.{number}", title, (HELLO,), replaced=replaced)
    offers = ("echo", "other, echo", "other", "echo, echo", ",", "no good")
    for number, offer in enumerate(offers, 1):
        headers = (f"Sec-WebSocket-Protocol: {offer}",)
        yield Case(f"14.2.{number}", f"subprotocols {offer!r}", (HELLO,), headers=headers)
    two = ("Sec-WebSocket-Protocol: other", "Sec-WebSocket-Protocol: echo")
    yield Case("14.2.7", "subprotocols in two lines", (HELLO,), headers=two)

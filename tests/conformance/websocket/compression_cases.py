"""Cases of permessage-deflate (RFC 7692): what is offered and agreed, messages of all sizes, and faults."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from tests.conformance.websocket.case import Case, Deflater, reserved
from tests.support.websocket_client import frame

TEXT = b"The quick brown fox jumps over the lazy dog. "
OFFERS = (
    "permessage-deflate",
    "permessage-deflate; client_max_window_bits",
    "permessage-deflate; client_no_context_takeover",
    "permessage-deflate; server_no_context_takeover",
    "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
    "permessage-deflate; server_max_window_bits=9",
    "permessage-deflate; server_max_window_bits=15; client_max_window_bits=15",
    "permessage-deflate; server_max_window_bits=8",
    "permessage-deflate; client_max_window_bits=10, permessage-deflate",
    "x-webkit-deflate-frame, permessage-deflate",
)
REFUSED_OFFERS = (
    "permessage-bzip2",
    "permessage-deflate; server_max_window_bits=7",
    "permessage-deflate; server_max_window_bits",
    "permessage-deflate; client_max_window_bits=16",
    "permessage-deflate; unknown",
    "permessage-deflate; server_no_context_takeover=1",
    "permessage-deflate;",
    "=",
)


def compression_cases() -> Iterator[Case]:
    """Yield all of them."""
    yield from _sizes()
    yield from _offers()
    yield from _faults()


def _case(number: str, title: str, sent: tuple[bytes, ...], offer: str = OFFERS[0], **more: str) -> Case:
    headers = (f"Sec-WebSocket-Extensions: {offer}",)
    return Case(number, title, sent, **{"server": "/deflate", "headers": headers, **more})  # type: ignore[arg-type]


def _sizes() -> Iterator[Case]:
    for number, size in enumerate((0, 16, 64, 256, 1024, 4096, 65536, 1 << 20), 1):
        text = (TEXT * (size // len(TEXT) + 1))[:size]
        noise = bytes(zlib.crc32(b"%d" % at) & 0xFF for at in range(min(size, 65536)))
        yield _case(f"12.1.{number}", f"compressed text of {size} bytes", Deflater().message(1, text))
        yield _case(f"12.2.{number}", f"compressed noise of {len(noise)} bytes", Deflater().message(2, noise))
        deflater = Deflater()
        messages = tuple(part for _ in range(10) for part in deflater.message(1, text[:65536]))
        yield _case(f"12.3.{number}", f"ten compressed texts of {min(size, 65536)} bytes", messages)
        if size >= 64:
            parts = Deflater().message(1, text, parts=4)
            yield _case(f"12.4.{number}", f"compressed text of {size} bytes in four fragments", parts)


def _offers() -> Iterator[Case]:
    for number, offer in enumerate(OFFERS, 1):
        takeover = "client_no_context_takeover" not in offer
        deflater = Deflater(9 if "client_max_window_bits=" in offer else 15, takeover=takeover)
        messages = tuple(part for _ in range(5) for part in deflater.message(1, TEXT))
        yield _case(f"13.1.{number}", f"offer {offer!r}", messages, offer)
        yield _case(f"13.2.{number}", f"offer {offer!r}, nothing compressed", (frame(1, TEXT),) * 3, offer)
        yield _case(f"13.3.{number}", f"offer {offer!r} to a server that does not compress", (frame(1, TEXT),), offer,
                    server="/plain")  # fmt: skip
    for number, offer in enumerate(REFUSED_OFFERS, 1):
        yield _case(f"13.4.{number}", f"unusable offer {offer!r}", (frame(1, TEXT),), offer)


def _faults() -> Iterator[Case]:
    one = Deflater().message(1, TEXT)
    invalid = reserved(frame(1, b"\xff\xff\xff\xff no deflate"), 4)
    yield _case("13.5.1", "payload that is no deflate", (*one, invalid), end="peer")
    yield _case("13.5.2", "compressed text that is not UTF-8", Deflater().message(1, b"\xff\xfe" * 50), end="peer")
    first, *rest = Deflater().message(1, TEXT * 9, parts=3)
    yield _case("13.5.3", "RSV1 on a continuation", (first, reserved(rest[0], 4)), end="peer")
    yield _case("13.5.4", "ping between compressed fragments", (first, frame(9, b"between"), *rest))
    yield _case("13.5.5", "close amid a compressed message", (first, frame(8, b"\x03\xe8")), end="peer")
    yield _case("13.5.6", "end amid a compressed message", (first,), end="half")
    deflater = Deflater()
    mixed = (*deflater.message(1, TEXT), frame(1, TEXT), *deflater.message(1, TEXT))
    yield _case("13.5.7", "compressed and plain messages in turn", mixed)
    bomb = Deflater().message(2, bytes(1 << 20))
    yield _case("13.5.8", "1 MiB in 1 KiB, above the limit", bomb, server="/small-deflate", end="peer")
    yield _case("13.5.9", "empty compressed message of a zero byte", (reserved(frame(1, b"\x00"), 4),))
    yield _case("13.5.10", "compressed where nothing was agreed", one, server="/plain", end="peer")

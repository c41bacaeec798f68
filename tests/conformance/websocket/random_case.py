"""Random frames of a client, valid and not, with a random handshake, end and delivery. Pure."""

from __future__ import annotations

from random import Random
from typing import Final

from tests.conformance.websocket.case import Case, End, close, reserved
from tests.support.websocket_client import frame

CODES: Final = (
    *(0, 999, 1000, 1001, 1002, 1003, 1004, 1005, 1006, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 1015, 1016),
    *(2999, 3000, 4000, 4999, 5000),
)
REASONS: Final = (b"", b"bye", "\u00e9".encode(), b"\xff", b"x" * 123, b"x" * 124)
"""Reasons of close frames: none, valid ones up to the greatest, one that is not UTF-8, and one that is too long."""
LENGTHS: Final = (0, 5, 126, 2**40, 2**53 - 1, 2**53, 2**63 - 1, 2**63, 2**64 - 1)
"""Lengths in eight bytes, with and without need."""
OFFERS: Final = (
    *("",) * 8,
    "permessage-deflate",
    "permessage-deflate; client_max_window_bits",
    'permessage-deflate; client_max_window_bits="10"',
    "permessage-deflate; client_max_window_bits=16",
    "permessage-deflate; server_max_window_bits=8; client_no_context_takeover",
    "permessage-deflate; server_max_window_bits=7",
    "permessage-deflate; server_no_context_takeover=1",
    "permessage-deflate; unknown",
    "permessage-deflate; a; a",
    "permessage-deflate;",
    "x-foo; a=b, permessage-deflate",
    'x;y="',
    "a b",
    "=",
    ",",
)
_MASKED: Final = b"maskabc"
"""The mask and the payload of a frame whose length is another one."""
PIECES: Final = ((1 << 20,), (1,), (2, 3), (7, 50), (1000,), (5000, 1))
"""Sizes of the pieces of a delivery."""


def random_case(chance: Random) -> tuple[Case, tuple[int, ...]]:
    """Return a case for a server that does not compress, and the sizes of its pieces, over and over."""
    parts = [part for _ in range(chance.randint(0, 7)) for part in _parts(chance)]
    end: End = chance.choice(("close", "close", "half", "peer"))
    if end == "peer":
        parts.append(chance.choice((close(chance.choice((1000, 1001, 4000)), b"bye"), frame(8))))
    if parts and chance.random() < 0.15:
        parts[-1], end = parts[-1][: chance.randint(0, len(parts[-1]))], "half"
    if any(part.endswith(_MASKED) for part in parts):
        end = "half"  # the frame may contain those after it, so that the server waits for more of it
    offer = chance.choice(OFFERS)
    headers = (f"Sec-WebSocket-Extensions: {offer}",) if offer else ()
    sent = tuple(part for part in parts if part)
    case = Case("random", "random", sent, "/plain", headers, end=end, early=chance.random() < 0.2)
    pieces = chance.choice(PIECES)
    return case, pieces if case.size < 5000 or pieces[0] > 100 else PIECES[-1]


def _parts(chance: Random) -> list[bytes]:
    """Return a message with control frames within, a control frame, or a frame that violates the protocol."""
    kind = chance.random()
    if kind < 0.35:
        return [frame(chance.choice((1, 2)), _payload(chance))]
    if kind < 0.55:
        return _fragments(chance)
    if kind < 0.8:
        return [frame(9 if kind < 0.75 else 10, _payload(chance)[:125])]
    if kind < 0.88:
        return [close(chance.choice(CODES), chance.choice(REASONS))] if kind < 0.86 else [frame(8, b"\x03")]
    if kind < 0.91:
        return [_long(chance)]
    opcode, payload = chance.randrange(16), _payload(chance)
    if kind < 0.94:
        return [frame(opcode, payload, masked=False, fin=chance.random() < 0.8)]
    odd = frame(opcode, payload, fin=chance.random() < 0.6)
    return [reserved(odd, chance.randint(1, 7)) if kind < 0.97 else odd]


def _payload(chance: Random) -> bytes:
    noise = chance.randbytes(chance.randint(0, 20))
    long = b"z" * 66_000 if chance.random() < 0.2 else b"y" * 300
    return chance.choice(
        (b"", b"x", b"hello", noise, "\u00e9\u20ac\U0001f600".encode(), b"\xff\xfe", b"y" * 125, b"y" * 126, long)
    )


def _fragments(chance: Random) -> list[bytes]:
    data, count = _payload(chance), chance.randint(2, 5)
    step = max(1, -(-len(data) // count))
    pieces = [data[at : at + step] for at in range(0, len(data), step)] or [b""]
    opcode, last = chance.choice((1, 2)), len(pieces) - 1
    frames = [frame(0 if at else opcode, piece, fin=at == last) for at, piece in enumerate(pieces)]
    for _ in range(chance.randint(0, 3)):
        frames.insert(chance.randint(0, len(frames)), frame(chance.choice((9, 10)), _payload(chance)[:125]))
    return frames


def _long(chance: Random) -> bytes:
    length = chance.choice(LENGTHS).to_bytes(8, "big")
    return bytes([0x80 | chance.choice((0, 1, 2, 8, 9)), 0xFF]) + length + _MASKED

"""Compressed messages are read as their sender compressed them, in each way that RFC 7692 allows."""

from __future__ import annotations

import random
import zlib
from typing import Any, Final

import pytest

from proxy.websocket.inflation import MAX_INFLATED, InflatingReader, InflationLimitError
from proxy.websocket.messages import PingReceived, ProtocolViolation
from tests.support.random_seed import seeds
from tests.support.websocket_client import frame

TAIL: Final = b"\x00\x00\xff\xff"
TEXT: Final = 0x41
"""The opcode of a text with the bit of a compressed message."""


class Sender:
    """Compresses messages in any of the ways of RFC 7692 §7.2.3."""

    def __init__(self, rng: random.Random, *, retains_context: bool) -> None:
        self._rng, self._retains_context = rng, retains_context
        self._compressor = self._create()

    def _create(self) -> Any:
        return zlib.compressobj(self._rng.choice((0, 1, 9)), zlib.DEFLATED, -self._rng.choice((9, 12, 15)))

    def compress(self, data: bytes) -> Any:
        compressor, middle = self._compressor, self._rng.randrange(len(data) + 1)
        way = self._rng.choice(("one block", "blocks", "full flush", "final block"))
        compressed = compressor.compress(data[:middle])
        if way == "blocks":
            compressed += compressor.flush(zlib.Z_SYNC_FLUSH)
        compressed += compressor.compress(data[middle:])
        if way == "final block":
            compressed += compressor.flush(zlib.Z_FINISH) + b"\0"
        else:
            flush = zlib.Z_FULL_FLUSH if way == "full flush" else zlib.Z_SYNC_FLUSH
            compressed = (compressed + compressor.flush(flush)).removesuffix(TAIL)
        if way == "final block" or not self._retains_context:
            self._compressor = self._create()
        return compressed


def frames(rng: random.Random, compressed: bytes) -> bytes:
    """Return a message's frames, with pings between its fragments."""
    cuts = sorted({0, len(compressed), *(rng.randrange(len(compressed) + 1) for _ in range(rng.choice((0, 0, 1, 3))))})
    pieces = [compressed[start:end] for start, end in zip(cuts, cuts[1:] or [len(compressed)], strict=False)] or [b""]
    sent = b""
    for index, piece in enumerate(pieces):
        sent += frame(0 if index else TEXT, piece, fin=index == len(pieces) - 1)
        sent += frame(9) if index < len(pieces) - 1 and rng.random() < 0.3 else b""
    return sent


@pytest.mark.parametrize("retains_context", [True, False])
@pytest.mark.seeded
@pytest.mark.parametrize("seed", seeds(20))
def test_messages_are_those_that_were_compressed(seed: int, retains_context: bool) -> None:
    rng = random.Random(seed)
    sender = Sender(rng, retains_context=retains_context)
    reader = InflatingReader(1 << 20, masked=True, retains_context=retains_context)
    for _ in range(20):
        text = "".join(rng.choices("abc {}é", k=rng.choice((0, 1, 40, 2000))))
        events = list(reader.feed(frames(rng, sender.compress(text.encode()))))
        assert [event for event in events if not isinstance(event, PingReceived)] == [text]


def test_corrupt_message_is_a_violation() -> None:
    reader = InflatingReader(1 << 20, masked=True, retains_context=True)
    with pytest.raises(ProtocolViolation):
        list(reader.feed(frame(TEXT, b"\xff\xff\xff")))


def test_message_that_inflates_beyond_the_limit_ends_the_reading() -> None:
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = compressor.compress(bytes(MAX_INFLATED + 1)) + compressor.flush(zlib.Z_SYNC_FLUSH)
    reader = InflatingReader(1 << 20, masked=True, retains_context=True)
    with pytest.raises(InflationLimitError):
        list(reader.feed(frame(TEXT, bomb)))

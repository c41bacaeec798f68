"""A client's frames as messages: whole, split anywhere, and faulty."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.growing_text import STEP
from proxy.websocket.messages import (
    Closed,
    Event,
    MessageReader,
    PingReceived,
    ProtocolViolation,
)
from tests.support.pieces import deliveries
from tests.support.websocket_client import frame

CONVERSATION = (
    frame(1, b"one ", fin=False)
    + frame(9, b"between")
    + frame(0, "é".encode()[:1], fin=False)
    + frame(0, "é".encode()[1:])
    + frame(10, b"unasked")
    + frame(2)
    + frame(2, b"x" * 300)
    + frame(1, b"unfinished", fin=False)
    + frame(8, struct.pack("!H", 4000) + b"bye")
    + frame(1, b"after")
)
LONGEST = 300
"""Bytes of the longest of these messages; together they have more."""
EVENTS: list[Event] = [PingReceived(b"between"), "one é", b"", b"x" * 300, Closed(4000, "bye")]


@given(st.integers(1, 500))
def test_split_messages_are_read_alike(step: int) -> None:
    reader = MessageReader(LONGEST)
    parts = (CONVERSATION[at : at + step] for at in range(0, len(CONVERSATION), step))
    assert [event for part in parts for event in reader.feed(part)] == EVENTS


@given(st.integers(1, 500), st.integers(1, 3))
def test_limited_reads_leave_the_rest_unread(step: int, max_frames: int) -> None:
    reader, events, rest = MessageReader(100_000), list[Event](), CONVERSATION
    while rest:
        part = rest[:step]
        events += reader.feed(part, max_frames)
        rest = rest[len(part) - len(reader.unread) :]
    assert events == EVENTS


def test_read_ends_after_its_frames() -> None:
    reader = MessageReader(100_000)
    fragments = frame(1, b"a", fin=False) + frame(0, b"b", fin=False)
    assert list(reader.feed(fragments + frame(0, b"c") + frame(9), 2)) == []
    assert reader.unread == frame(0, b"c") + frame(9)
    assert list(reader.feed(reader.unread, 2)) == ["abc", PingReceived(b"")]
    assert reader.unread == b""


@pytest.mark.parametrize(
    ("data", "code"),
    [
        *[(frame(opcode), 1002) for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)],
        *[(bytes([0x80 | bits | 1, 0x80]), 1002) for bits in (0x10, 0x20, 0x40, 0x70)],
        (frame(0, b"x"), 1002),
        (frame(1, b"x", masked=False), 1002),
        (frame(1, b"x", fin=False) + frame(1, b"y"), 1002),
        (frame(9, fin=False), 1002),
        (frame(9, b"x" * 126), 1002),
        (frame(8, b"x"), 1002),
        *[(frame(8, struct.pack("!H", code)), 1002) for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000)],
        (frame(8, struct.pack("!H", 1000) + b"\xff"), 1007),
        (frame(1, b"\xff"), 1007),
        (frame(1, b"\xc3", fin=False) + frame(0, b"\x28"), 1007),
        (frame(2, length=101), 1009),
        (frame(2, length=1 << 63), 1009),
        (frame(2, b"x" * 60, fin=False) + frame(0, length=41), 1009),
    ],
)
def test_protocol_error_follows_the_messages_before_it(data: bytes, code: int) -> None:
    stream = frame(1, b"before") + data + frame(1, b"after")
    for pieces in deliveries(stream):
        reader = MessageReader(100)
        events: list[Event] = []
        with pytest.raises(ProtocolViolation) as caught:
            for piece in pieces:
                events += reader.feed(piece)
        assert caught.value.code == code
        assert events == ["before"]


def test_discarded_message_is_not_held() -> None:
    reader = MessageReader(1000)
    assert list(reader.feed(frame(2, b"x" * 500, length=900))) == []
    assert reader.buffered == 500
    reader.discard()
    assert reader.buffered == 0
    assert list(reader.feed(b"x" * 400 + frame(8))) == [b"", Closed(1005)]
    assert reader.buffered == 0


LONG = ("Zoë ist da. " * 40_000).encode()
"""More than two pieces, with characters of two bytes that fall between them."""


@pytest.mark.parametrize("step", [7_001, STEP - 1, STEP, 3 * STEP])
@pytest.mark.parametrize("opcode", [1, 2])
def test_long_split_message_is_read_whole(opcode: int, step: int) -> None:
    reader = MessageReader(10 * STEP)
    stream = frame(opcode, LONG[:90_000], fin=False) + frame(0, LONG[90_000:]) + frame(opcode, b"next")
    parts = (stream[at : at + step] for at in range(0, len(stream), step))
    first, after = (event for part in parts for event in reader.feed(part))
    assert (first, after) == ((LONG.decode(), "next") if opcode == 1 else (LONG, b"next"))


@pytest.mark.parametrize("fault", [0, STEP, len(LONG) - 1])
def test_long_invalid_text_is_refused_at_its_end(fault: int) -> None:
    reader = MessageReader(10 * STEP)
    stream = frame(1, LONG[:fault] + b"\xff" + LONG[fault + 1 :])
    assert list(reader.feed(stream[:-1])) == []
    with pytest.raises(ProtocolViolation) as caught:
        list(reader.feed(stream[-1:]))
    assert caught.value.code == 1007

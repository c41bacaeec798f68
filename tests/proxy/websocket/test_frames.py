"""Frame boundaries and the gateway's own pongs in a relayed stream, however it is split."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.websocket.frames import (
    CLOSE,
    PING,
    PONG,
    FrameFilter,
    close_payload,
    encode_control,
    encode_head,
)
from tests.support.websocket_client import apply, frame

TOKEN = b"12345678"


@dataclass(frozen=True)
class Piece:
    """A frame, and whether the filter removes it."""

    data: bytes
    is_ours: bool


@st.composite
def pieces(draw: st.DrawFn) -> Piece:
    opcode = draw(st.sampled_from((0, 1, 2, 3, CLOSE, PING, PONG, PONG, PONG)))
    payload = draw(st.sampled_from((b"", TOKEN, b"x" * 8, b"y" * 126, b"z" * 65536)) | st.binary(max_size=20))
    fin = draw(st.booleans()) or opcode == PONG
    data = frame(opcode, payload, fin=fin, masked=draw(st.booleans()))
    return Piece(data, opcode == PONG and payload == TOKEN)


@given(st.lists(pieces(), max_size=8), st.data())
def test_frames_except_own_pongs_pass_unchanged(frames: list[Piece], data: st.DataObject) -> None:
    stream = b"".join(piece.data for piece in frames)
    expected, boundaries = b"", {0}
    for piece in frames:
        if not piece.is_ours:
            expected += piece.data
            boundaries.add(len(expected))
    frame_filter = FrameFilter(TOKEN)
    frame_filter.armed = True
    passed, position = b"", 0
    while position < len(stream):
        step = data.draw(st.sampled_from((1, 2, 3, 10, 1000, 100_000)))
        part = stream[position : position + step]
        out = frame_filter.feed(part, data.draw(st.sampled_from((None, 1, 2))))
        if frame_filter.boundary is not None:
            assert len(passed) + frame_filter.boundary in boundaries
        passed += out
        position += len(part) - len(frame_filter.unread)
        assert frame_filter.between_frames == (len(passed) in boundaries)
    assert passed + frame_filter.flush() == expected
    assert frame_filter.close_passed == any(piece.data[0] & 0x0F == CLOSE for piece in frames)


@given(st.binary(max_size=300), st.integers(1, 50))
def test_bytes_outside_frames_pass_unchanged(garbage: bytes, step: int) -> None:
    frame_filter = FrameFilter(TOKEN)
    passed = b"".join(frame_filter.feed(garbage[at : at + step]) for at in range(0, len(garbage), step))
    assert passed == garbage


def test_unsolicited_pong_passes() -> None:
    frame_filter = FrameFilter(TOKEN)
    assert frame_filter.feed(frame(PONG, TOKEN)) == frame(PONG, TOKEN)


def test_endless_pong_is_released_at_the_end() -> None:
    frame_filter = FrameFilter(TOKEN)
    frame_filter.armed = True
    assert frame_filter.feed(frame(PONG, TOKEN)[:-1]) == b""
    assert frame_filter.flush() == frame(PONG, TOKEN)[:-1]


@pytest.mark.parametrize("size", [0, 125, 126, 65535, 65536])
def test_head_is_that_of_a_whole_message(size: int) -> None:
    assert encode_head(2, size) == frame(2, b"x" * size, masked=False)[: -size or None]


def test_control_frame_is_masked_where_a_mask_is_given() -> None:
    assert encode_control(PING, b"abc") == frame(9, b"abc", masked=False)
    assert encode_control(PING, b"abc", b"wxyz") == b"\x89\x83wxyz" + apply(b"abc", b"wxyz")


def test_close_reason_is_cut_at_a_characters_end() -> None:
    assert close_payload(4000, "é" * 100) == (4000).to_bytes(2, "big") + "é".encode() * 61

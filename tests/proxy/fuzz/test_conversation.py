"""Drawn conversations: their bytes, what is compared of them, and their form as recordings."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.comparison.correspondence import Correspondence
from proxy.fuzz.conversation import (
    ExpectedFrames,
    FuzzConversation,
    FuzzFrame,
    PlayedConversation,
    ServerFrame,
    compare_conversations,
    read_frames,
    recorded_frames,
)
from proxy.fuzz.conversation_cases import changed_conversations, learn_conversations
from proxy.recordings.model import RecordedConnection, RecordedConversation, Recordings
from proxy.websocket.frames import BINARY, CLOSE, PING, TEXT
from proxy.websocket.messages import Closed, MessageReader, ProtocolViolation
from tests.support.profile import examples

MESSAGES = ("", "x", "é😀", "x" * 125, "x" * 126, "x" * 65_536)
ANSWERED = PlayedConversation(
    101,
    "a",
    "",
    (
        ServerFrame(0, TEXT, b'{"type":"hello"}'),
        ServerFrame(1, TEXT, b'{"n":1}'),
        ServerFrame(1, CLOSE, b"\x03\xe8bye"),
    ),
    is_closed=True,
)


@pytest.mark.parametrize("text", MESSAGES, ids=len)
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_drawn_frames_are_decoded_by_a_server(text: str, opcode: int) -> None:
    frame = FuzzFrame(opcode, text.encode().decode("latin-1"))
    (message,) = MessageReader(1 << 20).feed(frame.encode())
    assert message == (text if opcode == TEXT else text.encode())


@pytest.mark.parametrize(
    "frame",
    [
        *(FuzzFrame(TEXT, "x", masked=False), FuzzFrame(TEXT, "x", reserved=4), FuzzFrame(3, "x")),
        *(FuzzFrame(PING, "x" * 126), FuzzFrame(PING, "x", fin=False), FuzzFrame(CLOSE, "\x03")),
    ],
    ids=repr,
)
def test_broken_frames_break_the_protocol(frame: FuzzFrame) -> None:
    with pytest.raises(ProtocolViolation):
        list(MessageReader(1 << 20).feed(frame.encode()))


def test_close_frame_has_its_code_and_reason() -> None:
    (event,) = MessageReader(1 << 20).feed(FuzzFrame(CLOSE, "\x03\xe8bye").encode())
    assert isinstance(event, Closed)
    assert (event.code, event.reason) == (1000, "bye")


@given(st.lists(st.binary(max_size=300), max_size=5), st.integers(0, 5))
@settings(max_examples=40)
def test_frames_of_a_service_are_read_at_any_cut(payloads: list[bytes], cut: int) -> None:
    sent = b"".join(FuzzFrame(BINARY, payload.decode("latin-1"), masked=False).encode() for payload in payloads)
    first, rest = read_frames(sent[: len(sent) - cut], 1)
    second, rest = read_frames(rest + sent[len(sent) - cut :], 2)
    assert [frame.payload for frame in first + second] == payloads
    assert rest == b""


def differing(native: PlayedConversation) -> list[tuple[str, str]]:
    differences = compare_conversations(ANSWERED, native, Correspondence(0, 0))
    return [(one.location, one.kind) for one in differences]


def test_equal_conversations_have_no_difference() -> None:
    assert differing(replace(ANSWERED)) == []


FAULTS = {
    "handshake.status": replace(ANSWERED, status=400),
    "handshake.subprotocol": replace(ANSWERED, subprotocol="b"),
    "frames.1.n": replace(ANSWERED, frames=(ANSWERED.frames[0], ServerFrame(1, TEXT, b'{"n":2}'), ANSWERED.frames[2])),
    "frames.2": replace(ANSWERED, frames=ANSWERED.frames[:2]),
    "frames.2.$close.0": replace(ANSWERED, frames=(*ANSWERED.frames[:2], ServerFrame(1, CLOSE, b"\x03\xe9bye"))),
    "frames.1.n ": replace(
        ANSWERED, frames=(ANSWERED.frames[0], ServerFrame(1, BINARY, b'{"n":1}'), ANSWERED.frames[2])
    ),
    "positions.0": replace(ANSWERED, frames=(replace(ANSWERED.frames[0], after=1), *ANSWERED.frames[1:])),
    "closed": replace(ANSWERED, is_closed=False),
}


@pytest.mark.parametrize("location", FAULTS)
def test_faults_are_one_difference_each(location: str) -> None:
    assert [field for field, _ in differing(FAULTS[location])][:1] == [location.strip()]


def test_missing_frame_is_awaited_once() -> None:
    frames = tuple(ServerFrame(after, TEXT, b"x") for after in range(4))
    expected = ExpectedFrames(PlayedConversation(101, frames=frames))
    waited = []
    for sent, received in enumerate([1, 1, 2, 4]):  # the second frame is late, and comes with the last
        waited.append(expected.after(sent))
        expected.received(sent, received)
    assert waited == [1, 2, 2, 3]


RECORDED = Recordings(
    (),
    (RecordedConversation("talk", "/talk", ({"type": "start"}, "raw"), (), None),),
    (RecordedConnection("/other", "400"),),
)


def test_conversations_are_learned_from_recordings() -> None:
    talk, other = learn_conversations(RECORDED)
    assert (talk.target, recorded_frames(talk.frames)) == ("/talk", ['{"type":"start"}', "raw"])
    assert other == FuzzConversation("/other")


@given(changed_conversations(learn_conversations(RECORDED)))
@settings(max_examples=examples(60))
def test_drawn_conversations_can_be_sent_and_described(conversation: FuzzConversation) -> None:
    assert conversation.handshake("a").endswith(b"\r\n\r\n")
    assert b"".join(frame.encode() for frame in conversation.frames) or not conversation.frames
    json.dumps([conversation.describe(), recorded_frames(conversation.frames)])


@pytest.mark.parametrize("frame", [FuzzFrame(BINARY, "x"), FuzzFrame(TEXT, "\xff"), FuzzFrame(TEXT, "x", fin=False)])
def test_frames_without_a_recorded_form_give_none(frame: FuzzFrame) -> None:
    assert recorded_frames([FuzzFrame.text("a"), frame]) is None

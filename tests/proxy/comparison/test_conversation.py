"""Conversations out of bytes: the same messages at the same positions, however the bytes were split."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.comparison.conversation import (
    CHUNK_COST,
    Chunk,
    ClientMessage,
    Conversation,
    ConversationTooLargeError,
    Ending,
    HandshakeRecorder,
    RawConversation,
    ServerMessage,
    UnreadableConversationError,
    read_conversation,
    split_chunks,
)
from proxy.websocket.inflation import MAX_INFLATED
from proxy.websocket.packets import PACKET_SIZE
from tests.support.exchanges import exchange
from tests.support.websocket_client import frame

Transmission = tuple[bool, bytes]

CLOSE = frame(8, struct.pack("!H", 4000) + b"bye")
TRANSMISSIONS: tuple[Transmission, ...] = (
    (False, frame(1, b"hello", masked=False) + frame(9, b"ping", masked=False)),
    (True, frame(10, b"ping") + frame(1, b"a", fin=False) + frame(9, b"x") + frame(0, "é".encode()) + frame(2, b"b")),
    (False, frame(1, b"one", masked=False, fin=False) + frame(0, b" two", masked=False) + frame(2, masked=False)),
    (True, frame(1, b"c" * 300)),
    (True, CLOSE + frame(1, b"after")),
    (False, frame(8, struct.pack("!H", 4000), masked=False)),
)
SENT = [("aé", 1), (b"b", 1), ("c" * 300, 3)]
RECEIVED = [("hello", 0), ("one two", 2), (b"", 2)]


def conversation(chunks: Iterable[Chunk], *headers: tuple[bytes, bytes], messages: int = 100) -> Conversation:
    accepted = exchange(b"", status=101)._replace(headers=headers)
    return read_conversation(RawConversation(accepted, 10.0, list(chunks)), messages)


def positions(read: Conversation) -> tuple[list[tuple[object, int]], list[tuple[object, int]]]:
    return [(each.data, each.received) for each in read.sent], [(each.data, each.after) for each in read.received]


def split(transmissions: Iterable[Transmission], sizes: Iterable[int]) -> list[Chunk]:
    """Return the bytes of each turn in pieces of the sizes, in turn."""
    lengths, chunks = list(sizes), list[Chunk]()
    for from_client, data in transmissions:
        while data:
            size = lengths[len(chunks) % len(lengths)]
            chunks.append(Chunk(from_client, 11.0, data[:size]))
            data = data[size:]
    return chunks


@given(st.lists(st.integers(1, 400), min_size=1, max_size=8))
def test_messages_do_not_depend_on_the_splitting_of_bytes(sizes: list[int]) -> None:
    read = conversation(split(TRANSMISSIONS, sizes))
    assert positions(read) == (SENT, RECEIVED)
    assert read.ending == Ending("client", 4000, "bye", after=3, at=1.0)


@given(st.lists(st.integers(0, 400), max_size=8), st.integers(CHUNK_COST + 1, 300))
def test_chunks_are_split_into_parts_of_a_size(sizes: list[int], size: int) -> None:
    chunks = [Chunk(bool(index % 2), float(index), bytes(length)) for index, length in enumerate(sizes)]
    parts = list(split_chunks(chunks, size))
    assert all(sum(chunk.cost for chunk in part) <= size for part in parts)
    joined: dict[float, bytes] = {}
    for chunk in (chunk for part in parts for chunk in part):
        joined[chunk.at] = joined.get(chunk.at, b"") + chunk.data
    assert joined == {chunk.at: chunk.data for chunk in chunks}


def test_positions_follow_the_chunks_that_complete_messages() -> None:
    question, answer = frame(1, b"q"), frame(1, b"a", masked=False)
    read = conversation([Chunk(True, 11.0, question[:3]), Chunk(False, 12.0, answer), Chunk(True, 13.0, question[3:])])
    assert read.sent == (ClientMessage("q", received=1, at=3.0),)
    assert read.received == (ServerMessage("a", after=0, at=2.0),)


@pytest.mark.parametrize(
    ("chunks", "ends"),
    [
        ([frame(1, b"a")], [True]),
        ([frame(1, b"a"), frame(1, b"b")], [True, True]),
        ([frame(1, b"a") + frame(9) + frame(1, b"b") + frame(9)], [False, True]),
        ([frame(1, b"a") + frame(1, b"b")[:3], frame(1, b"b")[3:] + frame(1, b"c")], [True, False, True]),
        ([frame(1, b"a") + CLOSE], [False]),
        ([frame(1, b"a") + frame(1, b"\xff")], [False]),
        ([frame(1, b"a"), b""], [True]),
        ([frame(2, bytes(PACKET_SIZE // 2)) * 4], [True, False, True, True]),
    ],
)
def test_packets_end_with_the_last_message_received_together(chunks: list[bytes], ends: list[bool]) -> None:
    read = conversation(Chunk(True, 11.0, data) for data in chunks)
    assert [each.ends_packet for each in read.sent] == ends


@pytest.mark.parametrize("size", [PACKET_SIZE + CHUNK_COST + 1, 3 * PACKET_SIZE])
def test_division_into_parts_leaves_packets_whole(size: int) -> None:
    data = frame(2, bytes(10_000)) * 40
    chunk = Chunk(True, 11.0, data)
    parts = [chunk for part in split_chunks([chunk], size) for chunk in part]
    assert len(parts) > 1
    assert conversation(parts).sent == conversation([chunk]).sent


@pytest.mark.parametrize(
    ("chunks", "ending"),
    [
        ([], None),
        ([Chunk(False, 11.0, frame(8, struct.pack("!H", 1001), masked=False))], Ending("server", 1001, "", 0, 1.0)),
        ([Chunk(False, 11.0, frame(8, masked=False))], Ending("server", 1005, "", 0, 1.0)),
        ([Chunk(False, 11.0, b""), Chunk(True, 12.0, b"")], Ending("server", 1006, "", 0, 1.0)),
        ([Chunk(True, 11.0, b""), Chunk(False, 12.0, CLOSE)], Ending("client", 1006, "", 0, 1.0)),
    ],
    ids=["none", "close", "without a code", "dropped", "client gone"],
)
def test_first_end_is_the_ending(chunks: list[Chunk], ending: Ending | None) -> None:
    assert conversation(chunks).ending == ending


def test_client_messages_are_read_up_to_a_protocol_error() -> None:
    faulty = frame(1, b"ok") + frame(1, b"\xff") + frame(1, b"never")
    server = frame(8, struct.pack("!H", 1007), masked=False)
    read = conversation([Chunk(True, 11.0, faulty), Chunk(True, 11.5, frame(1, b"x")), Chunk(False, 12.0, server)])
    assert (positions(read)[0], read.violation) == ([("ok", 0)], 1007)
    assert read.ending == Ending("server", 1007, "", after=1, at=2.0)


def test_faulty_server_or_extension_is_unreadable() -> None:
    with pytest.raises(UnreadableConversationError):
        conversation([Chunk(False, 11.0, frame(1, b"masked"))])
    with pytest.raises(UnreadableConversationError):
        conversation([], (b"sec-websocket-extensions", b"permessage-other"))


def deflated(*texts: str) -> bytes:
    """Return text messages of a server, the later ones compressed with the context of the earlier."""
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    frames = b""
    for each in texts:
        data = compressor.compress(each.encode()) + compressor.flush(zlib.Z_SYNC_FLUSH)
        frames += frame(1 | 0x40, data.removesuffix(b"\x00\x00\xff\xff"), masked=False)
    return frames


@pytest.mark.parametrize("size", [1, 1000])
def test_compressed_messages_are_inflated(size: int) -> None:
    plain = frame(1, b"plain", masked=False)
    chunks = split([(False, deflated("é one two", "é one two three") + plain)], [size])
    read = conversation(chunks, (b"sec-websocket-extensions", b"permessage-deflate; client_max_window_bits=15"))
    assert [each.data for each in read.received] == ["é one two", "é one two three", "plain"]
    assert read.handshake.headers == ()


def test_inflation_is_bounded_and_faults_are_unreadable() -> None:
    agreed = (b"sec-websocket-extensions", b"permessage-deflate; server_no_context_takeover")
    with pytest.raises(ConversationTooLargeError):
        conversation([Chunk(False, 11.0, deflated("a" * (MAX_INFLATED + 1)))], agreed)
    for data in (deflated("one", "one one")[-8:], frame(1 | 0x40, b"\xff\xff", masked=False)):
        with pytest.raises(UnreadableConversationError):
            conversation([Chunk(False, 11.0, data)], agreed)


def test_messages_beyond_the_limit_are_not_read() -> None:
    chunks = [Chunk(True, 11.0, frame(1)) for _ in range(4)]
    assert len(conversation(chunks, messages=4).sent) == 4
    with pytest.raises(ConversationTooLargeError):
        conversation(chunks, messages=3)


def test_content_is_absent_from_reprs() -> None:
    read = conversation(split(TRANSMISSIONS, [7]))
    shown = f"{read!r} {Chunk(True, 1.0, b'hello')!r} {RawConversation(exchange(), 1.0, [])!r}"
    assert not any(content in shown for content in ("hello", "aé", "ccc", "bye", "one two"))


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([{"type": "websocket.accept", "subprotocol": "bearer"}], (101, ((b"sec-websocket-protocol", b"bearer"),))),
        ([{"type": "websocket.close"}], (403, ())),
        (
            [
                {"type": "websocket.http.response.start", "status": 401, "headers": [(b"a", b"b")]},
                {"type": "websocket.http.response.body", "body": b"no"},
            ],
            (401, ((b"a", b"b"),)),
        ),
    ],
    ids=["accepted", "closed", "refused"],
)
def test_handshake_is_recorded_as_an_answer(messages: list[dict[str, object]], expected: object) -> None:
    recorder = HandshakeRecorder({"type": "websocket", "headers": [], "proxy.target": b"/x"}, 100)
    for message in messages:
        recorder.sent(message)
    recorder.sent({"type": "websocket.close", "code": 1000})
    recorded = recorder.exchange()
    assert (recorded.outcome, (recorded.status, recorded.headers)) == ("response", expected)
    assert bool(recorder.opened) is (recorded.status == 101)

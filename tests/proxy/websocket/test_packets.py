"""Packets end where messages that arrived together end, however many frames are read at once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from proxy.websocket.frames import FRAMES_AT_ONCE
from proxy.websocket.messages import Event, MessageReader, PingReceived
from proxy.websocket.packets import PACKET_SIZE, PacketReader
from tests.support.websocket_client import frame

PING = frame(9, b"p")


def read(arrivals: list[bytes]) -> list[Event | None]:
    """Return the events of what arrived at several times; None is the end of a packet."""
    reader = PacketReader(MessageReader(1 << 20))
    events: list[Event | None] = []
    for data in arrivals:
        while data:
            events += reader.events(data, FRAMES_AT_ONCE)
            data, is_over = reader.advance(data)
            events += [None] * is_over
    return events


@given(st.lists(st.lists(st.integers(0, 40), min_size=1, max_size=5), max_size=4), st.integers(1, 3 * FRAMES_AT_ONCE))
def test_packet_ends_after_its_last_message(packets: list[list[int]], repeated: int) -> None:
    arrivals = [b"".join(frame(2, bytes(size)) for size in sizes) + PING for sizes in packets]
    expected: list[Event | None] = []
    for sizes in packets:
        expected += [*(bytes(size) for size in sizes), PingReceived(b"p"), None]
    assert read(arrivals) == expected
    many = read([frame(2, b"x") * repeated + PING])
    assert many == [b"x"] * repeated + [PingReceived(b"p"), None]


def test_packet_without_a_message_has_no_end() -> None:
    assert read([PING, frame(2, b"a")[:3], frame(2, b"a")[3:]]) == [PingReceived(b"p"), b"a", None]


def test_packet_is_as_large_as_a_read_of_node() -> None:
    half = bytes(PACKET_SIZE // 2 - len(frame(2, bytes(PACKET_SIZE // 2))) + PACKET_SIZE // 2)
    assert read([frame(2, half) * 3]) == [half, half, None, half, None]

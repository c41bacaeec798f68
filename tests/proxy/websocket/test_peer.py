"""The packets of a native WebSocket: which messages arrived together, as the app is informed of it."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext

import pytest

from proxy.websocket.frames import FRAMES_AT_ONCE
from proxy.websocket.link import Timing
from proxy.websocket.packets import PACKET_SIZE
from proxy.websocket.peer import Closed, Peer
from tests.support.contended_loop import contended
from tests.support.waiting import HANG_TIMEOUT
from tests.support.websocket_client import frame

PING, CLOSE = frame(9, b"p"), frame(8, b"")
Packets = list[list[bytes]]


@asynccontextmanager
async def attached() -> AsyncIterator[tuple[Peer, asyncio.Transport, socket.socket]]:
    """Yield a peer, whose bytes a test gives it, its transport, and the socket that receives what it sends."""
    near, far = socket.socketpair()
    far.setblocking(False)
    peer = Peer(Timing(), 1 << 20)
    transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, sock=near)
    peer.attach(transport)
    try:
        yield peer, transport, far
    finally:
        transport.abort()
        far.close()


async def packets_of(peer: Peer) -> Packets:
    """Receive up to the end as an app does; return the messages of each packet."""
    packets: Packets = [[]]
    async with asyncio.timeout(HANG_TIMEOUT):
        while not isinstance(message := await peer.receive(), Closed):
            packets[-1].append(message if isinstance(message, bytes) else message.encode())
            if await peer.is_packet_over():
                packets.append([])
    return packets


def draw_packets(source: random.Random) -> Packets:
    """Return packets of several messages, which have no more than `PACKET_SIZE` bytes."""
    most, sizes = source.choice([(5 * FRAMES_AT_ONCE, [0, 3, 20]), (7, [0, 70, PACKET_SIZE // 8])])
    return [
        [b"%d" % number + b"x" * source.choice(sizes) for number in range(source.randint(1, most))]
        for _ in range(source.randint(1, 4))
    ]


@pytest.mark.parametrize("is_contended", [False, True])
@pytest.mark.parametrize("seed", range(12))
async def test_packet_is_over_after_messages_that_arrived_together(seed: int, is_contended: bool) -> None:
    source = random.Random(seed)
    sent = draw_packets(source)
    async with attached() as (peer, transport, _):
        with contended() if is_contended else nullcontext():
            receiving = asyncio.ensure_future(packets_of(peer))
            for messages in sent:
                data = b"".join(frame(2, each) + PING * source.randrange(2) for each in messages)
                assert len(data) <= PACKET_SIZE
                peer.data_received(data)
                for _ in range(source.choice([0, 0, 1, 3])):
                    await asyncio.sleep(0)
                while not transport.is_reading():
                    await asyncio.sleep(0)
            peer.data_received(CLOSE)
            assert await receiving == [*sent, []]


@pytest.mark.parametrize("end", [CLOSE, frame(3), frame(1, b"\xff"), CLOSE[:1] + b"\0"])
async def test_packet_with_the_connections_end_is_not_over(end: bytes) -> None:
    async with attached() as (peer, _, _):
        peer.data_received(frame(2, b"a") + PING + frame(2, b"b") + PING + end)
        assert await packets_of(peer) == [[b"a", b"b"]]


async def test_packet_before_the_end_of_the_stream_is_over() -> None:
    async with attached() as (peer, _, _):
        peer.data_received(frame(2, b"a"))
        peer.eof_received()
        assert await packets_of(peer) == [[b"a"], []]


async def test_more_bytes_than_node_reads_at_once_are_several_packets() -> None:
    quarter = PACKET_SIZE // 4 - len(frame(2, bytes(PACKET_SIZE // 4))) + PACKET_SIZE // 4
    messages = [b"%d" % number * quarter for number in range(10)]
    data = b"".join(frame(2, each) for each in messages)
    assert len(data) == 10 * PACKET_SIZE // 4
    async with attached() as (peer, _, _):
        receiving = asyncio.ensure_future(packets_of(peer))
        peer.data_received(data)
        await asyncio.sleep(0)
        peer.eof_received()
        assert await receiving == [messages[:4], messages[4:8], messages[8:], []]


async def test_message_belongs_to_the_packet_of_its_last_byte() -> None:
    async with attached() as (peer, _, _):
        whole = frame(2, b"b" * 100)
        peer.data_received(frame(2, b"a") + whole[:50])
        peer.data_received(whole[50:] + frame(2, b"c"))
        peer.data_received(frame(2, b"d")[:3])
        peer.data_received(frame(2, b"d")[3:] + CLOSE)
        assert await packets_of(peer) == [[b"a"], [b"b" * 100, b"c"], [b"d"]]


async def test_pings_behind_the_last_message_are_answered_first() -> None:
    async with attached() as (peer, _, far):
        peer.data_received(frame(2, b"a") + PING)
        assert await peer.receive() == b"a"
        with pytest.raises(BlockingIOError):
            far.recv(100)
        assert await peer.is_packet_over()
        assert far.recv(100) == b"\x8a\x01p"

"""Recording of a mirrored WebSocket in the gateway: independent of how bytes arrive, within limits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

from proxy.backends.legacy.websocket import WebSocketUpstream
from proxy.comparison.conversation import ClientMessage, read_conversation
from proxy.config.service_models import ConversationLimits
from proxy.server.memory_budget import MemoryBudget
from tests.support.conversations import ConversationRecorder, mirrored
from tests.support.raw_websocket_legacy import raw_legacy
from tests.support.sockets import scripted, serving
from tests.support.websocket_client import RawSocket, frame, raw_client

CLOSE = frame(8, b"\x03\xe8")
CLOSED = frame(8, b"\x03\xe8", masked=False)
QUESTION = frame(1, b'{"a":', fin=False) + frame(9, b"p") + frame(0, b"1}") + frame(2, bytes(range(200)))
ANSWER = frame(1, b"one ", masked=False, fin=False) + frame(0, b"two", masked=False)


@asynccontextmanager
async def ends(
    sink: ConversationRecorder,
    limits: ConversationLimits | None = None,
    *budgets: MemoryBudget,
) -> AsyncIterator[tuple[RawSocket, RawSocket]]:
    """Return a client and a legacy with a mirrored relay between them."""
    async with raw_legacy() as (port, accepted):
        app = mirrored(WebSocketUpstream(f"http://127.0.0.1:{port}"), sink, limits, *budgets)
        async with serving(app) as gateway, raw_client(gateway) as client:
            yield client, await accepted


async def deliver(sender: RawSocket, receiver: RawSocket, parts: Sequence[bytes]) -> None:
    """Send parts, each once the one before has passed the gateway."""
    for part in parts:
        sender.writer.write(part)
        assert await receiver.reader.readexactly(len(part)) == part


async def close(client: RawSocket, legacy: RawSocket) -> None:
    await deliver(client, legacy, [CLOSE])
    await deliver(legacy, client, [CLOSED])
    for end in (client, legacy):
        end.writer.close()


def split(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


async def test_frame_in_one_packet_with_the_handshake_is_recorded() -> None:
    sink = ConversationRecorder()
    async with raw_legacy(ANSWER) as (port, accepted):
        app = mirrored(WebSocketUpstream(f"http://127.0.0.1:{port}"), sink)
        async with serving(app) as gateway, raw_client(gateway) as client:
            assert await client.reader.readexactly(len(ANSWER)) == ANSWER
            await close(client, await accepted)
            read = read_conversation(await sink.conversation(), 100)
    assert [each.data for each in read.received] == ["one two"]


@pytest.mark.parametrize("size", [1, 3, 1000], ids=["byte by byte", "in pieces", "glued"])
async def test_messages_do_not_depend_on_the_splitting_of_frames(size: int) -> None:
    sink = ConversationRecorder()
    async with ends(sink) as (client, legacy):
        await deliver(client, legacy, split(QUESTION, size))
        await deliver(legacy, client, split(ANSWER, size))
        await deliver(client, legacy, split(QUESTION + QUESTION, size))
        await close(client, legacy)
        read = read_conversation(await sink.conversation(), 100)
    pair = ('{"a":1}', bytes(range(200)))
    assert [(each.data, each.received) for each in read.sent] == [
        *((data, 0) for data in pair),
        *((data, 1) for data in pair * 2),
    ]
    assert [(each.data, each.after) for each in read.received] == [("one two", 2)]
    assert read.ending is not None
    assert (read.ending.by, read.ending.code) == ("client", 1000)


async def test_conversation_is_submitted_with_its_handshake() -> None:
    sink = ConversationRecorder()
    async with ends(sink) as (client, legacy):
        client.writer.write(frame(1, b"early"))
        await legacy.read_frame()
        await close(client, legacy)
        raw = await sink.conversation()
    assert (raw.handshake.status, raw.handshake.target) == (101, b"/transcription-stream")
    read = read_conversation(raw, 100)
    assert (read.is_open, read.sent, read.received) == (True, (ClientMessage("early", 0, read.sent[0].at),), ())
    assert 0 <= read.sent[0].at < 10
    assert raw.size >= len("early")


async def test_compressed_conversation_is_read() -> None:
    async def echo(socket: ServerConnection) -> None:
        async for message in socket:
            await socket.send(message)

    sink, texts = ConversationRecorder(), ["one two three", "one two three four", "z" * 10_000]
    async with serve(echo, "127.0.0.1", 0, compression="deflate") as legacy:
        port = next(iter(legacy.sockets)).getsockname()[1]
        async with serving(mirrored(WebSocketUpstream(f"http://127.0.0.1:{port}"), sink)) as own:
            async with connect(
                f"ws://127.0.0.1:{own}/transcription-stream", compression="deflate", proxy=None
            ) as client:
                for text in texts:
                    await client.send(text)
                    assert await client.recv() == text
            raw = await sink.conversation()
    read = read_conversation(raw, 100)
    assert raw.size < 1000
    assert [each.data for each in read.sent] == [each.data for each in read.received] == texts


async def test_refused_handshake_is_submitted() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 11\r\nX-A: b\r\n\r\nBad Request")

    sink = ConversationRecorder()
    async with scripted(refuse) as port, serving(mirrored(WebSocketUpstream(f"http://127.0.0.1:{port}"), sink)) as own:
        async with raw_client(own) as client:
            assert client.head.startswith(b"HTTP/1.1 400")
        handshake = (await sink.conversation()).handshake
    assert (handshake.status, handshake.body.data, handshake.outcome) == (400, b"Bad Request", "response")


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        (ConversationLimits(max_size=1000), "body_too_large"),
        (ConversationLimits(max_duration=0.05), "timeout"),
    ],
    ids=["size", "duration"],
)
async def test_conversation_over_a_limit_is_skipped_once(limits: ConversationLimits, reason: str) -> None:
    sink = ConversationRecorder()
    async with ends(sink, limits) as (client, legacy):
        await deliver(client, legacy, [frame(2, b"x" * 500)])
        await asyncio.sleep(0.1)
        await deliver(client, legacy, [frame(2, b"x" * 500)] * 3)
        await close(client, legacy)
        await client.reader.read()
    assert (sink.skipped, sink.submitted) == ([reason], [])


async def test_buffers_of_all_conversations_are_bounded() -> None:
    budget = MemoryBudget(2000)
    sinks = ConversationRecorder(), ConversationRecorder()
    async with ends(sinks[0], None, budget) as one, ends(sinks[1], None, budget) as other:
        await deliver(*one, [frame(2, b"x" * 1000)])
        assert budget.used > 1000
        await deliver(*other, [frame(2, b"x" * 1500)])
        assert sinks[1].skipped == ["queue_full"]
        for pair in (one, other):
            await deliver(*pair, [frame(1, b"still served")])
            await close(*pair)
        assert len((await sinks[0].conversation()).chunks) > 1
    assert budget.used == 0


async def test_conversation_is_dropped_for_a_served_request() -> None:
    sink, budget, evicted = ConversationRecorder(), MemoryBudget(2000), list[str]()
    served = budget.open(lambda: evicted.append("served"))
    assert served.acquire(1500)
    async with ends(sink, None, budget) as (client, legacy):
        await deliver(client, legacy, [frame(2, b"x" * 1000)])
        await close(client, legacy)
        await client.reader.read()
    assert (sink.skipped, evicted, budget.used) == (["queue_full"], [], 1500)


async def test_conversation_is_evicted_before_served_requests() -> None:
    sink, budget, evicted = ConversationRecorder(), MemoryBudget(3000), list[str]()
    idle, active = (budget.open(lambda: evicted.append("served")) for _ in range(2))
    assert idle.acquire(1500)
    async with ends(sink, None, budget) as (client, legacy):
        await deliver(client, legacy, [frame(2, b"x" * 1000)])
        assert active.acquire(1000)
        await close(client, legacy)
        await client.reader.read()
    assert (sink.skipped, evicted, budget.used) == (["queue_full"], [], 2500)


async def test_failing_mirror_leaves_the_relay_intact(caplog: pytest.LogCaptureFixture) -> None:
    class FaultyBudget(MemoryBudget):
        def has_room(self, size: int) -> bool:
            raise RuntimeError("secret")

    sink = ConversationRecorder()
    async with ends(sink, None, FaultyBudget()) as (client, legacy):
        await deliver(client, legacy, [frame(1, b"audio")])
        await deliver(legacy, client, [ANSWER])
        await close(client, legacy)
    assert sink.skipped == ["body_too_large"]
    assert "could not be captured" in caplog.text
    assert "secret" not in caplog.text

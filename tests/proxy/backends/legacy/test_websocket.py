"""Messages forwarded between a WebSocket client and a legacy."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.sockets import read_head, scripted
from tests.support.websocket_client import frame, handshake, raw_client
from tests.support.websocket_forwarding import accepting, forwarding, joined, order
from tests.support.websocket_legacy import Legacy, new_target

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize(
    "message", ["text", "", "é€😀 \x00", b"bytes \x00\xff", b"", "x" * 125, "x" * 126, b"y" * 65536]
)
async def test_message_passes_both_ways(node: Legacy, message: str | bytes) -> None:
    async with joined(node) as client:
        await client.send(message)
        assert await client.recv() == message


async def test_messages_keep_their_order(node: Legacy) -> None:
    async with joined(node) as client:
        messages = [str(number) if number % 3 else bytes([number % 256]) for number in range(2000)]
        for message in messages:
            await client.send(message)
        assert [await client.recv() for _ in messages] == messages


async def test_fragments_arrive_as_one_message(node: Legacy) -> None:
    async with joined(node) as client:
        await client.send(["é".encode()[:1], "é".encode()[1:], b"", b"!"], text=True)
        assert await client.recv() == "é!"
        await client.send(order("fragments", "one ", "", "message"))
        assert await client.recv() == "one message"


async def test_frames_of_16_mib_pass_both_ways(node: Legacy) -> None:
    async with joined(node) as client:
        for message in (bytes(range(256)) * 65536, "é" * (8 * 1024 * 1024)):
            await client.send(message)
            assert await client.recv() == message


async def test_frame_over_16_mib_passes(node: Legacy) -> None:
    message = b"x" * (40 * 1024 * 1024 + 1)
    async with joined(node) as client:
        await client.send(message)
        assert await client.recv() == message


async def test_message_over_100_mib_is_refused_by_the_legacy_itself(node: Legacy) -> None:
    async with raw_client(node.gateway, handshake(new_target())) as client:
        client.writer.write(frame(2, length=100 * 1024 * 1024 + 1))
        assert await client.read_close() == (1009, "")


async def test_unfinished_frame_streams_through_both_ways() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(accepting(await read_head(reader)))
        writer.write(frame(2, b"down", length=95 * 1024 * 1024, masked=False))
        received.set_result(await reader.readexactly(len(up)))
        await reader.read()

    received: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
    up = frame(2, b"up", length=95 * 1024 * 1024)
    async with scripted(script) as legacy, forwarding(legacy) as port, raw_client(port) as client:
        client.writer.write(up)
        assert await client.reader.readexactly(14) == frame(2, b"down", length=95 * 1024 * 1024, masked=False)
        assert await received == up

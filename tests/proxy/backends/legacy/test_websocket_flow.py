"""Flow control of a forwarded WebSocket: either side reads slowly or not at all."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection

from tests.support.sockets import read_head, scripted
from tests.support.waiting import HANG_TIMEOUT
from tests.support.websocket_client import RawSocket, frame, handshake, raw_client
from tests.support.websocket_forwarding import QUICK, accepting, forwarding, joined, order
from tests.support.websocket_legacy import Legacy, new_target

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_client_that_does_not_read_pauses_legacy() -> None:
    size, count = 256 * 1024, 400
    written = 0

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        writer.write(accepting(await read_head(reader)))
        for number in range(count):
            writer.write(frame(2, number.to_bytes(4, "big") * (size // 4), masked=False))
            await writer.drain()
            written = number + 1
        await reader.read()

    async with scripted(script) as legacy, forwarding(legacy) as port, raw_client(port) as client:
        held = await settle(lambda: written)
        assert held * size < 32 * 1024 * 1024, "kernel buffers of two sockets, and little else"
        for number in range(count):
            opcode, data = await client.read_frame()
            while opcode == 9:
                opcode, data = await client.read_frame()
            assert (opcode, data[:4], len(data)) == (2, number.to_bytes(4, "big"), size)


async def test_legacy_that_does_not_read_pauses_the_client(node: Legacy) -> None:
    written = 0

    async def pour(client: ClientConnection) -> None:
        nonlocal written
        for number in range(400):
            await client.send(number.to_bytes(4, "big") * 65536)
            written = number + 1

    async with joined(node) as client:
        await client.send(order("count"))
        await client.send(order("pause", 2000))
        pouring = asyncio.ensure_future(pour(client))
        held = await settle(lambda: written)
        assert held * 262144 < 32 * 1024 * 1024
        await pouring
        await client.send(order("counted"))
        assert await client.recv() == str(400 * 262144)


async def test_slow_client_is_not_dropped(node: Legacy) -> None:
    # Its pongs are late, because the pings wait behind 12 MiB. Only the client's reading shows that it is alive.
    target = new_target()
    async with forwarding(node.port, (0.2, 1.5)) as port, raw_client(port, handshake(target), buffer=262144) as client:
        client.writer.write(frame(1, order("flood", 192, 65536).encode()))
        received = 0
        while received < 192:
            opcode, data = await client.read_frame()
            if opcode == 9:
                client.writer.write(frame(10, data))
            else:
                received += 1
                await asyncio.sleep(0.016)
        client.writer.write(frame(8, b"\x03\xe8"))
        assert await client.read_close() == (1000, "")
    assert (await node.event("close", target))["code"] == 1000


async def test_legacy_that_accepts_no_bytes_is_closed() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(accepting(await read_head(reader)))
        await asyncio.sleep(3600)

    async with scripted(script) as legacy, forwarding(legacy, QUICK) as port, raw_client(port) as client:
        pouring = asyncio.ensure_future(pour(client, frame(2, b"x" * 262144)))
        assert await client.read_close() == (1011, "")
        assert await client.read_rest() == b""
        pouring.cancel()


async def test_lost_client_of_a_blocked_legacy_ends_both() -> None:
    ended = asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(accepting(await read_head(reader)))
        await asyncio.sleep(1.0)
        await reader.read()
        ended.set()

    async with scripted(script) as legacy, forwarding(legacy, QUICK) as port, raw_client(port) as client:
        client.writer.write(frame(2, b"x" * 1024 * 1024) * 16)
        await asyncio.sleep(0.2)
        client.writer.transport.abort()
        async with asyncio.timeout(HANG_TIMEOUT):
            await ended.wait()


async def settle(progress: Any) -> int:
    """Wait until nothing moves for half a second."""
    last_progress = -1
    while last_progress != progress():
        last_progress = progress()
        await asyncio.sleep(0.5)
    return int(last_progress)


async def pour(client: RawSocket, data: bytes) -> None:
    while True:
        client.writer.write(data)
        await client.writer.drain()

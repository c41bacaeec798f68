"""Ends of a forwarded WebSocket: closes, lost connections, unanswered pings."""

from __future__ import annotations

import asyncio
import signal
from contextlib import suppress

import pytest

from tests.support.sockets import read_head, scripted
from tests.support.waiting import HANG_TIMEOUT
from tests.support.websocket_client import frame, handshake, raw_client
from tests.support.websocket_forwarding import (
    QUICK,
    accepting,
    closing_of,
    connect_to,
    forwarding,
    joined,
    order,
    pour_until_closed,
    target_of,
)
from tests.support.websocket_legacy import Legacy, legacy_server, new_target

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (1000, ""),
        (1000, "done"),
        (1001, "bye"),
        (1011, "é" * 61),
        (1012, ""),
        (3000, "r"),
        (4000, ""),
        (4999, "x" * 123),
    ],
)
async def test_close_frame_passes_both_ways(node: Legacy, code: int, reason: str) -> None:
    async with joined(node) as client:
        await client.send(order("close", code, reason))
        assert await closing_of(client) == (code, reason)
        await node.event("close", target_of(client))
    async with joined(node) as client:
        await client.close(code, reason)
        closed = await node.event("close", target_of(client))
        assert (closed["code"], closed["reason"]) == (code, reason)


async def test_close_frame_without_a_code_passes_both_ways(node: Legacy) -> None:
    async with joined(node) as client:
        await client.send(order("end"))
        assert await closing_of(client) == (1005, "")
        await node.event("close", target_of(client))
    target = new_target()
    async with raw_client(node.gateway, handshake(target)) as raw:
        raw.writer.write(frame(8))
        assert await raw.read_close() == (1005, "")
        assert await raw.read_rest() == b"", "the legacy has closed"
    assert (await node.event("close", target))["code"] == 1005


async def test_message_before_a_close_arrives(node: Legacy) -> None:
    async with joined(node) as client:
        await client.send(order("fragments", "last words"))
        await client.send(order("close", 4000, "bye"))
        assert await client.recv() == "last words"
        assert await closing_of(client) == (4000, "bye")


async def test_close_reaches_a_client_that_continues_sending(node: Legacy) -> None:
    async with joined(node) as client:
        await client.send(order("close", 4000, "enough"))
        pouring = asyncio.ensure_future(pour_until_closed(client))
        assert await closing_of(client) == (4000, "enough")
        await pouring


async def test_slow_client_receives_all_bytes_of_a_dead_legacy(node: Legacy) -> None:
    async with raw_client(node.gateway, handshake(new_target())) as client:
        client.writer.write(frame(1, order("flood", 400, 65536).encode()))
        numbers = [int.from_bytes((await client.read_frame())[1][:4], "big")]
        await asyncio.sleep(1.0)
        client.writer.write(frame(1, order("terminate").encode()))
        for _ in range(5):
            await asyncio.sleep(0.05)
            client.writer.write(frame(1, b"are you there?"))
        with suppress(asyncio.IncompleteReadError):
            while True:
                numbers.append(int.from_bytes((await client.read_frame())[1][:4], "big"))
        assert numbers == list(range(len(numbers)))
        assert len(numbers) > 20


async def test_dropped_socket_is_a_dropped_socket_for_the_other_end(node: Legacy) -> None:
    async with joined(node) as client:
        await client.send(order("terminate"))
        assert (await closing_of(client))[0] == 1006
    async with joined(node) as client:
        await client.send("hello")
        await client.recv()
        client.transport.abort()
        assert (await node.event("close", target_of(client)))["code"] == 1006


async def test_client_dropped_while_receiving_is_lost_at_once(node: Legacy) -> None:
    target = new_target()
    async with raw_client(node.gateway, handshake(target), buffer=4096) as client:
        client.writer.write(frame(1, order("flood", 400, 65536).encode()))
        await asyncio.sleep(0.3)
        client.writer.transport.abort()
        assert (await node.event("close", target))["code"] == 1006


async def test_killed_legacy_drops_the_client_at_once() -> None:
    async with legacy_server() as legacy, joined(legacy) as client:
        legacy.signal(signal.SIGKILL)
        assert (await closing_of(client))[0] == 1006


async def test_frozen_legacy_is_1011_for_the_client() -> None:
    async with legacy_server() as legacy, joined(legacy, QUICK) as client:
        await client.send("hello")
        await client.recv()
        legacy.signal(signal.SIGSTOP)
        for _ in range(20):
            await client.send(b"x" * 10_000)
        assert await closing_of(client) == (1011, "")


async def test_paused_legacy_within_the_timeout_is_not_dropped() -> None:
    async with (
        legacy_server() as legacy,
        forwarding(legacy.port, (0.1, 10.0)) as port,
        connect_to(port) as one,
        connect_to(port) as other,
    ):
        legacy.signal(signal.SIGSTOP)
        await one.send(b"x" * 500_000)
        await asyncio.sleep(1.0)
        legacy.signal(signal.SIGCONT)
        assert await one.recv() == b"x" * 500_000
        await other.send("still here")
        assert await other.recv() == "still here"


async def test_frozen_client_is_1001_for_the_legacy(node: Legacy) -> None:
    target = new_target()
    async with forwarding(node.port, QUICK) as port, raw_client(port, handshake(target)):
        assert (await node.event("close", target))["code"] == 1001


async def test_client_silent_within_a_frame_is_1001_for_legacy() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(accepting(await read_head(reader)))
        received.set_result(await reader.read())

    received: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
    unfinished = frame(2, b"x", length=1000)
    async with scripted(script) as legacy, forwarding(legacy, QUICK) as port, raw_client(port) as client:
        client.writer.write(unfinished)
        async with asyncio.timeout(HANG_TIMEOUT):
            assert await received == unfinished, "no close frame fits into another frame"


async def test_idle_connection_lives_while_both_answer_pings(node: Legacy) -> None:
    async with joined(node, (0.2, 3.0)) as client:
        await node.event("ping", target_of(client))
        await asyncio.sleep(3.0)
        await client.send("still here")
        assert await client.recv() == "still here"

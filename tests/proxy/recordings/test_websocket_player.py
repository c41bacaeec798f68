"""Conversations end after all recorded messages, after silence, or when one side closes."""

from __future__ import annotations

import asyncio
import select
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from websockets.asyncio.server import ServerConnection, serve

from demo.ports import free_port
from proxy.recordings.raw_http import Origin
from proxy.recordings.websocket_player import HandshakeRefused, PlaybackPace, converse, shake_hands
from proxy.types import JSON
from tests.support.sockets import read_head, scripted
from tests.support.waiting import PROMPT_TIMEOUT

PACE = PlaybackPace(between=0.01, timeout=PROMPT_TIMEOUT, grace=0.1)


@asynccontextmanager
async def service(handler: Callable[[ServerConnection], Awaitable[None]]) -> AsyncIterator[Origin]:
    async with serve(handler, "127.0.0.1", 0) as server:
        yield Origin("127.0.0.1", next(iter(server.sockets)).getsockname()[1])


async def echo(connection: ServerConnection) -> None:
    await connection.send('{"type":"hello"}')
    async for frame in connection:
        await connection.send(frame)


async def test_frames_are_sent_as_recorded_and_parsed() -> None:
    async with service(echo) as origin:
        sent: list[JSON] = [{"ü": 1}, "this is not json", [1]]
        received = await converse(origin, "/", sent, 4, PACE)
    assert received == [{"type": "hello"}, *sent]


async def test_extra_frame_is_received() -> None:
    async with service(echo) as origin:
        assert len(await converse(origin, "/", ["1", "2"], 2, replace(PACE, grace=2.0))) == 3


async def test_missing_frame_is_awaited_up_to_the_timeout() -> None:
    async with service(echo) as origin:
        begun = time.monotonic()
        assert len(await converse(origin, "/", [], 5, replace(PACE, timeout=0.3))) == 1
        assert 0.3 <= time.monotonic() - begun < PROMPT_TIMEOUT


async def test_binary_frame_differs_from_text() -> None:
    async def binary(socket: ServerConnection) -> None:
        await socket.send(b"\x00{}")
        await socket.wait_closed()

    async with service(binary) as origin:
        assert await converse(origin, "/", [], 1, PACE) == [{"$bytes": "007b7d"}]


async def test_many_frames_are_buffered_until_read() -> None:
    async def chatter(socket: ServerConnection) -> None:
        for number in range(200):
            await socket.send(str(number))
        await socket.wait_closed()

    async with service(chatter) as origin:
        assert await converse(origin, "/", ["a"] * 5, 200, PACE) == list(range(200))


@pytest.mark.parametrize("sent", [[], ["a"] * 50])
async def test_server_close_ends_the_conversation(sent: list[str]) -> None:
    async def brief(socket: ServerConnection) -> None:
        await socket.send("1")
        await socket.close(1011)

    async with service(brief) as origin:
        received = await converse(origin, "/", list(sent), 5, PACE)
    assert received in ([1], [])
    assert sent or received == [1]


@pytest.mark.parametrize(
    ("raw", "how"),
    [
        (b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n", "400"),
        (b"", "reset"),
        (b"not HTTP\r\n\r\n", "reset"),
    ],
)
async def test_refusal_has_the_status_of_the_service(raw: bytes, how: str) -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(raw)

    async with scripted(refuse) as port:
        origin = Origin("127.0.0.1", port)
        assert await shake_hands(origin, "/x", PROMPT_TIMEOUT) == how
        with pytest.raises(HandshakeRefused, match=how):
            await converse(origin, "/x", [], 0, PACE)


async def test_unanswered_handshake_is_a_hang() -> None:
    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(3600)

    async with scripted(hang) as port:
        assert await shake_hands(Origin("127.0.0.1", port), "/", 0.2) == "hang"


async def test_handshake_sends_the_target_verbatim() -> None:
    paths: list[str] = []

    async def note(socket: ServerConnection) -> None:
        assert socket.request is not None
        paths.append(socket.request.path)

    async with service(note) as origin:
        assert await shake_hands(origin, "//a/../b%2Fc?x=1", PROMPT_TIMEOUT) == "open"
    assert paths == ["//a/../b%2Fc?x=1"]


async def test_refused_connection_is_an_error() -> None:
    with pytest.raises(OSError, match=r".+"):
        await shake_hands(Origin("127.0.0.1", free_port()), "/", PROMPT_TIMEOUT)


async def test_connection_reset_before_it_is_accepted_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        handshake = asyncio.create_task(
            shake_hands(Origin("127.0.0.1", listener.getsockname()[1]), "/", PROMPT_TIMEOUT)
        )
        while not select.select([listener], [], [], 0)[0]:
            await asyncio.sleep(0)
    with pytest.raises(ConnectionResetError):
        await handshake

"""Conversations end after all recorded messages, after silence, or when one side closes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from websockets.asyncio.server import ServerConnection, serve

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


async def echo(socket: ServerConnection) -> None:
    await socket.send('{"type":"hello"}')
    async for frame in socket:
        await socket.send(frame)


async def test_frames_go_out_as_recorded_and_come_back_parsed() -> None:
    async with service(echo) as origin:
        sent: list[JSON] = [{"ü": 1}, "this is not json", [1]]
        received = await converse(origin, "/", sent, 4, PACE)
    assert received == [{"type": "hello"}, *sent]


async def test_frame_too_many_is_heard() -> None:
    async with service(echo) as origin:
        assert len(await converse(origin, "/", ["1", "2"], 2, replace(PACE, grace=2.0))) == 3


async def test_frame_that_never_comes_is_not_waited_for_for_ever() -> None:
    async with service(echo) as origin:
        begun = time.monotonic()
        assert len(await converse(origin, "/", [], 5, replace(PACE, timeout=0.3))) == 1
        assert 0.3 <= time.monotonic() - begun < PROMPT_TIMEOUT


async def test_binary_frame_is_told_from_text() -> None:
    async def binary(socket: ServerConnection) -> None:
        await socket.send(b"\x00{}")
        await socket.wait_closed()

    async with service(binary) as origin:
        assert await converse(origin, "/", [], 1, PACE) == [{"$bytes": "007b7d"}]


async def test_many_frames_wait_until_they_are_read() -> None:
    async def chatter(socket: ServerConnection) -> None:
        for number in range(200):
            await socket.send(str(number))
        await socket.wait_closed()

    async with service(chatter) as origin:
        assert await converse(origin, "/", ["a"] * 5, 200, PACE) == list(range(200))


@pytest.mark.parametrize("sent", [[], ["a"] * 50])
async def test_other_side_may_close(sent: list[str]) -> None:
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
async def test_refusal_has_a_status_if_the_service_gave_one(raw: bytes, how: str) -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(raw)

    async with scripted(refuse) as port:
        origin = Origin("127.0.0.1", port)
        assert await shake_hands(origin, "/x", PROMPT_TIMEOUT) == how
        with pytest.raises(HandshakeRefused, match=how):
            await converse(origin, "/x", [], 0, PACE)


async def test_handshake_may_hang() -> None:
    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(3600)

    async with scripted(hang) as port:
        assert await shake_hands(Origin("127.0.0.1", port), "/", 0.2) == "hang"


async def test_handshake_may_succeed_with_the_target_as_it_stands() -> None:
    seen: list[str] = []

    async def note(socket: ServerConnection) -> None:
        assert socket.request is not None
        seen.append(socket.request.path)

    async with service(note) as origin:
        assert await shake_hands(origin, "//a/../b%2Fc?x=1", PROMPT_TIMEOUT) == "open"
    assert seen == ["//a/../b%2Fc?x=1"]


async def test_nothing_listening_is_an_error() -> None:
    async with scripted(lambda reader, writer: asyncio.sleep(0)) as port:
        pass
    with pytest.raises(OSError, match=r".+"):
        await shake_hands(Origin("127.0.0.1", port), "/", PROMPT_TIMEOUT)

"""Clients that half-close their connection or leave it."""

from __future__ import annotations

import asyncio
import random

import pytest
from starlette.types import Receive, Scope, Send

from proxy.server.body import ChunkedBody
from proxy.websocket.frames import FRAMES_AT_ONCE
from tests.support.event_loop import advance
from tests.support.http_app import BAD, BODY, GET, LAST, OK, App, connected, limit, part, start
from tests.support.random_seed import seeds
from tests.support.sockets import serving
from tests.support.websocket_apps import Recorder
from tests.support.websocket_client import frame, handshake


async def test_half_closed_client_receives_its_whole_answer() -> None:
    app = App()
    async with serving(app) as port, connected(port) as (reader, writer), limit():
        writer.write(GET)
        writer.write_eof()
        await app.begun.wait()
        await asyncio.sleep(0.1)
        assert not app.gone.is_set()
        app.proceed.set()
        answer = await reader.read()
    assert answer == b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok"
    assert [message["type"] for message in app.received] == ["http.request"]


async def test_half_closed_pipeline_is_answered_whole() -> None:
    app = App(read=False)
    app.proceed.set()
    async with serving(app) as port, connected(port) as (reader, writer), limit():
        writer.write(GET * 5)
        writer.write_eof()
        assert (await reader.read()).count(b"\r\n\r\nok") == 5


async def test_half_closed_waiting_client_stays_connected() -> None:
    app = App()
    async with serving(app) as port, connected(port) as (reader, writer), limit():
        writer.write(GET)
        writer.write_eof()
        await asyncio.sleep(1.0)
        assert not app.gone.is_set()
        app.proceed.set()
        answer = await reader.read()
    assert answer.replace(b"HTTP/1.1 100 Continue\r\n\r\n", b"").startswith(b"HTTP/1.1 200 OK\r\n")


async def test_probes_of_a_half_closed_client_become_rare() -> None:
    app = App()
    async with serving(app) as port, connected(port) as (reader, writer), limit():
        writer.write(GET)
        writer.write_eof()
        await app.begun.wait()
        for _ in range(300):
            await advance(0.1)
        app.proceed.set()
        interim, _, answer = (await reader.read()).rpartition(b"HTTP/1.1 200 OK\r\n")
    assert 1 < interim.count(b"HTTP/1.1 100 Continue\r\n\r\n") < 12
    assert answer.endswith(b"\r\n\r\nok")


async def test_client_leaving_during_a_pipelined_request_is_noticed() -> None:
    noticed, paths = asyncio.Event(), []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        paths.append(scope["path"])
        if scope["path"] == "/a":
            await receive()
            await asyncio.sleep(0.05)  # so that the connection's end is known when the last request is read
            await send(dict(OK))
            await send(dict(BODY))
            return
        while (await receive())["type"] != "http.disconnect":
            pass
        noticed.set()

    async with serving(app) as port, limit():
        async with connected(port) as (reader, writer):
            writer.write(GET + LAST)
            writer.write_eof()
            await reader.readuntil(b"\r\n\r\nok")
        await noticed.wait()
    assert paths == ["/a", "/last"]


STREAM = [start(200, (b"content-type", b"text/event-stream")), part(b"first", more=True)]
FIRST = b"5\r\nfirst\r\n"


async def test_client_leaving_a_silent_stream_is_noticed() -> None:
    noticed = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for message in STREAM:
            await send(message)
        while (await receive())["type"] != "http.disconnect":
            pass
        noticed.set()

    async with serving(app) as port, limit():
        async with connected(port) as (reader, writer):
            writer.write(GET)
            await reader.readuntil(FIRST)
        await noticed.wait()


@pytest.mark.seeded
@pytest.mark.parametrize("seed", seeds(5))
async def test_stream_of_a_half_closed_client_arrives_unchanged(seed: int) -> None:
    chance = random.Random(seed)
    parts = [chance.randbytes(chance.choice((1, 16, 5000))) for _ in range(chance.randrange(1, 5))]
    delays = [chance.choice((0, 10, 100)) for _ in parts]
    closed = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        await closed.wait()
        for body, delay in zip(parts, delays, strict=True):
            await send(part(body, more=True))
            for _ in range(delay):
                await advance(0.1)
        await send(part(b""))

    async with serving(app) as port, connected(port) as (reader, writer), limit():
        writer.write(GET)
        writer.write_eof()
        closed.set()
        _, _, body = (await reader.read()).partition(b"\r\n\r\n")
    decoder = ChunkedBody()
    assert decoder.feed(body) == (b"".join(parts), len(body))
    assert decoder.complete


async def test_stream_broken_off_behind_a_probe_is_reset() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for message in STREAM:
            await send(message)
        for _ in range(20):
            await advance(0.1)
        raise RuntimeError

    async with serving(app) as port, connected(port) as (reader, writer), limit():
        writer.write(GET)
        writer.write_eof()
        await reader.readuntil(FIRST)
        with pytest.raises(ConnectionResetError):
            await reader.read()


async def test_client_of_http_1_0_gets_no_interim_response() -> None:
    app = App()
    async with serving(app) as port, connected(port) as (reader, writer), limit():
        writer.write(b"POST /a HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx")
        writer.write_eof()
        await asyncio.sleep(0.5)
        app.proceed.set()
        assert (await reader.read()).startswith(b"HTTP/1.1 200 OK\r\n")


async def test_disconnect_is_reported_before_the_answer() -> None:
    app = App()
    async with serving(app) as port, limit():
        async with connected(port) as (_, writer):
            writer.write(GET)
            await app.begun.wait()
        await app.gone.wait()


async def test_disconnect_of_a_pipelining_client_leaks_nothing() -> None:
    app = App()
    async with serving(app) as port, limit():
        async with connected(port) as (_, writer):
            writer.write(GET * 5)
            await app.begun.wait()
        await app.gone.wait()
        while app.running:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
    assert app.paths == ["/a"]


@pytest.mark.parametrize(
    "raw", [b"GET /a HT", GET[:-2], b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabc"]
)
async def test_request_cut_short_is_a_bad_request(raw: bytes) -> None:
    app = App()
    async with serving(app) as port, connected(port) as (reader, writer), limit():
        writer.write(raw)
        if raw.startswith(b"POST"):
            await app.begun.wait()
        writer.write_eof()
        assert await reader.read() == BAD
        if raw.startswith(b"POST"):
            await app.gone.wait()


async def test_silent_half_closed_client_is_closed() -> None:
    async with serving(App()) as port, connected(port) as (reader, writer), limit():
        writer.write_eof()
        assert await reader.read() == b""


@pytest.mark.parametrize("ending", [b"", frame(8, b"\x03\xe8")], ids=["unclosed", "closed"])
@pytest.mark.parametrize("count", [0, 1, 2 * FRAMES_AT_ONCE + 1])
@pytest.mark.parametrize("before", [b"", GET], ids=["alone", "pipelined"])
@pytest.mark.parametrize("accepts_late", [False, True], ids=["at_once", "late"])
async def test_frames_of_a_half_closed_handshake_are_answered(
    accepts_late: bool, before: bytes, count: int, ending: bytes
) -> None:
    ended, recorder = asyncio.Event(), Recorder()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 204})
            await send({"type": "http.response.body"})
            await ended.wait()  # so that the connection's end is known when the handshake is read
            return
        if accepts_late:
            await ended.wait()
        await recorder(scope, receive, send)

    async with serving(app) as port, connected(port) as (reader, writer), limit():
        writer.write(before + handshake() + frame(1, b"a") * count + ending)
        writer.write_eof()
        asyncio.get_running_loop().call_later(0.05, ended.set)
        answer = await reader.read()
        _, _, frames = answer.partition(b"101 Switching Protocols")[2].partition(b"\r\n\r\n")
        assert frames == frame(1, b"a", masked=False) * count + (frame(8, b"\x03\xe8", masked=False) if ending else b"")
        assert await recorder.end() == {"type": "websocket.disconnect", "code": 1000 if ending else 1006, "reason": ""}


async def test_client_that_leaves_during_its_handshake_is_noticed() -> None:
    noticed = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        assert (await receive())["type"] == "websocket.disconnect"
        noticed.set()

    async with serving(app) as port, limit():
        async with connected(port) as (_, writer):
            writer.write(handshake())
            writer.write_eof()
        await noticed.wait()

"""Slow readers and writers, shutdown, and a WebSocket in a pipeline."""

from __future__ import annotations

import asyncio

import pytest
from starlette.types import Receive, Scope, Send

from proxy.gateway.request_context import context_of
from proxy.server.timeouts import ClientTimeouts
from tests.support.event_loop import advance
from tests.support.http_app import GET, LAST, App, connected, limit, part, start, stoppable, with_timeouts
from tests.support.sockets import serving
from tests.support.waiting import until


async def test_slow_app_pauses_its_client() -> None:
    app = App(read=False)
    async with serving(app) as port, connected(port) as (_, writer), limit():
        writer.write(b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 50000000\r\n\r\n")
        await app.begun.wait()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.0):
                for _ in range(500):
                    writer.write(b"x" * 100_000)
                    await writer.drain()
        app.proceed.set()


async def test_request_is_stalled_only_while_its_body_is_awaited() -> None:
    stalled = list[bool]()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        connection = context_of(scope).connection
        assert connection is not None
        receiving = asyncio.ensure_future(receive())
        while connection.stalled_since is None:
            await asyncio.sleep(0.01)
        waiting.set()
        await receiving
        stalled.append(connection.stalled_since is not None)
        await send(start())
        await send(part(b"ok"))

    waiting = asyncio.Event()
    async with serving(app) as port, connected(port) as (reader, writer), limit():
        writer.write(b"POST /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 2\r\n\r\n")
        await waiting.wait()
        writer.write(b"ab")
        await reader.read()
    assert stalled == [False]


async def test_slow_client_pauses_the_app() -> None:
    sent = 0

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal sent
        await send(start())
        for _ in range(500):
            await send(part(b"x" * 100_000, more=True))
            sent += 1
        await send(part(b""))

    async with serving(app) as port, connected(port) as (reader, writer), limit():
        writer.write(LAST)
        await until(lambda: sent)
        await asyncio.sleep(0.5)
        assert sent < 400
        body = await reader.read()
        assert len(body) > 50_000_000
    assert sent == 500


async def test_endless_pipeline_is_bounded() -> None:
    app = App(read=False)
    async with serving(app) as port, connected(port) as (_, writer), limit():
        writer.write(GET)
        await app.begun.wait()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.0):
                for _ in range(500):
                    writer.write(GET * 3000)
                    await writer.drain()
        app.proceed.set()


async def test_shutdown_finishes_requests_and_closes_idle_connections() -> None:
    app = App()
    async with stoppable(app) as (port, server, task), limit():
        async with connected(port) as (resting, _), connected(port) as (active, writer):
            writer.write(GET)
            await app.begun.wait()
            server.should_exit = True
            assert await resting.read() == b""
            assert not task.done()
            app.proceed.set()
            assert await active.read() == b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok"
        await task


@pytest.mark.parametrize("used", [False, True])
async def test_request_on_its_way_at_a_shutdown_is_answered(used: bool) -> None:
    app = App()
    app.proceed.set()
    async with stoppable(app) as (port, server, _), limit(), connected(port) as (reader, writer):
        if used:
            writer.write(GET)
            await reader.readuntil(b"ok")
        await until(lambda: server.server_state.connections)
        writer.write(GET)  # is in the socket, but not read, when the shutdown begins
        for connection in list(server.server_state.connections):
            connection.shutdown()
        answer = await reader.read()
    assert answer == b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok"


async def test_head_that_has_begun_at_a_shutdown_is_awaited() -> None:
    app = App()
    app.proceed.set()
    async with stoppable(app) as (port, server, _), limit(), connected(port) as (reader, writer):
        writer.write(GET[:9])
        await until(lambda: server.server_state.connections)
        for connection in list(server.server_state.connections):
            connection.shutdown()
        await advance(10 * ClientTimeouts().drain)
        writer.write(GET[9:])
        answer = await reader.read()
    assert answer == b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok"


@pytest.mark.parametrize(("pause", "answered"), [(0.0, True), (1.0, True), (20.0, True), (41.0, False)])
async def test_idle_client_is_answered_within_the_drain_timeout(pause: float, answered: bool) -> None:
    inner = App()
    inner.proceed.set()
    app, _ = with_timeouts(inner, ClientTimeouts(keep_alive=600.0, drain=40.0))
    async with stoppable(app, lifespan="on") as (port, server, _), limit(), connected(port) as (reader, writer):
        writer.write(GET)
        await reader.readuntil(b"ok")
        for connection in list(server.server_state.connections):
            connection.shutdown()
        await advance(pause)
        writer.write(GET)
        answer = await reader.read()
        await advance(40.0)
    assert answer == (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok" if answered else b"")


async def test_request_on_a_closing_connection_is_not_served() -> None:
    # The client sees a close without an answer, and may send the request again (RFC 9110 §9.2.2).
    app = App()
    async with stoppable(app) as (port, server, _), limit(), connected(port) as (reader, writer):
        writer.write(GET)
        await app.begun.wait()
        server.should_exit = True
        await asyncio.sleep(0.3)
        writer.write(GET)
        app.proceed.set()
        assert (await reader.read()).count(b"HTTP/1.1 ") == 1
    assert app.paths == ["/a"]


async def test_websocket_behind_a_request_waits_for_its_answer() -> None:
    app = App()

    async def both(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await app(scope, receive, send)
            return
        await receive()
        await send({"type": "websocket.accept"})
        assert (await receive())["text"] == "hi"
        await send({"type": "websocket.close", "code": 1000})

    handshake = (
        b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    hello = b"\x81\x82\x00\x00\x00\x00hi"
    async with serving(both) as port, connected(port) as (reader, writer), limit():
        writer.write(GET + handshake + hello)
        await app.begun.wait()
        await asyncio.sleep(0.05)
        app.proceed.set()
        assert (await reader.readuntil(b"\r\n\r\nok")).startswith(b"HTTP/1.1 200 OK\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
        assert await reader.readexactly(4) == b"\x88\x02\x03\xe8"

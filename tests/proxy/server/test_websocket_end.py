"""Ends of a WebSocket that no client asks for: unanswered pings, unanswered closes, a shutdown."""

from __future__ import annotations

import asyncio
import ctypes
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from proxy.server.timeouts import STATE_KEY, ClientTimeouts, ListenerTimeouts
from proxy.websocket.peer import END_GRACE
from tests.support.event_loop import advance
from tests.support.http_app import connected, limit
from tests.support.http_app import stoppable as stoppable_http
from tests.support.sockets import serving
from tests.support.waiting import HANG_TIMEOUT, until
from tests.support.websocket_apps import ACCEPTED, Recorder, pinging, sending
from tests.support.websocket_client import frame, handshake, raw_client
from tests.support.websocket_server import stoppable, with_state


async def test_client_that_answers_no_ping_is_dropped() -> None:
    app = Recorder()
    async with pinging(app) as port, raw_client(port) as client:
        assert (await client.read_frame())[0] == 9
        assert await client.read_close() == (1011, "no answer to a ping")
        assert await app.end() == {"type": "websocket.disconnect", "code": 1006, "reason": "no answer to a ping"}


async def test_client_whose_cable_was_pulled_is_dropped() -> None:
    # A socket filter that drops every packet has the effect of a pulled cable: the kernel acknowledges nothing.
    app = Recorder()
    async with pinging(app) as port, raw_client(port) as client:
        drop_all(client.writer.get_extra_info("socket"))
        assert (await app.end())["code"] == 1006


async def test_pings_can_be_disabled() -> None:
    app = Recorder()
    async with pinging(app, 3600.0) as port, raw_client(port) as client:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.read_frame(), 0.3)
        client.writer.write(frame(8))
        await app.end()


async def test_client_that_does_not_answer_a_close_is_dropped() -> None:
    app = sending(ACCEPTED, {"type": "websocket.close", "code": 4000})
    async with quick_closing(app) as port, raw_client(port) as client:
        assert await client.read_close() == (4000, "")
        async with asyncio.timeout(HANG_TIMEOUT):
            assert await client.read_rest() == b""


async def test_client_still_reading_before_a_close_is_waited_for() -> None:
    speech = {"type": "websocket.send", "bytes": b"x" * 12_000_000}
    app = sending(ACCEPTED, speech, {"type": "websocket.close", "code": 4000})
    async with quick_closing(app, 30.0) as port, raw_client(port, buffer=65536) as client:
        received, close = bytearray(), frame(8, struct.pack("!H", 4000), masked=False)
        while not received.endswith(close):
            data = await client.reader.read(400_000)
            assert data
            received += data
            await advance(2.0)
        assert received.count(b"x") == 12_000_000


async def test_app_at_work_on_messages_is_waited_for_at_a_close() -> None:
    received, number = asyncio.Queue[None](), 3

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPTED)
        for _ in range(number):
            await receive()
            received.put_nowait(None)
            await asyncio.sleep(END_GRACE / 2)
        await send({"type": "websocket.send", "text": "all"})
        await receive()

    async with serving(slow) as port, raw_client(port) as client, asyncio.timeout(HANG_TIMEOUT):
        client.writer.write(frame(1, b"a") * number + frame(8, b"\x03\xe9"))
        for _ in range(number):
            await received.get()
            await advance(END_GRACE / 2)
        assert await client.read_frame() == (1, b"all")
        assert await client.read_close() == (1001, "")


async def test_app_that_receives_nothing_delays_a_close_for_a_while() -> None:
    async def deaf(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPTED)
        await asyncio.Event().wait()

    async with serving(deaf) as port, raw_client(port) as client, asyncio.timeout(HANG_TIMEOUT):
        client.writer.write(frame(1, b"a") + frame(8, b"\x03\xe9"))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.read_frame(), 0.1)
        await advance(END_GRACE)
        assert await client.read_close() == (1001, "")


async def test_shutdown_closes_with_1001_and_waits_for_the_answer() -> None:
    app = Recorder()
    async with stoppable(app) as (port, stop), raw_client(port) as client:
        stop()
        assert await client.read_close() == (1001, "")
        assert await app.end() == {"type": "websocket.disconnect", "code": 1001, "reason": ""}
        client.writer.write(frame(8, struct.pack("!H", 1001)))
        assert await client.read_rest() == b""


async def test_shutdown_waits_for_a_handshake() -> None:
    app = Recorder()
    go, requested = asyncio.Event(), asyncio.Event()

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        requested.set()
        await go.wait()
        await app(scope, receive, send)

    async with stoppable(slow) as (port, stop):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(handshake())
        await requested.wait()
        stop()
        await asyncio.sleep(0.3)
        go.set()
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        assert await reader.readexactly(4) == frame(8, struct.pack("!H", 1001), masked=False)
        writer.write(frame(8, struct.pack("!H", 1001)))
        assert await reader.read() == b""
        writer.close()


async def test_websocket_that_opens_during_a_shutdown_is_closed() -> None:
    async with stoppable_http(Recorder()) as (port, server, _), connected(port) as (reader, writer), limit():
        await until(lambda: server.server_state.connections)
        for connection in list(server.server_state.connections):
            connection.shutdown()
        writer.write(handshake())
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        assert await reader.readexactly(4) == frame(8, struct.pack("!H", 1001), masked=False)
        writer.write(frame(8, struct.pack("!H", 1001)))
        assert await reader.read() == b""


async def test_slow_shutdown_drops_the_socket() -> None:
    async def deaf(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPTED)
        await asyncio.sleep(3600)

    async with stoppable(deaf, timeout_graceful_shutdown=1) as (port, stop), raw_client(port) as client:
        stop()
        assert await client.read_close() == (1001, "")
        async with asyncio.timeout(HANG_TIMEOUT):
            assert await client.read_rest() == b""


@asynccontextmanager
async def quick_closing(app: ASGIApp, seconds: float = 0.5) -> AsyncIterator[int]:
    """Serve the app with so many seconds for progress of a closing handshake; yield the port."""
    timeouts = ListenerTimeouts(ClientTimeouts(websocket_closing=seconds))
    async with serving(with_state(app, {STATE_KEY: timeouts}), lifespan="on") as port:
        yield port


def drop_all(connection: socket.socket) -> None:
    """Attach a filter of one instruction, `ret 0`, to a socket: its kernel sees no packet for it any more."""
    instruction = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0))
    program = struct.pack("HP", 1, ctypes.addressof(instruction))
    connection.setsockopt(socket.SOL_SOCKET, 26, program)  # SO_ATTACH_FILTER

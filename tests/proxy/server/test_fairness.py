"""No client takes more than its share of a pass of the event loop: HTTP requests, bodies and WebSocket frames."""

from __future__ import annotations

import asyncio
import socket
import time
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from proxy.fair_queue import LARGE, PASS_TIME
from proxy.server.body import LINES_AT_ONCE
from proxy.server.exchange import ServedExchange
from proxy.server.protocol import PIPELINE_BUFFER
from proxy.websocket.frames import FRAMES_AT_ONCE
from proxy.websocket.link import Timing
from proxy.websocket.peer import Peer
from tests.support.http_app import stoppable
from tests.support.sockets import serving
from tests.support.waiting import HANG_TIMEOUT, until
from tests.support.websocket_client import frame, handshake, raw_client


class SlowApp:
    """Takes longer than a pass may take for each request, and records whose requests it gets."""

    def __init__(self, seconds: float = 1.5 * PASS_TIME) -> None:
        self._seconds = seconds
        self.clients: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        raise AssertionError("served without a task")

    def begin(self, exchange: ServedExchange) -> None:
        time.sleep(self._seconds)
        self.clients.append(exchange.scope()["client"][0])
        exchange.respond(200, [(b"content-length", b"0")], [], b"")


def connected(port: int, address: str) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), HANG_TIMEOUT, source_address=(address, 0))


async def test_client_of_many_requests_does_not_delay_another() -> None:
    app = SlowApp()
    async with stoppable(app) as (port, server, _):
        many = [await asyncio.to_thread(connected, port, "127.0.0.1") for _ in range(20)]
        one = await asyncio.to_thread(connected, port, "127.0.0.2")
        await until(lambda: len(server.server_state.connections) == 21)
        for client in (*many, one):
            client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        while len(app.clients) < 21:
            await asyncio.sleep(0.01)
        for client in (*many, one):
            client.close()
    assert app.clients.index("127.0.0.2") <= 4


async def test_client_of_a_long_pipeline_does_not_delay_another() -> None:
    app = SlowApp()
    async with serving(app) as port, asyncio.timeout(HANG_TIMEOUT):
        many, one = [await asyncio.to_thread(connected, port, address) for address in ("127.0.0.1", "127.0.0.2")]
        many.sendall(20 * b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        one.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        while len(app.clients) < 21:
            await asyncio.sleep(0.01)
        many.close()
        one.close()
    assert app.clients.index("127.0.0.2") <= 10


@pytest.mark.parametrize(("number", "seconds"), [(20, 1.5 * PASS_TIME), (2000, 0)])
async def test_pipeline_before_the_end_of_a_stream_is_answered_whole(number: int, seconds: float) -> None:
    app = SlowApp(seconds)  # each is answered while its head is read: such answers must not nest
    async with serving(app) as port, asyncio.timeout(HANG_TIMEOUT):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(number * b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        writer.write_eof()
        answers = await reader.read()
        writer.close()
    assert answers.count(b"HTTP/1.1 200") == number


async def test_large_body_is_whole_though_its_reads_queue() -> None:
    received: list[int] = []

    async def count(_: Scope, receive: Receive, send: Send) -> None:
        more = True
        while more:
            message: dict[str, Any] = dict(await receive())
            received.append(len(message["body"]))
            more = message["more_body"]
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    async with serving(count) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(2):
            writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3000000\r\n\r\n" + bytes(3_000_000))
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 204")
        writer.close()
    assert sum(received) == 6_000_000


async def test_small_chunks_arrive_whole_in_several_passes() -> None:
    received: list[bytes] = []

    async def collect(_: Scope, receive: Receive, send: Send) -> None:
        more = True
        while more:
            message: dict[str, Any] = dict(await receive())
            received.append(message["body"])
            more = message["more_body"]
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    number = 10 * LINES_AT_ONCE
    async with serving(collect) as port, asyncio.timeout(HANG_TIMEOUT):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        writer.write(b"1\r\na\r\n" * number + b"0\r\n\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 204")
        writer.close()
    assert b"".join(received) == b"a" * number


async def test_small_messages_arrive_whole_in_several_passes() -> None:
    async def echo_last(_: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        texts: list[str] = []
        while not texts or texts[-1] != "last":
            texts.append((await receive())["text"])
        await send({"type": "websocket.send", "text": f"{len(texts)} {sorted(texts[:-1]) == texts[:-1]}"})

    number = 5 * FRAMES_AT_ONCE
    messages = b"".join(frame(1, b"%06d" % each) for each in range(number))
    async with serving(echo_last) as port, raw_client(port) as client, asyncio.timeout(HANG_TIMEOUT):
        client.writer.write(messages + frame(1, b"last"))
        assert await client.read_frame() == (1, b"%d True" % (number + 1))


@pytest.mark.parametrize("size", [LARGE, LARGE - 1])
async def test_websocket_reads_on_in_a_later_pass_after_a_large_read(size: int) -> None:
    near, far = socket.socketpair()
    loop, peer = asyncio.get_running_loop(), Peer(Timing(), 10 * LARGE)
    transport, _ = await loop.create_connection(asyncio.Protocol, sock=near)
    peer.attach(transport)
    peer.data_received(frame(2, bytes(size // 2), length=8 * LARGE) + bytes(size - size // 2 - 14))
    assert transport.is_reading() == (size < LARGE)
    for _ in range(3):
        await asyncio.sleep(0)
    assert transport.is_reading()
    transport.abort()
    far.close()


async def test_websocket_behind_a_full_pipeline_is_read_on() -> None:
    # Reading is paused for the request before the handshake. The WebSocket must resume it.
    release, received = asyncio.Event(), asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await release.wait()
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body"})
            return
        await receive()
        await send({"type": "websocket.accept"})
        while (await receive()).get("text") != "last":
            pass
        received.set()

    upgrade = handshake("/", "X-Long: " + "a" * 2000)
    frames = frame(0x1, b"x" * (PIPELINE_BUFFER - 1000))
    async with serving(app) as port, asyncio.timeout(HANG_TIMEOUT):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" + upgrade + frames)
        await writer.drain()
        await asyncio.sleep(0.1)
        release.set()
        await reader.readuntil(b"101 Switching")
        writer.write(frame(0x1, b"last"))
        await received.wait()
        writer.close()

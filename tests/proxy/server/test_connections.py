"""The life of a connection: half-closes, early answers, time limits, slow readers and writers, shutdown."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import uvicorn
import uvloop
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from proxy.server.settings import uvicorn_settings
from proxy.server.timeouts import STATE_KEY, ClientTimeouts, ListenerTimeouts
from tests.support.sockets import OwnLoopServer, exchange, serving

TIMEOUT = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n"
BAD = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"
LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
"""Both, since they differ in what they do after a half-close."""
GET = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n"
LAST = b"GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
OK: Message = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]}
BODY: Message = {"type": "http.response.body", "body": b"ok"}


class App:
    """Answers `ok` once `proceed` is set; `received` are all messages of all requests."""

    def __init__(self, *, read: bool = True) -> None:
        self.read = read
        self.begun = asyncio.Event()
        self.proceed = asyncio.Event()
        self.gone = asyncio.Event()
        self.paths: list[str] = []
        self.received: list[Message] = []
        self.running = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.paths.append(scope["path"])
        self.begun.set()
        self.running += 1
        watching = asyncio.create_task(self._watch(receive)) if self.read else None
        try:
            await self.proceed.wait()
            await send(dict(OK))
            await send(dict(BODY))
        finally:
            self.running -= 1
            if watching is not None:
                watching.cancel()

    async def _watch(self, receive: Receive) -> None:
        while True:
            message = await receive()
            self.received.append(message)
            if message["type"] == "http.disconnect":
                self.gone.set()
                self.proceed.set()
                return


def with_timeouts(app: ASGIApp, timeouts: ClientTimeouts) -> tuple[ASGIApp, ListenerTimeouts]:
    """The app, which hands a holder of time limits to the server in its lifespan; and the holder."""
    holder = ListenerTimeouts(timeouts)

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await app(scope, receive, send)
            return
        assert (await receive())["type"] == "lifespan.startup"
        scope["state"][STATE_KEY] = holder
        await send({"type": "lifespan.startup.complete"})
        assert (await receive())["type"] == "lifespan.shutdown"
        await send({"type": "lifespan.shutdown.complete"})

    return wrapped, holder


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()


def limit(seconds: float = 10.0) -> asyncio.Timeout:
    return asyncio.timeout(seconds)


# -- half-closes


async def test_half_closed_client_gets_its_whole_answer() -> None:
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


async def test_half_closed_client_that_stays_is_not_taken_for_gone() -> None:
    app = App()
    async with serving(app) as port, connected(port) as (reader, writer), limit():
        writer.write(GET)
        writer.write_eof()
        await asyncio.sleep(1.0)
        assert not app.gone.is_set()
        app.proceed.set()
        answer = await reader.read()
    assert answer.replace(b"HTTP/1.1 100 Continue\r\n\r\n", b"").startswith(b"HTTP/1.1 200 OK\r\n")


async def test_client_of_http_1_0_gets_no_interim_response() -> None:
    app = App()
    async with serving(app) as port, connected(port) as (reader, writer), limit():
        writer.write(b"POST /a HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx")
        writer.write_eof()
        await asyncio.sleep(0.5)
        app.proceed.set()
        assert (await reader.read()).startswith(b"HTTP/1.1 200 OK\r\n")


async def test_client_that_leaves_is_reported_before_the_answer() -> None:
    app = App()
    async with serving(app) as port, limit():
        async with connected(port) as (_, writer):
            writer.write(GET)
            await app.begun.wait()
        await app.gone.wait()


async def test_pipelining_client_that_leaves_leaves_nothing_behind() -> None:
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


async def test_silent_client_that_half_closes_gets_nothing() -> None:
    async with serving(App()) as port, connected(port) as (reader, writer), limit():
        writer.write_eof()
        assert await reader.read() == b""


# -- time limits


@pytest.mark.parametrize("raw", [b"", b"GET /a HTTP/1.1\r\nHost: a\r\n", b"\r\n"])
async def test_head_that_does_not_come_is_a_timeout(raw: bytes) -> None:
    app, _ = with_timeouts(App(), ClientTimeouts(header=0.2))
    async with serving(app, lifespan="on") as port:
        assert await exchange(port, raw) == TIMEOUT


@pytest.mark.parametrize(
    "raw",
    [
        b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabc",
        b"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab",
        b"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX: y\r\n",
        b"POST /a HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 5\r\n\r\nabc",
    ],
)
async def test_body_that_stops_is_a_timeout_and_a_disconnect(raw: bytes) -> None:
    inner = App()
    app, _ = with_timeouts(inner, ClientTimeouts(request=0.3))
    async with serving(app, lifespan="on") as port, limit():
        assert await exchange(port, raw) == TIMEOUT
        await inner.gone.wait()


async def test_body_that_stops_after_the_answer_began_interrupts_it() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"9")]})
        await send({"type": "http.response.body", "body": b"begun", "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass

    limited, _ = with_timeouts(app, ClientTimeouts(request=0.3))
    async with serving(limited, lifespan="on") as port:
        answer = await exchange(port, b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabc")
    assert answer.endswith(b"\r\n\r\nbegun")


async def test_time_for_a_request_does_not_limit_its_answer() -> None:
    inner = App()
    app, _ = with_timeouts(inner, ClientTimeouts(keep_alive=0.2, header=0.2, request=0.2))
    async with serving(app, lifespan="on") as port, connected(port) as (reader, writer), limit():
        writer.write(LAST)
        await asyncio.sleep(0.6)
        inner.proceed.set()
        assert (await reader.read()).endswith(b"\r\n\r\nok")


async def test_head_in_pieces_is_in_time() -> None:
    inner = App()
    inner.proceed.set()
    app, _ = with_timeouts(inner, ClientTimeouts(header=5.0))
    async with serving(app, lifespan="on") as port, connected(port) as (reader, writer), limit():
        for piece in (LAST[:3], LAST[3:20], LAST[20:]):
            writer.write(piece)
            await asyncio.sleep(0.05)
        assert (await reader.read()).endswith(b"\r\n\r\nok")


async def test_connection_at_rest_is_closed_in_silence() -> None:
    inner = App()
    inner.proceed.set()
    app, _ = with_timeouts(inner, ClientTimeouts(keep_alive=0.2))
    async with serving(app, lifespan="on") as port, connected(port) as (reader, writer), limit():
        writer.write(GET)
        assert (await reader.read()).endswith(b"\r\n\r\nok")


async def test_rest_between_requests_is_not_cut_short() -> None:
    inner = App()
    inner.proceed.set()
    app, _ = with_timeouts(inner, ClientTimeouts(keep_alive=1.0, header=0.3, request=0.3))
    async with serving(app, lifespan="on") as port, connected(port) as (reader, writer), limit():
        for request in (GET, GET, LAST):
            writer.write(request)
            await reader.readuntil(b"\r\n\r\nok")
            await asyncio.sleep(0.5)


async def test_new_limits_hold_for_new_connections() -> None:
    app, holder = with_timeouts(App(), ClientTimeouts(header=60))
    async with serving(app, lifespan="on") as port, connected(port) as (old, _):
        await asyncio.sleep(0.05)
        holder.current = ClientTimeouts(header=0.1)
        assert await exchange(port, b"GET") == TIMEOUT
        assert not old.at_eof()


async def test_slow_app_is_not_blamed_on_its_client() -> None:
    inner = App(read=False)
    app, _ = with_timeouts(inner, ClientTimeouts(request=0.2))
    body = b"x" * 4_000_000
    async with serving(app, lifespan="on") as port, connected(port) as (reader, writer), limit():
        writer.write(b"POST /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 4000000\r\n\r\n" + body)
        await asyncio.sleep(0.8)
        inner.proceed.set()
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")


# -- early answers


@pytest.mark.parametrize("size", [10, 100_000, 3_000_000])
@pytest.mark.parametrize("chunked", [False, True])
async def test_early_answer_reaches_a_client_that_still_sends(size: int, chunked: bool) -> None:
    app = App(read=False)
    app.proceed.set()
    framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % size
    body = b"%x\r\n%b\r\n0\r\n\r\n" % (size, b"x" * size) if chunked else b"x" * size
    async with serving(app) as port, connected(port) as (reader, writer), limit():
        writer.write(b"POST /a HTTP/1.1\r\nHost: a\r\n" + framing + b"\r\n\r\n")
        answer = await reader.readuntil(b"\r\n\r\nok")
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        with contextlib.suppress(ConnectionError):
            writer.write(body + LAST)
            await writer.drain()
            rest = await reader.read()
            assert rest == b"" or rest.endswith(b"\r\n\r\nok")
    assert app.paths in (["/a"], ["/a", "/last"])
    if size < 1000:
        assert app.paths == ["/a", "/last"]


async def test_early_answer_to_a_large_upload_is_read_in_spite_of_it() -> None:
    """A client that writes all before it reads: closing on its unread bytes would reset the connection."""
    app = App(read=False)
    app.proceed.set()

    def upload(port: int) -> bytes:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
            client.sendall(b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 2000000\r\n\r\n" + b"x" * 1_000_000)
            answer = b""
            while part := client.recv(65536):
                answer += part
            return answer

    async with serving(app) as port:
        answer = await asyncio.to_thread(upload, port)
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"connection: close" in answer


async def test_answer_before_the_body_announced_by_expect_closes() -> None:
    app = App(read=False)
    app.proceed.set()
    raw = b"POST /a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"
    async with serving(app) as port:
        answer = await exchange(port, raw)
    assert answer == b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok"
    assert app.paths == ["/a"]


async def test_app_is_called_before_the_body_comes() -> None:
    app = App()
    async with serving(app) as port, connected(port) as (reader, writer), limit():
        writer.write(b"POST /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 2\r\n\r\n")
        await app.begun.wait()
        assert app.received == []
        writer.write(b"ab")
        while not app.received:
            await asyncio.sleep(0.01)
        app.proceed.set()
        assert (await reader.read()).endswith(b"ok")
    assert app.received[0] == {"type": "http.request", "body": b"ab", "more_body": False}


async def test_continue_is_sent_once_the_app_wants_the_body() -> None:
    app = App()
    async with serving(app) as port, connected(port) as (reader, writer), limit():
        writer.write(
            b"POST /a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nConnection: close\r\nContent-Length: 2\r\n\r\n"
        )
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"ab")
        app.proceed.set()
        assert (await reader.read()).startswith(b"HTTP/1.1 200")


# -- answers


async def answer_of(*messages: Message, raw: bytes = LAST) -> bytes:
    """All bytes that an app's messages become."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)

    async with serving(app) as port:
        return await exchange(port, raw)


def start(status: int = 200, *headers: tuple[bytes, bytes]) -> Message:
    return {"type": "http.response.start", "status": status, "headers": list(headers)}


def part(body: bytes, *, more: bool = False) -> Message:
    return {"type": "http.response.body", "body": body, "more_body": more}


@pytest.mark.parametrize("status", [600, 999])
async def test_unusual_status_reaches_the_client(status: int) -> None:
    assert (await answer_of(start(status), part(b"x"))).startswith(b"HTTP/1.1 %d \r\n" % status)


@pytest.mark.parametrize(
    "first",
    [start(42), start(101), start(200, (b"x", b"a\r\nb: c")), start(200, (b"x\n", b"a")), part(b"x")],
)
async def test_answer_that_cannot_be_sent_is_a_500(first: Message) -> None:
    answer = await answer_of(first, part(b"x"))
    assert answer.startswith(b"HTTP/1.1 500 ")
    assert b"gateway_failed" in answer


async def test_app_that_never_answers_is_a_500() -> None:
    assert (await answer_of()).startswith(b"HTTP/1.1 500 ")


@pytest.mark.parametrize(("body", "sent"), [(b"abc", b"abc"), (b"abcdefgh", b"abcde")])
@pytest.mark.parametrize("more", [False, True])
async def test_body_of_a_wrong_length_closes_the_connection(body: bytes, sent: bytes, more: bool) -> None:
    messages = [start(200, (b"content-length", b"5")), part(body, more=more)]
    answer = await answer_of(*messages, raw=GET * 2)
    assert answer.count(b"HTTP/1.1 ") == 1
    assert answer.endswith(b"\r\n\r\n" + sent)


async def test_answer_broken_off_has_no_last_chunk() -> None:
    answer = await answer_of(start(), part(b"abc", more=True), raw=GET)
    assert answer.endswith(b"\r\n\r\n3\r\nabc\r\n")


async def test_first_bytes_do_not_wait_for_the_body() -> None:
    proceed = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        await proceed.wait()
        await send(part(b"x"))

    async with serving(app) as port, connected(port) as (reader, writer), limit():
        writer.write(LAST)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
        proceed.set()
        assert await reader.read() == b"1\r\nx\r\n0\r\n\r\n"


@pytest.mark.parametrize("known", [True, False])
async def test_http_1_0_keeps_the_connection_where_a_length_is_known(known: bool) -> None:
    headers = [(b"content-length", b"1")] if known else []
    raw = b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET / HTTP/1.0\r\n\r\n"
    answer = await answer_of(start(200, *headers), part(b"x"), raw=raw)
    assert answer.count(b"\r\n\r\nx") == (2 if known else 1)
    assert answer.count(b"connection: keep-alive") == int(known)
    assert b"chunked" not in answer


# -- back-pressure


async def test_slow_app_pauses_its_client() -> None:
    app = App(read=False)
    async with serving(app) as port, connected(port) as (_, writer), limit(20):
        writer.write(b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 50000000\r\n\r\n")
        await app.begun.wait()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.0):
                for _ in range(500):
                    writer.write(b"x" * 100_000)
                    await writer.drain()
        app.proceed.set()


async def test_slow_client_pauses_the_app() -> None:
    sent = 0

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal sent
        await send(start())
        for _ in range(500):
            await send(part(b"x" * 100_000, more=True))
            sent += 1
        await send(part(b""))

    async with serving(app) as port, connected(port) as (reader, writer), limit(30):
        writer.write(LAST)
        await asyncio.sleep(0.5)
        assert 0 < sent < 400
        body = await reader.read()
        assert len(body) > 50_000_000
    assert sent == 500


async def test_endless_pipeline_is_bounded() -> None:
    app = App(read=False)
    async with serving(app) as port, connected(port) as (_, writer), limit(20):
        writer.write(GET)
        await app.begun.wait()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.0):
                for _ in range(500):
                    writer.write(GET * 3000)
                    await writer.drain()
        app.proceed.set()


# -- shutdown


@asynccontextmanager
async def stoppable(app: ASGIApp) -> AsyncIterator[tuple[int, uvicorn.Server, asyncio.Task[None]]]:
    config = uvicorn.Config(app, port=0, log_config=None, lifespan="off", **uvicorn_settings())
    server = OwnLoopServer(config)
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    try:
        yield server.servers[0].sockets[0].getsockname()[1], server, task
    finally:
        server.should_exit = True
        await task


async def test_shutdown_finishes_what_runs_and_closes_what_rests() -> None:
    app = App()
    async with stoppable(app) as (port, server, task), limit(20):
        async with connected(port) as (resting, _), connected(port) as (busy, writer):
            writer.write(GET)
            await app.begun.wait()
            server.should_exit = True
            assert await resting.read() == b""
            assert not task.done()
            app.proceed.set()
            assert await busy.read() == b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok"
        await task


async def test_request_arriving_as_its_connection_closes_is_not_served() -> None:
    """The client sees a close without an answer, and may send the request again (RFC 9110 §9.2.2)."""
    app = App()
    async with stoppable(app) as (port, server, _), limit(20), connected(port) as (reader, writer):
        writer.write(GET)
        await app.begun.wait()
        server.should_exit = True
        await asyncio.sleep(0.3)
        writer.write(GET)
        app.proceed.set()
        assert (await reader.read()).count(b"HTTP/1.1 ") == 1
    assert app.paths == ["/a"]


# -- WebSockets


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

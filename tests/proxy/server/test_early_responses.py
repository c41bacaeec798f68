"""Responses that begin before the request's body is complete, and `Expect: 100-continue`."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable

import pytest
import uvloop

from proxy.server.protocol import DRAIN_LIMIT
from tests.support.event_loop import advance
from tests.support.http_app import BAD, LAST, App, connected, limit
from tests.support.sockets import exchange, serving
from tests.support.waiting import HANG_TIMEOUT


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


async def test_early_answer_to_a_large_upload_is_received() -> None:
    # The client writes everything before it reads. Closing with its bytes unread would reset the connection.
    app = App(read=False)
    app.proceed.set()

    def upload(port: int) -> bytes:
        with socket.create_connection(("127.0.0.1", port), timeout=HANG_TIMEOUT) as client:
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


async def test_app_is_called_before_the_body_arrives() -> None:
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


async def test_continue_is_sent_when_the_app_receives() -> None:
    app = App()
    async with serving(app) as port, connected(port) as (reader, writer), limit():
        writer.write(
            b"POST /a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nConnection: close\r\nContent-Length: 2\r\n\r\n"
        )
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"ab")
        app.proceed.set()
        assert (await reader.read()).startswith(b"HTTP/1.1 200")


async def test_client_that_does_not_wait_gets_no_continue() -> None:
    app = App()
    head = b"POST /a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nConnection: close\r\nContent-Length: 2\r\n\r\n"
    async with serving(app) as port, connected(port) as (reader, writer), limit():
        writer.write(head + b"ab")
        while not app.received:
            await asyncio.sleep(0.01)
        app.proceed.set()
        assert (await reader.read()).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_app_of_a_refused_expectation_is_disconnected(
    loop: Callable[[], asyncio.AbstractEventLoop], caplog: pytest.LogCaptureFixture
) -> None:
    app = App()
    raw = b"POST /a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n"

    async def send() -> bytes:
        async with serving(app) as port, limit():  # the head and the bad chunk arrive together
            answer = await exchange(port, raw)
            await app.gone.wait()
            return answer

    with asyncio.Runner(loop_factory=loop) as runner:
        assert runner.run(send()) == BAD
    assert app.received == [{"type": "http.disconnect"}]
    assert not caplog.records


async def test_early_answer_without_a_wait_leaves_the_connection_open() -> None:
    app = App(read=False)
    app.proceed.set()
    head = b"POST /a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
    async with serving(app) as port, connected(port) as (reader, writer), limit():
        writer.write(head + b"a")
        assert b"connection: close" not in await reader.readuntil(b"\r\n\r\nok")
        writer.write(b"b" + LAST)
        assert (await reader.read()).endswith(b"\r\n\r\nok")
    assert app.paths == ["/a", "/last"]


async def test_bodies_of_early_answers_are_limited_one_by_one() -> None:
    app = App(read=False)
    app.proceed.set()
    size = DRAIN_LIMIT // 2
    async with serving(app) as port, connected(port) as (reader, writer), limit():
        for _ in range(3):
            writer.write(b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size)
            await reader.readuntil(b"\r\n\r\nok")
            for _half in range(2):  # which arrive one after the other
                writer.write(b"x" * (size // 2))
                await advance(0.0)
        writer.write(LAST)
        assert (await reader.read()).endswith(b"\r\n\r\nok")
    assert app.paths == ["/a", "/a", "/a", "/last"]

"""Time limits of a client's connection."""

from __future__ import annotations

import asyncio

import pytest
from starlette.types import Receive, Scope, Send

from proxy.server.timeouts import ClientTimeouts
from tests.support.event_loop import advance
from tests.support.http_app import GET, LAST, TIMEOUT, App, connected, limit, stoppable, with_timeouts
from tests.support.sockets import exchange, serving
from tests.support.waiting import until


@pytest.mark.parametrize("raw", [b"", b"GET /a HTTP/1.1\r\nHost: a\r\n", b"\r\n"])
async def test_missing_head_is_a_timeout(raw: bytes) -> None:
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


async def test_stalled_body_interrupts_a_started_answer() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"9")]})
        await send({"type": "http.response.body", "body": b"begun", "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass

    limited, _ = with_timeouts(app, ClientTimeouts(request=0.3))
    async with serving(limited, lifespan="on") as port:
        answer = await exchange(port, b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabc")
    assert answer.endswith(b"\r\n\r\nbegun")


async def test_request_timeout_does_not_limit_the_answer() -> None:
    inner = App()
    app, _ = with_timeouts(inner, ClientTimeouts(keep_alive=10.0, header=10.0, request=10.0))
    async with serving(app, lifespan="on") as port, connected(port) as (reader, writer), limit():
        writer.write(LAST)
        await inner.begun.wait()
        await advance(30.0)
        inner.proceed.set()
        assert (await reader.read()).endswith(b"\r\n\r\nok")


async def test_head_in_pieces_is_in_time() -> None:
    inner = App()
    inner.proceed.set()
    app, _ = with_timeouts(inner, ClientTimeouts(header=60.0))
    async with serving(app, lifespan="on") as port, connected(port) as (reader, writer), limit():
        for piece in (LAST[:3], LAST[3:20], LAST[20:]):
            writer.write(piece)
            await asyncio.sleep(0.05)
        assert (await reader.read()).endswith(b"\r\n\r\nok")


async def test_idle_connection_is_closed_silently() -> None:
    inner = App()
    inner.proceed.set()
    app, _ = with_timeouts(inner, ClientTimeouts(keep_alive=0.2))
    async with serving(app, lifespan="on") as port, connected(port) as (reader, writer), limit():
        writer.write(GET)
        assert (await reader.read()).endswith(b"\r\n\r\nok")


async def test_keep_alive_timeout_is_waited_for_in_full() -> None:
    inner = App()
    inner.proceed.set()
    app, _ = with_timeouts(inner, ClientTimeouts(keep_alive=600.0, header=10.0, request=10.0))
    async with serving(app, lifespan="on") as port, connected(port) as (reader, writer), limit():
        for request in (GET, GET, LAST):
            writer.write(request)
            await reader.readuntil(b"\r\n\r\nok")
            await advance(15.0)


async def test_new_limits_apply_to_new_connections() -> None:
    app, holder = with_timeouts(App(), ClientTimeouts(header=60))
    async with stoppable(app, lifespan="on") as (port, server, _), connected(port) as (old, _):
        await until(lambda: server.server_state.connections)
        holder.current = ClientTimeouts(header=0.1)
        assert await exchange(port, b"GET") == TIMEOUT
        assert not old.at_eof()


async def test_slow_app_causes_no_timeout_of_its_client() -> None:
    inner = App(read=False)
    app, _ = with_timeouts(inner, ClientTimeouts(request=1.0))
    body = b"x" * 4_000_000
    async with serving(app, lifespan="on") as port, connected(port) as (reader, writer), limit():
        writer.write(b"POST /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 4000000\r\n\r\n" + body)
        await asyncio.sleep(1.5)
        inner.proceed.set()
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")

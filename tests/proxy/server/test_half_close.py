"""Clients that half-close their connection or leave it."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.http_app import BAD, GET, App, connected, limit
from tests.support.sockets import serving


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

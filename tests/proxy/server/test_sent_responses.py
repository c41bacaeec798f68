"""Responses of an app as the listener sends them."""

from __future__ import annotations

import asyncio

import pytest
from starlette.types import Message, Receive, Scope, Send

from tests.support.http_app import GET, LAST, connected, limit, part, start
from tests.support.sockets import exchange, serving


async def answer_of(*messages: Message, raw: bytes = LAST) -> bytes:
    """Return the bytes that an app's messages become."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)

    async with serving(app) as port:
        return await exchange(port, raw)


@pytest.mark.parametrize("status", [600, 999])
async def test_unusual_status_reaches_the_client(status: int) -> None:
    assert (await answer_of(start(status), part(b"x"))).startswith(b"HTTP/1.1 %d \r\n" % status)


@pytest.mark.parametrize(
    "first",
    [start(42), start(101), start(200, (b"x", b"a\r\nb: c")), start(200, (b"x\n", b"a")), part(b"x")],
)
async def test_invalid_answer_is_a_500(first: Message) -> None:
    answer = await answer_of(first, part(b"x"))
    assert answer.startswith(b"HTTP/1.1 500 ")
    assert b"gateway_failed" in answer


async def test_missing_answer_is_a_500() -> None:
    assert (await answer_of()).startswith(b"HTTP/1.1 500 ")


@pytest.mark.parametrize(("body", "sent"), [(b"abc", b"abc"), (b"abcdefgh", b"abcde")])
@pytest.mark.parametrize("more", [False, True])
async def test_body_of_a_wrong_length_closes_the_connection(body: bytes, sent: bytes, more: bool) -> None:
    messages = [start(200, (b"content-length", b"5")), part(body, more=more)]
    answer = await answer_of(*messages, raw=GET * 2)
    assert answer.count(b"HTTP/1.1 ") == 1
    assert answer.endswith(b"\r\n\r\n" + sent)


async def test_interrupted_answer_has_no_last_chunk() -> None:
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
async def test_http_1_0_connection_persists_for_a_known_length(known: bool) -> None:
    headers = [(b"content-length", b"1")] if known else []
    raw = b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET / HTTP/1.0\r\n\r\n"
    answer = await answer_of(start(200, *headers), part(b"x"), raw=raw)
    assert answer.count(b"\r\n\r\nx") == (2 if known else 1)
    assert answer.count(b"connection: keep-alive") == int(known)
    assert b"chunked" not in answer


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("is_client_at_fault", [False, True], ids=["app_returns", "body_is_malformed"])
async def test_incomplete_answer_is_never_taken_for_a_complete_one(version: str, is_client_at_fault: bool) -> None:
    proceed = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        await send(part(b"x", more=True))
        await proceed.wait()
        if is_client_at_fault:
            while (await receive())["type"] != "http.disconnect":
                pass

    head = f"POST / HTTP/{version}\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with serving(app) as port, connected(port) as (reader, writer), limit():
        writer.write(head.encode())
        await reader.readuntil(b"x")
        proceed.set()
        writer.write(b"no chunk\r\n" if is_client_at_fault else b"0\r\n\r\n")
        try:
            rest: bytes | None = await reader.read()
        except ConnectionResetError:
            rest = None
    assert rest is None or (version == "1.1" and not rest.endswith(b"0\r\n\r\n"))

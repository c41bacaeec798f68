"""Requests that the listener refuses, as Node does, which uses the same parser."""

from __future__ import annotations

import asyncio

import pytest
from starlette.types import Receive, Scope, Send

from tests.support.sockets import exchange, serving
from tests.support.waiting import HANG_TIMEOUT

BAD = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"
TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\n\r\n"


async def target(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the target of the request, after its body."""
    more = True
    while more:
        more = (await receive()).get("more_body", False)
    body = scope["proxy.target"]
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


async def answer_to(raw: bytes) -> bytes:
    async with serving(target) as port:
        return await exchange(port, raw)


@pytest.mark.parametrize(
    "raw",
    [
        b"GARBAGE\r\n\r\n",
        b"FOO / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\nHost: a\n\n",
        b"GET /caf\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX : b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: b\x01\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: abc\r\n\r\nabc",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
    ],
)
async def test_malformed_requests_are_refused_and_never_served(raw: bytes) -> None:
    assert await answer_to(raw) == BAD


@pytest.mark.parametrize("padding", [17_000, 200_000])
async def test_oversized_head_is_refused(padding: int) -> None:
    assert await answer_to(b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * padding + b"\r\n\r\n") == TOO_LARGE
    assert await answer_to(b"GET /" + b"a" * padding + b" HTTP/1.1\r\nHost: a\r\n\r\n") == TOO_LARGE


async def test_oversized_head_is_refused_before_its_end() -> None:
    async with serving(target) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n")
        for number in range(40):
            writer.write(b"X-%d: %s\r\n" % (number, b"a" * 1000))
            await asyncio.sleep(0)
        assert await asyncio.wait_for(reader.read(), HANG_TIMEOUT) == TOO_LARGE
        writer.close()


async def test_large_body_is_not_counted_as_head() -> None:
    body = b"x" * 100_000
    head = b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n"
    last = b"GET /b HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    async with serving(target) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head + body)
        assert (await reader.readuntil(b"/a")).startswith(b"HTTP/1.1 200")
        writer.write(last)
        assert (await reader.read()).endswith(b"/b")
        writer.close()


@pytest.mark.parametrize("wanted", [b"/a?", b"//a//b", b"*", b"http://b/c?d", b"http://b", b"/a#b", b"/%ff%00"])
async def test_target_is_passed_verbatim(wanted: bytes) -> None:
    answer = await answer_to(b"GET " + wanted + b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert answer.endswith(b"\r\n\r\n" + wanted)


async def test_answer_is_sent_without_additions() -> None:
    answer = await answer_to(b"GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert answer == b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n/a"

"""Requests are sent unchanged, and every result is an outcome."""

from __future__ import annotations

import asyncio
import gzip
import socket
import zlib

import pytest

from proxy.comparison.answers import DecodedAnswer
from proxy.recordings.model import RecordedRequest
from proxy.recordings.raw_http import Origin, exchange, reach, serialise
from tests.support.sockets import Script, ending_first, read_head, scripted
from tests.support.waiting import HANG_TIMEOUT

ORIGIN = Origin("127.0.0.1", 80)


def answering(*parts: bytes, pause: float = 0.0) -> Script:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        for part in parts:
            writer.write(part)
            await asyncio.sleep(pause)

    return script


async def fetch(script: Script, request: RecordedRequest, answer_timeout: float = HANG_TIMEOUT) -> DecodedAnswer:
    async with scripted(script) as port:
        return await exchange(Origin("127.0.0.1", port), request, answer_timeout)


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("http://127.0.0.1:8000", Origin("127.0.0.1", 8000)),
        ("http://example.org/", Origin("example.org", 80)),
        ("https://example.org/base/", Origin("example.org", 443, True, "/base")),
        ("http://[::1]:1", Origin("::1", 1)),
    ],
)
def test_origin_is_read_from_a_url(url: str, origin: Origin) -> None:
    assert Origin.parse(url) == origin


@pytest.mark.parametrize("url", ["ftp://x", "localhost:8000", "http://", "http://x:port"])
def test_invalid_http_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"URL|[Pp]ort"):
        Origin.parse(url)


def test_default_port_is_not_named() -> None:
    assert Origin("a", 80).authority == "a"
    assert Origin("a", 80, secure=True).authority == "a:80"
    assert Origin("::1", 443, secure=True).authority == "[::1]"


@pytest.mark.parametrize("target", ["//a//b", "/a/../b", "/a%2Fb", "/a?", "/a b", "*", "/é"])
def test_target_is_sent_verbatim(target: str) -> None:
    raw = serialise(ORIGIN, RecordedRequest("GET", target))
    assert raw == f"GET {target} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n".encode()


def test_request_is_sent_in_its_version() -> None:
    raw = serialise(ORIGIN, RecordedRequest("GET", "/", version="1.0"))
    assert raw == b"GET / HTTP/1.0\r\nhost: 127.0.0.1\r\n\r\n"


def test_prefix_precedes_the_target() -> None:
    assert serialise(Origin("a", 80, prefix="/base"), RecordedRequest("GET", "/x")).startswith(b"GET /base/x ")


def test_headers_keep_their_order_without_additions() -> None:
    request = RecordedRequest("POST", "/", (("x-b", "é"), ("x-a", "€"), ("x-b", "2"), ("host", "h")), b"12")
    assert serialise(ORIGIN, request) == (
        b"POST / HTTP/1.1\r\nx-b: \xe9\r\nx-a: \xe2\x82\xac\r\nx-b: 2\r\nhost: h\r\ncontent-length: 2\r\n\r\n12"
    )


def test_recorded_length_is_sent() -> None:
    raw = serialise(ORIGIN, RecordedRequest("POST", "/", (("content-length", "9"),), b"12"))
    assert raw.count(b"content-length") == 1
    assert b"content-length: 9" in raw


def test_chunked_body_is_framed() -> None:
    chunked = (("transfer-encoding", "chunked"),)
    assert serialise(ORIGIN, RecordedRequest("POST", "/", chunked, b"ab")).endswith(b"\r\n\r\n2\r\nab\r\n0\r\n\r\n")
    assert serialise(ORIGIN, RecordedRequest("POST", "/", chunked, b"")).endswith(b"\r\n\r\n0\r\n\r\n")


async def test_answer_is_read_whole() -> None:
    parts = (
        b"HTTP/1.1 200 OK\r\nX-A: 1\r\nx-a: 2\r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\ncontent-le",
        b"ngth: 4\r\n\r\nab",
        b"cd",
    )
    answer = await fetch(answering(*parts, pause=0.01), RecordedRequest("GET", "/"))
    assert answer == DecodedAnswer(
        "response", 200, {"x-a": "1, 2", "set-cookie": "a=1\nb=2", "content-length": "4"}, b"abcd"
    )


@pytest.mark.parametrize(
    ("method", "raw", "status", "body"),
    [
        ("GET", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n", 200, b"ab"),
        ("GET", b"HTTP/1.1 200 OK\r\n\r\nuntil the end", 200, b"until the end"),
        ("GET", b"HTTP/1.1 103 E\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\na", 200, b"a"),
        ("GET", b"HTTP/1.1 304 N\r\ncontent-length: 9\r\n\r\n", 304, b""),
        ("HEAD", b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n", 200, b""),
        ("GET", b"HTTP/1.1 204 N\r\n\r\n", 204, b""),
    ],
)
async def test_every_framing_is_understood(method: str, raw: bytes, status: int, body: bytes) -> None:
    answer = await fetch(answering(raw), RecordedRequest(method, "/"))
    assert (answer.outcome, answer.status, answer.body) == ("response", status, body)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n",
        b"this is not HTTP\r\n\r\n",
    ],
)
async def test_connection_that_ends_before_the_answer_is_a_reset(raw: bytes) -> None:
    assert await fetch(answering(raw), RecordedRequest("GET", "/")) == DecodedAnswer("reset")


async def test_connection_that_is_torn_down_is_a_reset() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.transport.abort()

    assert await fetch(script, RecordedRequest("GET", "/")) == DecodedAnswer("reset")


async def test_answer_that_ends_before_the_request_does_is_read() -> None:
    script = ending_first(b"HTTP/1.0 200 OK\r\n\r\nearly")
    answer = await fetch(script, RecordedRequest("POST", "/", body=bytes(16 * 1024 * 1024)), HANG_TIMEOUT)
    assert (answer.outcome, answer.body) == ("response", b"early")


@pytest.mark.parametrize("begun", [b"", b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc"])
async def test_incomplete_answer_in_time_is_a_hang(begun: bytes) -> None:
    answer = await fetch(answering(begun, pause=HANG_TIMEOUT), RecordedRequest("GET", "/"), answer_timeout=1.0)
    assert answer == DecodedAnswer("hang")


async def test_answer_before_the_body_is_through_counts() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 413 Payload Too Large\r\ncontent-length: 3\r\n\r\nbig")
        await asyncio.sleep(0.5)

    body = b"a" * 20_000_000
    answer = await fetch(script, RecordedRequest("POST", "/", (), body))
    assert (answer.status, answer.body) == (413, b"big")


async def test_large_body_arrives_whole() -> None:
    received = bytearray()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        await asyncio.sleep(0.1)
        received.extend(await reader.readexactly(10_000_000))
        writer.write(b"HTTP/1.1 204 N\r\n\r\n")
        await asyncio.sleep(0.1)

    body = bytes(range(250)) * 40_000
    assert (await fetch(script, RecordedRequest("POST", "/", (), body))).status == 204
    assert received == body


@pytest.mark.parametrize(
    ("coding", "body", "content", "is_broken"),
    [
        ("gzip", gzip.compress(b'{"a":1}'), b'{"a":1}', False),
        ("deflate", zlib.compress(b'{"a":1}'), b'{"a":1}', False),
        ("identity", b'{"a":1}', b'{"a":1}', False),
        ("gzip", b'{"a":1}', b'{"a":1}', True),
        ("unknown", b"xyz", b"xyz", True),
    ],
)
async def test_content_coding_is_undone(coding: str, body: bytes, content: bytes, is_broken: bool) -> None:
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    answer = await fetch(answering(head + body), RecordedRequest("GET", "/"))
    assert (answer.body, answer.is_broken, answer.headers["content-encoding"]) == (content, is_broken, coding)


async def test_head_answer_with_a_coding_has_no_body() -> None:
    answer = await fetch(answering(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n"), RecordedRequest("HEAD", "/"))
    assert (answer.body, answer.is_broken) == (b"", False)


async def test_refused_connection_is_an_error() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        origin = Origin("127.0.0.1", unused.getsockname()[1])
        with pytest.raises(OSError, match=r".+"):
            await exchange(origin, RecordedRequest("GET", "/"), 1)
        with pytest.raises(OSError, match=r".+"):
            await reach(origin, 1)


async def test_listening_service_is_reached() -> None:
    async with scripted(answering()) as port:
        await reach(Origin("127.0.0.1", port), 1)

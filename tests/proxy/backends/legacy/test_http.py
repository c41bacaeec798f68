"""Requests and responses as they are forwarded to a legacy."""

from __future__ import annotations

import asyncio
import gzip

import pytest

from proxy.gateway.timeouts import Timeouts
from tests.support.forwarding import OK, Legacy, forwarding, request
from tests.support.sockets import exchange, read_head
from tests.support.waiting import HANG_TIMEOUT


@pytest.mark.parametrize(
    "target",
    ["/", "/?", "//a//b", "/a/../b", "/a%2Fb", "/caf%C3%A9?q=%20+&q=2", "/?a=1?b=2", "*", "http://other/p?q", "/a;b=c"],
)
async def test_target_passes_verbatim(target: str) -> None:
    legacy = Legacy()
    async with forwarding(legacy) as (port, _):
        answer = await exchange(port, request(f"GET {target} HTTP/1.1"))
    assert answer.endswith(b"ok")
    assert legacy.heads[0].split(b"\r\n")[0] == f"GET {target} HTTP/1.1".encode()


async def test_headers_pass_in_order_with_duplicates_but_no_hop_by_hop() -> None:
    legacy = Legacy(
        b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nConnection: X-Private\r\nX-Private: 1\r\n"
        b"Keep-Alive: timeout=5\r\nX-Last: z\r\nContent-Length: 2\r\n\r\nok"
    )
    async with forwarding(legacy) as (port, _):
        raw = request(
            "GET / HTTP/1.1",
            "X-A: 1",
            "X-B: 2",
            "X-A: 3",
            "TE: trailers",
            "Connection: X-Gone",
            "X-Gone: 1",
            "Cookie: c",
        )
        answer = await exchange(port, raw)
    lines = legacy.heads[0].lower().split(b"\r\n")
    assert lines[1:6] == [b"host: scribe.example", b"x-a: 1", b"x-b: 2", b"x-a: 3", b"cookie: c"]
    assert not [line for line in lines if line.startswith((b"te:", b"x-gone", b"connection"))]
    head = answer.split(b"\r\n\r\n")[0]
    assert head.index(b"set-cookie: a=1") < head.index(b"set-cookie: b=2") < head.index(b"x-last: z")
    assert b"x-private" not in head
    assert b"keep-alive" not in head


async def test_body_of_known_length_passes_with_its_length() -> None:
    received: list[bytes] = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await read_head(reader)
        received.extend((head, await reader.readexactly(5)))
        writer.write(OK)

    async with forwarding(script) as (port, _):
        answer = await exchange(port, request("POST / HTTP/1.1", "Content-Length: 5", body=b"hello"))
    assert answer.endswith(b"ok")
    assert b"content-length: 5" in received[0]
    assert received[1] == b"hello"


async def test_chunked_body_passes_chunked() -> None:
    received = bytearray()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while not received.endswith(b"0\r\n\r\n"):
            received.extend(await reader.read(1000))
        writer.write(OK)

    async with forwarding(script) as (port, _):
        body = b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
        answer = await exchange(port, request("POST / HTTP/1.1", "Transfer-Encoding: chunked", body=body))
    assert answer.endswith(b"ok")
    head, _, rest = bytes(received).partition(b"\r\n\r\n")
    assert b"transfer-encoding: chunked" in head
    assert b"content-length" not in head
    assert rest in (b"5\r\nabcde\r\n0\r\n\r\n", body)


async def test_compressed_answer_passes_untouched() -> None:
    packed = gzip.compress(b"x" * 1000)
    answer = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed) + packed
    async with forwarding(Legacy(answer)) as (port, _):
        received = await exchange(port, request())
    assert received.endswith(packed)


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
async def test_bodiless_answers_leave_the_connection_usable(status: bytes) -> None:
    legacy = Legacy(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\nETag: x\r\n\r\n")
    async with forwarding(legacy) as (port, _):
        for _ in range(3):
            answer = await exchange(port, request())
            assert answer.startswith(b"HTTP/1.1 " + status)
            assert b"\r\ncontent-length: 0\r\n" in answer
            assert answer.endswith(b"\r\n\r\n")
    assert legacy.connections == 1


@pytest.mark.parametrize(
    ("answer", "head", "body"),
    [
        (b"HTTP/1.1 304 X\r\nContent-Length: 5\r\n\r\n", b"content-length: 5", b""),
        (b"HTTP/1.1 426 X\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\nok", b"upgrade: h2c", b"ok"),
        (b"HTTP/1.1 600 X\r\nContent-Length: 2\r\n\r\nok", b"http/1.1 600", b"ok"),
        (b"HTTP/1.1 999 X\r\nContent-Length: 2\r\n\r\nok", b"http/1.1 999", b"ok"),
        (b"HTTP/1.1 200 X\r\nX: caf\xe9\r\nContent-Length: 2\r\n\r\nok", b"x: caf\xe9", b"ok"),
    ],
)
async def test_unusual_answers_pass_through_the_listener(answer: bytes, head: bytes, body: bytes) -> None:
    async with forwarding(Legacy(answer)) as (port, forwarder):
        for _ in range(2):
            received, _, rest = (await exchange(port, request())).partition(b"\r\n\r\n")
            assert head in received.lower()
            assert rest == body
    assert forwarder.failures == []


async def test_head_answer_keeps_the_headers_of_its_body() -> None:
    legacy = Legacy(b"HTTP/1.1 200 OK\r\nContent-Length: 31\r\n\r\n")
    async with forwarding(legacy) as (port, _):
        for _ in range(2):
            answer = await exchange(port, request("HEAD / HTTP/1.1"))
            assert b"content-length: 31" in answer
            assert answer.endswith(b"\r\n\r\n")
    assert legacy.connections == 1


async def test_interim_answers_are_not_final() -> None:
    legacy = Legacy(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK)
    async with forwarding(legacy) as (port, _):
        answer = await exchange(port, request())
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"link" not in answer


async def test_100_continue_is_forwarded_from_legacy() -> None:
    said = asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        await said.wait()
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        assert await reader.readexactly(2) == b"hi"
        writer.write(OK)

    async with forwarding(script, Timeouts(continue_after=HANG_TIMEOUT)) as (port, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request("POST / HTTP/1.1", "Expect: 100-continue", "Content-Length: 2"))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.2)
        said.set()
        assert await read_head(reader) == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"hi")
        assert (await reader.read()).endswith(b"ok")
        writer.close()


async def test_refused_expectation_spares_the_body() -> None:
    legacy = Legacy(b"HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n")
    async with forwarding(legacy) as (port, _):
        answer = await exchange(port, request("POST / HTTP/1.1", "Expect: 100-continue", "Content-Length: 2"))
    assert answer.startswith(b"HTTP/1.1 417")

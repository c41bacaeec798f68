"""WebSocket handshakes forwarded to a legacy: headers, refusals, failures."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress

import pytest
from starlette.types import Message
from websockets.typing import Subprotocol

from proxy.backends.legacy.websocket import WebSocketUpstream
from proxy.websocket.frames import FRAMES_AT_ONCE
from tests.support.event_loop import advance
from tests.support.sockets import exchange, read_head, scripted
from tests.support.waiting import HANG_TIMEOUT
from tests.support.websocket_client import KEY, frame, handshake, raw_client
from tests.support.websocket_forwarding import (
    accepting,
    answering,
    expect_failure,
    forwarding,
    full_backlog,
    joined,
    joined_up,
    target_of,
)
from tests.support.websocket_legacy import Legacy, new_target

pytestmark = pytest.mark.asyncio(loop_scope="module")
KEYS = [(b"sec-websocket-key", KEY.encode()), (b"sec-websocket-version", b"13")]


async def test_target_and_headers_reach_legacy_unchanged(node: Legacy) -> None:
    target = f"{new_target()}&a=%2F&b=1?c&"
    headers = [
        "X-B: 2",
        "Cookie: a=1; b=2",
        "X-A: 1",
        "X-B: 3",
        "Origin: http://localhost:3000",
    ]
    async with raw_client(node.gateway, handshake(target, *headers)):
        opened = await node.event("open", target)
    pairs = list(zip(opened["headers"][::2], opened["headers"][1::2], strict=True))
    assert opened["url"] == target
    assert pairs[:8] == [
        ("host", "scribe.example"),
        ("sec-websocket-key", KEY),
        ("sec-websocket-version", "13"),
        ("x-b", "2"),
        ("cookie", "a=1; b=2"),
        ("x-a", "1"),
        ("x-b", "3"),
        ("origin", "http://localhost:3000"),
    ]


async def test_handshake_headers_are_the_clients(node: Legacy) -> None:
    target, offer = new_target(), "permessage-deflate; client_max_window_bits, permessage-deflate"
    async with raw_client(node.gateway, handshake(target, f"Sec-WebSocket-Extensions: {offer}")) as client:
        headers = (await node.event("open", target))["headers"]
        pairs = dict(zip(headers[::2], headers[1::2], strict=True))
        assert pairs["sec-websocket-key"] == KEY
        assert pairs["sec-websocket-version"] == "13"
        assert pairs["sec-websocket-extensions"] == offer
        assert b"sec-websocket-extensions" not in client.head.lower(), "this legacy does not compress"


async def test_subprotocol_is_chosen_by_legacy(node: Legacy) -> None:
    async with joined(node, subprotocols=[Subprotocol("scribe.v2"), Subprotocol("scribe.v1")]) as client:
        assert (await node.event("open", target_of(client)))["protocol"] == "scribe.v2"
        assert client.subprotocol == "scribe.v2"


async def test_refusal_equals_legacys(node: Legacy) -> None:
    request = handshake("/nope")
    through = await exchange(node.gateway, request)
    direct = await exchange(node.port, request)
    assert through.split(b"\r\n")[0] == direct.split(b"\r\n")[0] == b"HTTP/1.1 400 Bad Request"
    assert sorted(through.lower().split(b"\r\n")) == sorted(direct.lower().split(b"\r\n"))


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok",
        ),
        (
            b"HTTP/1.1 401 No\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nKeep-Alive: timeout=5\r\nContent-Length: 0\r\n\r\n",
            b"HTTP/1.1 401 Unauthorized\r\nset-cookie: a\r\nset-cookie: b\r\n"
            b"content-length: 0\r\nconnection: close\r\n\r\n",
        ),
        (
            b"HTTP/1.1 503 Wait\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
            b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 5\r\nconnection: close\r\n\r\nabcde",
        ),
        (b"HTTP/1.1 304 Same\r\nETag: x\r\n\r\n", b"HTTP/1.1 304 Not Modified\r\netag: x\r\nconnection: close\r\n\r\n"),
        (
            b"HTTP/1.1 599 Odd\r\nContent-Length: 1\r\n\r\n!",
            b"HTTP/1.1 599 \r\ncontent-length: 1\r\nconnection: close\r\n\r\n!",
        ),
    ],
)
async def test_refusal_of_any_kind_passes(answer: bytes, expected: bytes) -> None:
    async with scripted(answering(answer)) as legacy, forwarding(legacy) as port:
        received = await exchange(port, handshake())
    assert joined_up(received) == expected


async def test_long_refusal_passes_in_parts() -> None:
    body = bytes(range(256)) * 16384
    head = f"HTTP/1.1 403 Forbidden\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    async with scripted(answering(head + body)) as legacy, forwarding(legacy) as port:
        received = await exchange(port, handshake())
    assert received.partition(b"\r\n\r\n")[2] == body


async def test_interrupted_refusal_is_interrupted_for_the_client() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 10\r\n\r\nabc")

    async with scripted(script) as legacy, forwarding(legacy) as port:
        received = await exchange(port, handshake())
    assert received.endswith(b"content-length: 10\r\nconnection: close\r\n\r\nabc")


@pytest.mark.parametrize("framing", [b"Content-Length: 10\r\n", b"Transfer-Encoding: chunked\r\n"])
async def test_refusal_without_its_body_is_forwarded(framing: bytes) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 401 Unauthorized\r\nX-Why: token\r\n" + framing + b"\r\n")

    async with scripted(script) as legacy, forwarding(legacy) as port:
        received = await exchange(port, handshake())
    assert received.startswith(b"HTTP/1.1 401 Unauthorized\r\n")
    assert b"x-why: token\r\n" in received
    assert received.endswith(b"\r\n\r\n")


async def test_interim_answer_is_skipped() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accept = accepting(await read_head(reader))
        writer.write(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + accept + frame(1, b"at once", masked=False))
        await reader.read()

    async with scripted(script) as legacy, forwarding(legacy) as port, raw_client(port) as client:
        assert client.head.startswith(b"HTTP/1.1 101 ")
        assert b"link" not in client.head
        assert await client.read_frame() == (1, b"at once")


async def test_further_headers_of_an_acceptance_pass() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(accepting(await read_head(reader), b"Set-Cookie: a=1\r\nSet-Cookie: b=2\r\n"))
        await reader.read()

    async with scripted(script) as legacy, forwarding(legacy) as port, raw_client(port) as client:
        assert client.head.endswith(b"\r\nset-cookie: a=1\r\nset-cookie: b=2\r\n\r\n")


async def test_unreachable_legacy_is_502() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        free = taken.getsockname()[1]
    async with forwarding(free) as port:
        await expect_failure(port, 502, "legacy_unreachable")


async def test_legacy_without_an_answer_is_504_and_left() -> None:
    left = asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            await reader.read()
        left.set()

    async with scripted(script) as legacy, forwarding(legacy, response_timeout=0.2) as port:
        await expect_failure(port, 504, "legacy_timeout")
        async with asyncio.timeout(HANG_TIMEOUT):
            await left.wait()


async def test_legacy_that_accepts_no_connection_is_504() -> None:
    with full_backlog() as legacy:
        async with forwarding(legacy, connect_timeout=0.2) as port:
            await expect_failure(port, 504, "legacy_connect_timeout")


async def test_legacy_that_hangs_up_is_502() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)

    async with scripted(script) as legacy, forwarding(legacy) as port:
        await expect_failure(port, 502, "legacy_reset")


@pytest.mark.parametrize(
    "answer",
    [
        b"what?\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        b"HTTP/1.1 101 Switch\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n",
        b"HTTP/1.1 101 Switch\r\nUpgrade: h2c\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: RIGHT\r\n\r\n",
    ],
)
async def test_answer_that_is_not_a_handshake_is_502(answer: bytes) -> None:
    async with scripted(answering(answer)) as legacy, forwarding(legacy) as port:
        await expect_failure(port, 502, "legacy_bad_answer")


async def test_client_gone_before_the_answer_ends_the_wait() -> None:
    requested, left = asyncio.Event(), asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        requested.set()
        await reader.read()
        left.set()

    async with scripted(script) as legacy, forwarding(legacy) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(handshake())
        await requested.wait()
        writer.transport.abort()
        async with asyncio.timeout(HANG_TIMEOUT):
            await left.wait()


async def test_client_gone_during_a_refusal_ends_the_reading(node: Legacy) -> None:
    left = asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 403 Forbidden\r\n\r\n")
        with suppress(ConnectionError):
            while True:
                writer.write(b"x" * 65536)
                await writer.drain()
        left.set()

    async with scripted(script) as legacy, forwarding(legacy) as port:
        async with raw_client(port):
            pass
        async with asyncio.timeout(HANG_TIMEOUT):
            await left.wait()


async def test_refusal_that_stalls_is_broken_off() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 10\r\n\r\nabc")
        await reader.read()

    async with scripted(script) as legacy, forwarding(legacy, response_timeout=10.0) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(handshake())
        await reader.readuntil(b"\r\n\r\nabc")
        await advance(10.0)
        assert await reader.read() == b""
        writer.close()


@pytest.mark.parametrize("error", [OSError(), RuntimeError()])
async def test_failed_acceptance_closes_the_legacy_connection(node: Legacy, error: Exception) -> None:
    target = new_target()
    scope = {"type": "websocket", "path": "", "proxy.target": target.encode(), "headers": [(b"host", b"x"), *KEYS]}

    async def send(message: Message) -> None:
        raise error

    connecting = iter(({"type": "websocket.connect"},))

    async def receive() -> Message:
        for message in connecting:
            return message
        await asyncio.Event().wait()
        raise AssertionError

    with suppress(RuntimeError):
        await WebSocketUpstream(f"ws://127.0.0.1:{node.port}")(scope, receive, send)
    assert (await node.event("close", target))["code"] == 1006


@pytest.mark.parametrize("ending", [b"", frame(8, b"\x03\xe8")], ids=["unclosed", "closed"])
@pytest.mark.parametrize("count", [0, 1, 2 * FRAMES_AT_ONCE + 1])
@pytest.mark.parametrize("before", [b"", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"], ids=["alone", "pipelined"])
async def test_frames_of_a_half_closed_handshake_reach_legacy(
    node: Legacy, before: bytes, count: int, ending: bytes
) -> None:
    target = new_target()
    sent = before + handshake(target) + frame(1, b"a") * count + ending
    answer = await half_closing(node.gateway, sent)
    _, _, frames = answer.partition(b"101 Switching Protocols")[2].partition(b"\r\n\r\n")
    assert frames == frame(1, b"a", masked=False) * count + (frame(8, b"\x03\xe8", masked=False) if ending else b"")
    assert (await node.event("close", target))["code"] == (1000 if ending else 1006)


async def half_closing(port: int, sent: bytes) -> bytes:
    """Send bytes and the end of the stream at once; return all bytes of the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(sent)
        writer.write_eof()
        async with asyncio.timeout(HANG_TIMEOUT):
            return await reader.read()
    finally:
        writer.close()

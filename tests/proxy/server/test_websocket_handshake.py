"""WebSocket handshakes on the gateway's listener: acceptance, scope, early frames; against Node's `ws`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from starlette.types import Message, Receive, Scope, Send
from websockets.asyncio.client import connect

from tests.support.pieces import deliveries
from tests.support.sockets import exchange, serving
from tests.support.waiting import HANG_TIMEOUT
from tests.support.websocket_apps import ACCEPTED, Recorder, pour, sending
from tests.support.websocket_client import ACCEPT, KEY, frame, handshake, raw_client
from tests.support.websocket_legacy import legacy_server


async def test_acceptance_has_the_headers_of_ws_only() -> None:
    async with serving(Recorder()) as port, raw_client(port) as client:
        assert client.head == (
            b"HTTP/1.1 101 Switching Protocols\r\n"
            b"Upgrade: websocket\r\n"
            b"Connection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + ACCEPT.encode() + b"\r\n\r\n"
        )


async def test_acceptance_has_the_subprotocol_and_the_apps_headers() -> None:
    accept = {**ACCEPTED, "subprotocol": "v2", "headers": [(b"set-cookie", b"a"), (b"set-cookie", b"b")]}
    async with serving(sending(accept)) as port, raw_client(port) as client:
        assert client.head.endswith(b"sec-websocket-protocol: v2\r\nset-cookie: a\r\nset-cookie: b\r\n\r\n")


async def test_scope_contains_the_raw_request() -> None:
    app = Recorder()
    request = handshake(
        "/a%2Fb/%C3%A9/../x?q=%20+&?",
        "X-A: 1",
        "X-B: \xe9",
        "X-A: 2",
        "Sec-WebSocket-Protocol: v1, v2",
        "Sec-WebSocket-Protocol: v3",
    )
    async with serving(app) as port, raw_client(port, request) as client:
        scope = app.scope
        assert scope["proxy.target"] == b"/a%2Fb/%C3%A9/../x?q=%20+&?"
        assert scope["raw_path"] == b"/a%2Fb/%C3%A9/../x"
        assert scope["path"] == "/a/b/é/../x"
        assert scope["query_string"] == b"q=%20+&?"
        assert [header for header in scope["headers"] if header[0].startswith(b"x-")] == [
            (b"x-a", b"1"),
            (b"x-b", b"\xe9"),
            (b"x-a", b"2"),
        ]
        assert scope["subprotocols"] == ["v1", "v2", "v3"]
        assert (scope["type"], scope["scheme"], scope["http_version"]) == ("websocket", "ws", "1.1")
        assert scope["server"] == ("127.0.0.1", port)
        assert scope["client"] == client.writer.get_extra_info("sockname")
        assert set(scope["extensions"]) == {"websocket.http.response", "proxy.relay", "proxy.memory", "proxy.packet"}


async def test_long_head_is_accepted() -> None:
    app = Recorder()
    target = "/?" + "x" * 9000
    async with serving(app) as port, raw_client(port, handshake(target, *[f"X-{n}: {n}" for n in range(200)])):
        assert app.scope["proxy.target"] == target.encode("latin-1")
        assert (b"x-199", b"199") in app.scope["headers"]


INVALID = (
    ("GET", "POST"),
    (f"Sec-WebSocket-Key: {KEY}\r\n", ""),
    (f"Sec-WebSocket-Key: {KEY}", "Sec-WebSocket-Key: short"),
    (f"Sec-WebSocket-Key: {KEY}", f"Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Key: {KEY}"),
    ("Sec-WebSocket-Version: 13\r\n", ""),
    *(("Sec-WebSocket-Version: 13", f"Sec-WebSocket-Version: {other}") for other in ("14", "13, 8", "1_3", "-13")),
    ("Upgrade: websocket\r\nConn", "Upgrade: websocket\r\nUpgrade: websocket\r\nConn"),
)
"""Texts of a handshake, and what makes each invalid."""


async def test_invalid_handshake_is_refused_as_by_ws() -> None:
    async with serving(Recorder()) as port, legacy_server() as legacy:
        for old, new in INVALID:
            request = handshake().replace(old.encode(), new.encode())
            answered, by_legacy = await exchange(port, request), await exchange(legacy.port, request)
            assert answered.split(b"\r\n")[0] == by_legacy.split(b"\r\n")[0], (old, new)
            assert sorted(answered.lower().split(b"\r\n")) == sorted(by_legacy.lower().split(b"\r\n")), (old, new)


SPELLINGS = (
    *("8", "013", "+13", "13.0", "08.", "13.", "-13", "1.3e1", ".13E2", "80e-1", "130e-01", "0xd", "0XD", "0x0d"),
    *("0b1101", "0B1000", "0o15", "0O10", "0o13", "015", "13.0000000000000000001", "13.1", "1_3", "13n", "1e1", "13e"),
    *("+0xd", "Infinity", "NaN", "0x", "x13", "13 8", ".", "e1", "0b13", "12.9999999999999999999", "\xb9\xb3"),
    *("\xa013", "13\xa0", "\xa00xd\xa0", "\xa0", "1\xa03"),
)
"""Numbers as JavaScript writes them, and texts that it does not read as a number."""


async def test_version_is_read_as_by_ws() -> None:
    async with serving(Recorder()) as port, legacy_server() as legacy:
        for version in SPELLINGS:
            request = handshake().replace(b"Version: 13", f"Version: {version}".encode("latin-1"))
            statuses = []
            for server in (port, legacy.port):
                async with raw_client(server, request) as client:
                    statuses.append(client.head.split(b" ")[1])
            assert statuses[0] == statuses[1], version


async def test_expectation_of_a_handshake_is_ignored_as_by_node() -> None:
    async with serving(Recorder()) as port, legacy_server() as legacy:
        for expectation in ("x", "", "100-continue"):
            for server in (port, legacy.port):
                async with raw_client(server, handshake("/transcription-stream", f"Expect: {expectation}")) as client:
                    assert client.head.startswith(b"HTTP/1.1 101 "), expectation


async def test_compression_is_not_negotiated() -> None:
    async with (
        serving(Recorder()) as port,
        connect(f"ws://127.0.0.1:{port}/", proxy=None, compression="deflate") as client,
    ):
        assert client.protocol.extensions == []


async def test_early_frames_wait_for_the_acceptance() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(0.05)
        await echo(scope, receive, send)

    echo = Recorder()
    async with serving(app) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(handshake())
        await asyncio.sleep(0.02)
        writer.write(frame(1, b"early"))
        writer.write(frame(1, b"bird"))
        await reader.readuntil(b"\r\n\r\n")
        assert await reader.readexactly(7 + 6) == frame(1, b"early", masked=False) + frame(1, b"bird", masked=False)
        writer.transport.abort()


async def test_frame_with_the_handshake_is_received() -> None:
    async with serving(Recorder()) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(handshake() + frame(1, b"early"))
        await reader.readuntil(b"\r\n\r\n")
        assert await reader.readexactly(7) == frame(1, b"early", masked=False)
        writer.transport.abort()


async def test_split_handshake_is_answered_alike() -> None:
    stream = handshake() + frame(1, b"early") + frame(1, b"bird")
    echoes = frame(1, b"early", masked=False) + frame(1, b"bird", masked=False)
    boundaries = [*range(1, len(handshake()), 9), *range(len(handshake()) - 4, len(stream))]

    async def answer(pieces: Sequence[bytes]) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for piece in pieces:
            writer.write(piece)
            await asyncio.sleep(0)
        async with asyncio.timeout(HANG_TIMEOUT):
            head = await reader.readuntil(b"\r\n\r\n")
            assert await reader.readexactly(len(echoes)) == echoes
        writer.transport.abort()
        return head

    async with serving(Recorder()) as port:
        heads = {await answer(pieces) for pieces in deliveries(stream, boundaries)}
    assert [head[:12] for head in heads] == [b"HTTP/1.1 101"]


async def test_early_frames_beyond_a_bound_wait_in_the_kernel() -> None:
    go, sizes = asyncio.Event(), []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await go.wait()
        await send(ACCEPTED)
        while (message := await receive())["type"] == "websocket.receive":
            sizes.append(len(message["bytes"]))

    async with serving(app) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(handshake())
        await asyncio.sleep(0.02)
        pouring = asyncio.ensure_future(pour(writer, frame(2, b"x" * 65536), 200))
        await asyncio.sleep(0.3)
        assert not pouring.done(), "it would have taken 13 MB"
        go.set()
        await pouring
        writer.write(frame(8))
        assert (await reader.read()).endswith(frame(8, masked=False))
        writer.transport.abort()
    assert sizes == [65536] * 200


@pytest.mark.parametrize(
    "accept",
    [{"headers": [(b"x", b"a\r\nb: c")]}, {"headers": [(b"x a", b"b")]}, {"subprotocol": "v2\r\nx: y"}],
    ids=["value", "name", "subprotocol"],
)
async def test_acceptance_with_an_invalid_header_is_a_500(accept: Message) -> None:
    async with serving(sending({**ACCEPTED, **accept})) as port:
        assert (await exchange(port, handshake())).startswith(b"HTTP/1.1 500 ")


async def test_acceptance_drops_headers_that_the_listener_sets() -> None:
    own = (b"connection", b"Upgrade", b"content-length", b"transfer-encoding", b"sec-websocket-accept", b"keep-alive")
    accept = {**ACCEPTED, "headers": [(name, b"1") for name in own]}
    async with serving(sending(accept)) as port, raw_client(port) as client:
        names = [line.partition(b":")[0].lower() for line in client.head.split(b"\r\n")[1:-2]]
    assert names == [b"upgrade", b"connection", b"sec-websocket-accept"]

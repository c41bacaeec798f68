"""The legacy side of a WebSocket, on real sockets: a client, uvicorn, the upstream app, Node's `ws` or a script."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

import pytest
import pytest_asyncio
from starlette.types import Message
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol
from websockets.utils import accept_key

from proxy.backends.legacy.websocket import WebSocketUpstream
from tests.support.sockets import Script, exchange, read_head, scripted, serving
from tests.support.websocket_client import KEY, RawSocket, frame, handshake, raw_client
from tests.support.websocket_legacy import Legacy, legacy_server, new_target
from tests.support.websocket_server import with_pings

QUICK = (0.2, 0.2)
"""Seconds of quiet before a ping, and for its answer."""

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def node() -> AsyncIterator[Legacy]:
    """Node with a gateway before it."""
    async with legacy_server() as legacy, forwarding(legacy.port) as port:
        legacy.gateway = port
        yield legacy


@asynccontextmanager
async def forwarding(legacy: int, pings: tuple[float, float] = (20.0, 20.0), **settings: Any) -> AsyncIterator[int]:
    """The gateway's WebSocket way from end to end; `settings` are the upstream's. Gives the port."""
    upstream = WebSocketUpstream(
        f"http://127.0.0.1:{legacy}", **{"connect_timeout": 1.0, "response_timeout": 5.0, **settings}
    )
    async with serving(with_pings(upstream, *pings), lifespan="on") as port:
        yield port


@asynccontextmanager
async def joined(
    legacy: Legacy | int, pings: tuple[float, float] | None = None, **options: Any
) -> AsyncIterator[ClientConnection]:
    """A client that reached the legacy through the gateway."""
    if isinstance(legacy, Legacy) and legacy.gateway and pings is None:
        async with connect_to(legacy.gateway, **options) as client:
            yield client
        return
    port = legacy if isinstance(legacy, int) else legacy.port
    async with forwarding(port, pings or (20.0, 20.0)) as port, connect_to(port, **options) as client:
        yield client


def connect_to(port: int, **options: Any) -> connect:
    arguments: dict[str, Any] = {"proxy": None, "max_size": None, "ping_interval": None, **options}
    return connect(f"ws://127.0.0.1:{port}{new_target()}", **arguments)


KEYS = [(b"sec-websocket-key", KEY.encode()), (b"sec-websocket-version", b"13")]


def target_of(client: ClientConnection) -> str:
    assert client.request is not None
    return client.request.path


def order(name: str, *arguments: object) -> str:
    """A message that Node obeys."""
    return "!" + json.dumps([name, *arguments])


async def closing_of(client: ClientConnection, seconds: float = 10.0) -> tuple[int, str]:
    async with asyncio.timeout(seconds):
        await client.wait_closed()
    return client.close_code or 0, client.close_reason or ""


# -- the handshake


async def test_the_target_and_headers_reach_the_legacy_as_they_came(node: Legacy) -> None:
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


async def test_the_handshake_headers_are_the_clients(node: Legacy) -> None:
    target, offer = new_target(), "permessage-deflate; client_max_window_bits, permessage-deflate"
    async with raw_client(node.gateway, handshake(target, f"Sec-WebSocket-Extensions: {offer}")) as client:
        headers = (await node.event("open", target))["headers"]
        pairs = dict(zip(headers[::2], headers[1::2], strict=True))
        assert pairs["sec-websocket-key"] == KEY
        assert pairs["sec-websocket-version"] == "13"
        assert pairs["sec-websocket-extensions"] == offer
        assert b"sec-websocket-extensions" not in client.head.lower(), "this legacy does not compress"


async def test_the_subprotocol_is_the_legacys_choice(node: Legacy) -> None:
    async with joined(node, subprotocols=[Subprotocol("scribe.v2"), Subprotocol("scribe.v1")]) as client:
        assert (await node.event("open", target_of(client)))["protocol"] == "scribe.v2"
        assert client.subprotocol == "scribe.v2"


async def test_a_refusal_is_the_legacys_own(node: Legacy) -> None:
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
            b"HTTP/1.1 200 OK\r\nConnection: close\r\ncontent-length: 2\r\n\r\nok",
        ),
        (
            b"HTTP/1.1 401 No\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nKeep-Alive: timeout=5\r\nContent-Length: 0\r\n\r\n",
            b"HTTP/1.1 401 Unauthorized\r\nConnection: close\r\nset-cookie: a\r\nset-cookie: b\r\n"
            b"content-length: 0\r\n\r\n",
        ),
        (
            b"HTTP/1.1 503 Wait\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
            b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\ncontent-length: 5\r\n\r\nabcde",
        ),
        (b"HTTP/1.1 304 Same\r\nETag: x\r\n\r\n", b"HTTP/1.1 304 Not Modified\r\nConnection: close\r\netag: x\r\n\r\n"),
        (
            b"HTTP/1.1 599 Odd\r\nContent-Length: 1\r\n\r\n!",
            b"HTTP/1.1 599 \r\nConnection: close\r\ncontent-length: 1\r\n\r\n!",
        ),
    ],
)
async def test_a_refusal_of_any_kind_passes(answer: bytes, expected: bytes) -> None:
    async with scripted(answering(answer)) as legacy, forwarding(legacy) as port:
        received = await exchange(port, handshake())
    assert joined_up(received) == expected


async def test_a_long_refusal_passes_in_parts() -> None:
    body = bytes(range(256)) * 16384
    head = f"HTTP/1.1 403 Forbidden\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    async with scripted(answering(head + body)) as legacy, forwarding(legacy) as port:
        received = await exchange(port, handshake())
    assert received.partition(b"\r\n\r\n")[2] == body


async def test_a_refusal_that_breaks_off_breaks_off_for_the_client_too() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 10\r\n\r\nabc")

    async with scripted(script) as legacy, forwarding(legacy) as port:
        received = await exchange(port, handshake())
    assert received.endswith(b"content-length: 10\r\n\r\nabc")


@pytest.mark.parametrize("framing", [b"Content-Length: 10\r\n", b"Transfer-Encoding: chunked\r\n"])
async def test_a_refusal_without_its_body_is_the_refusal(framing: bytes) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 401 Unauthorized\r\nX-Why: token\r\n" + framing + b"\r\n")

    async with scripted(script) as legacy, forwarding(legacy) as port:
        received = await exchange(port, handshake())
    assert received.startswith(b"HTTP/1.1 401 Unauthorized\r\n")
    assert b"x-why: token\r\n" in received
    assert received.endswith(b"\r\n\r\n")


async def test_an_interim_answer_does_not_count() -> None:
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


async def test_an_unreachable_legacy_is_502() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        free = taken.getsockname()[1]
    async with forwarding(free) as port:
        await expect_failure(port, 502, "legacy_unreachable")


async def test_a_legacy_that_does_not_answer_is_504() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with scripted(script) as legacy, forwarding(legacy, response_timeout=0.2) as port:
        await expect_failure(port, 504, "legacy_timeout")


async def test_a_legacy_that_accepts_no_connection_is_504() -> None:
    with full_backlog() as legacy:
        async with forwarding(legacy) as port:
            await expect_failure(port, 504, "legacy_connect_timeout")


async def test_a_legacy_that_hangs_up_is_502() -> None:
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
async def test_an_answer_that_is_no_handshake_is_502(answer: bytes) -> None:
    async with scripted(answering(answer)) as legacy, forwarding(legacy) as port:
        await expect_failure(port, 502, "legacy_bad_answer")


async def test_client_gone_before_the_answer_is_not_waited_for() -> None:
    asked, left = asyncio.Event(), asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        asked.set()
        await reader.read()
        left.set()

    async with scripted(script) as legacy, forwarding(legacy) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(handshake())
        await asked.wait()
        writer.transport.abort()
        async with asyncio.timeout(1.0):
            await left.wait()


async def test_a_client_that_leaves_during_a_refusal_is_not_read_for(node: Legacy) -> None:
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
        async with asyncio.timeout(2.0):
            await left.wait()


async def test_a_refusal_that_stalls_is_broken_off() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 10\r\n\r\nabc")
        await reader.read()

    async with scripted(script) as legacy, forwarding(legacy, response_timeout=0.2) as port:
        assert (await exchange(port, handshake())).endswith(b"abc")


@pytest.mark.parametrize("error", [OSError(), RuntimeError()])
async def test_client_that_cannot_be_accepted_closes_the_legacy_side(node: Legacy, error: Exception) -> None:
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


# -- messages


@pytest.mark.parametrize(
    "message", ["text", "", "é€😀 \x00", b"bytes \x00\xff", b"", "x" * 125, "x" * 126, b"y" * 65536]
)
async def test_a_message_passes_both_ways(node: Legacy, message: str | bytes) -> None:
    async with joined(node) as client:
        await client.send(message)
        assert await client.recv() == message


async def test_messages_keep_their_order(node: Legacy) -> None:
    async with joined(node) as client:
        messages = [str(number) if number % 3 else bytes([number % 256]) for number in range(2000)]
        for message in messages:
            await client.send(message)
        assert [await client.recv() for _ in messages] == messages


async def test_fragments_arrive_as_one_message(node: Legacy) -> None:
    async with joined(node) as client:
        await client.send(["é".encode()[:1], "é".encode()[1:], b"", b"!"], text=True)
        assert await client.recv() == "é!"
        await client.send(order("fragments", "one ", "", "message"))
        assert await client.recv() == "one message"


async def test_frames_of_16_mib_pass_both_ways(node: Legacy) -> None:
    async with joined(node) as client:
        for message in (bytes(range(256)) * 65536, "é" * (8 * 1024 * 1024)):
            await client.send(message)
            assert await client.recv() == message


async def test_a_frame_beyond_16_mib_passes(node: Legacy) -> None:
    message = b"x" * (40 * 1024 * 1024 + 1)
    async with joined(node) as client:
        await client.send(message)
        assert await client.recv() == message


async def test_a_message_over_100_mib_is_refused_by_the_legacy_itself(node: Legacy) -> None:
    async with raw_client(node.gateway, handshake(new_target())) as client:
        client.writer.write(frame(2, length=100 * 1024 * 1024 + 1))
        assert await client.read_close() == (1009, "")


async def test_an_unfinished_frame_streams_through_both_ways() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(accepting(await read_head(reader)))
        writer.write(frame(2, b"down", length=95 * 1024 * 1024, masked=False))
        received.set_result(await reader.readexactly(len(up)))
        await reader.read()

    received: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
    up = frame(2, b"up", length=95 * 1024 * 1024)
    async with scripted(script) as legacy, forwarding(legacy) as port, raw_client(port) as client:
        client.writer.write(up)
        assert await client.reader.readexactly(14) == frame(2, b"down", length=95 * 1024 * 1024, masked=False)
        assert await received == up


# -- the end


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (1000, ""),
        (1000, "done"),
        (1001, "bye"),
        (1011, "é" * 61),
        (1012, ""),
        (3000, "r"),
        (4000, ""),
        (4999, "x" * 123),
    ],
)
async def test_a_close_frame_passes_both_ways(node: Legacy, code: int, reason: str) -> None:
    async with joined(node) as client:
        await client.send(order("close", code, reason))
        assert await closing_of(client) == (code, reason)
        await node.event("close", target_of(client))
    async with joined(node) as client:
        await client.close(code, reason)
        closed = await node.event("close", target_of(client))
        assert (closed["code"], closed["reason"]) == (code, reason)


async def test_a_close_frame_without_a_code_passes_both_ways(node: Legacy) -> None:
    async with joined(node) as client:
        await client.send(order("end"))
        assert await closing_of(client) == (1005, "")
        await node.event("close", target_of(client))
    target = new_target()
    async with raw_client(node.gateway, handshake(target)) as raw:
        raw.writer.write(frame(8))
        assert await raw.read_close() == (1005, "")
        assert await raw.read_rest() == b"", "the legacy has closed"
    assert (await node.event("close", target))["code"] == 1005


async def test_what_was_said_before_a_close_still_arrives(node: Legacy) -> None:
    async with joined(node) as client:
        await client.send(order("fragments", "last words"))
        await client.send(order("close", 4000, "bye"))
        assert await client.recv() == "last words"
        assert await closing_of(client) == (4000, "bye")


async def test_a_close_reaches_a_client_that_goes_on_sending(node: Legacy) -> None:
    async with joined(node) as client:
        await client.send(order("close", 4000, "enough"))
        pouring = asyncio.ensure_future(pour_until_closed(client))
        assert await closing_of(client, 2.0) == (4000, "enough")
        await pouring


async def test_slow_client_gets_all_that_a_lost_legacy_had_sent(node: Legacy) -> None:
    async with raw_client(node.gateway, handshake(new_target())) as client:
        client.writer.write(frame(1, order("flood", 400, 65536).encode()))
        await asyncio.sleep(0.3)
        client.writer.write(frame(1, order("terminate").encode()))
        for _ in range(5):
            await asyncio.sleep(0.05)
            client.writer.write(frame(1, b"are you there?"))
        numbers = []
        with suppress(asyncio.IncompleteReadError):
            while True:
                numbers.append(int.from_bytes((await client.read_frame())[1][:4], "big"))
        assert numbers == list(range(len(numbers)))
        assert len(numbers) > 20


async def test_a_dropped_socket_is_a_dropped_socket_for_the_other_end(node: Legacy) -> None:
    async with joined(node) as client:
        await client.send(order("terminate"))
        assert (await closing_of(client, 1.0))[0] == 1006
    async with joined(node) as client:
        await client.send("hello")
        await client.recv()
        client.transport.abort()
        assert (await node.event("close", target_of(client), 5.0))["code"] == 1006


async def test_client_that_drops_while_receiving_is_lost_at_once(node: Legacy) -> None:
    target = new_target()
    async with raw_client(node.gateway, handshake(target), buffer=4096) as client:
        client.writer.write(frame(1, order("flood", 400, 65536).encode()))
        await asyncio.sleep(0.3)
        client.writer.transport.abort()
        assert (await node.event("close", target, 2.0))["code"] == 1006


async def test_a_killed_legacy_drops_the_client_at_once() -> None:
    async with legacy_server() as legacy, joined(legacy) as client:
        legacy.signal(signal.SIGKILL)
        assert (await closing_of(client, 1.0))[0] == 1006


async def test_a_frozen_legacy_is_1011_for_the_client() -> None:
    async with legacy_server() as legacy, joined(legacy, QUICK) as client:
        await client.send("hello")
        await client.recv()
        legacy.signal(signal.SIGSTOP)
        for _ in range(20):
            await client.send(b"x" * 10_000)
        assert await closing_of(client, 5.0) == (1011, "")


async def test_a_pause_of_the_legacy_within_the_timeout_drops_nobody() -> None:
    async with (
        legacy_server() as legacy,
        forwarding(legacy.port, (0.1, 10.0)) as port,
        connect_to(port) as one,
        connect_to(port) as other,
    ):
        legacy.signal(signal.SIGSTOP)
        await one.send(b"x" * 500_000)
        await asyncio.sleep(1.0)
        legacy.signal(signal.SIGCONT)
        assert await one.recv() == b"x" * 500_000
        await other.send("still here")
        assert await other.recv() == "still here"


async def test_a_frozen_client_is_1001_for_the_legacy(node: Legacy) -> None:
    target = new_target()
    async with forwarding(node.port, QUICK) as port, raw_client(port, handshake(target)):
        assert (await node.event("close", target, 5.0))["code"] == 1001


async def test_client_silent_within_a_frame_is_1001_for_legacy_too() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(accepting(await read_head(reader)))
        received.set_result(await reader.read())

    received: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
    unfinished = frame(2, b"x", length=1000)
    async with scripted(script) as legacy, forwarding(legacy, QUICK) as port, raw_client(port) as client:
        client.writer.write(unfinished)
        async with asyncio.timeout(5.0):
            assert await received == unfinished, "no close frame fits into another frame"


async def test_an_idle_connection_lives_as_long_as_both_answer_pings(node: Legacy) -> None:
    async with joined(node, QUICK) as client:
        await node.event("ping", target_of(client))
        await asyncio.sleep(1.5)
        await client.send("still here")
        assert await client.recv() == "still here"


# -- back-pressure


async def test_a_client_that_does_not_read_holds_the_legacy_back() -> None:
    size, count = 256 * 1024, 400
    written = 0

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        writer.write(accepting(await read_head(reader)))
        for number in range(count):
            writer.write(frame(2, number.to_bytes(4, "big") * (size // 4), masked=False))
            await writer.drain()
            written = number + 1
        await reader.read()

    async with scripted(script) as legacy, forwarding(legacy) as port, raw_client(port) as client:
        held = await settle(lambda: written)
        assert held * size < 32 * 1024 * 1024, "kernel buffers of two sockets, and little else"
        for number in range(count):
            opcode, data = await client.read_frame()
            while opcode == 9:
                opcode, data = await client.read_frame()
            assert (opcode, data[:4], len(data)) == (2, number.to_bytes(4, "big"), size)


async def test_a_legacy_that_does_not_read_holds_the_client_back(node: Legacy) -> None:
    written = 0

    async def pour(client: ClientConnection) -> None:
        nonlocal written
        for number in range(400):
            await client.send(number.to_bytes(4, "big") * 65536)
            written = number + 1

    async with joined(node) as client:
        await client.send(order("count"))
        await client.send(order("pause", 2000))
        pouring = asyncio.ensure_future(pour(client))
        held = await settle(lambda: written)
        assert held * 262144 < 32 * 1024 * 1024
        await pouring
        await client.send(order("counted"))
        assert await client.recv() == str(400 * 262144)


async def test_a_slow_client_is_not_taken_for_dead(node: Legacy) -> None:
    """Its pongs come late, since our pings wait behind 12 MiB; that it takes them at all is what counts."""
    target = new_target()
    async with forwarding(node.port, (0.2, 0.6)) as port, raw_client(port, handshake(target), buffer=262144) as client:
        client.writer.write(frame(1, order("flood", 192, 65536).encode()))
        received = 0
        while received < 192:
            opcode, data = await client.read_frame()
            if opcode == 9:
                client.writer.write(frame(10, data))
            else:
                received += 1
                await asyncio.sleep(0.016)
        client.writer.write(frame(8, b"\x03\xe8"))
        assert await client.read_close() == (1000, "")
    assert (await node.event("close", target))["code"] == 1000


async def test_a_legacy_that_takes_nothing_more_is_given_up() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(accepting(await read_head(reader)))
        await asyncio.sleep(30)

    async with scripted(script) as legacy, forwarding(legacy, QUICK) as port, raw_client(port) as client:
        pouring = asyncio.ensure_future(pour(client, frame(2, b"x" * 262144)))
        assert await client.read_close() == (1011, "")
        assert await client.read_rest() == b""
        pouring.cancel()


async def test_a_client_gone_while_the_legacy_takes_nothing_ends_both() -> None:
    ended = asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(accepting(await read_head(reader)))
        await asyncio.sleep(1.0)
        await reader.read()
        ended.set()

    async with scripted(script) as legacy, forwarding(legacy, QUICK) as port, raw_client(port) as client:
        client.writer.write(frame(2, b"x" * 1024 * 1024) * 16)
        await asyncio.sleep(0.2)
        client.writer.transport.abort()
        async with asyncio.timeout(5.0):
            await ended.wait()


# -- scripts


def accepting(head: bytes, extra: bytes = b"") -> bytes:
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
        + right_answer(head)
        + b"\r\n"
        + extra
        + b"\r\n"
    )


def right_answer(head: bytes) -> bytes:
    key = head.split(b"sec-websocket-key: ")[1].split(b"\r\n")[0]
    return accept_key(key.decode()).encode()


def answering(answer: bytes) -> Script:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await read_head(reader)
        writer.write(answer.replace(b"RIGHT", right_answer(head)))
        await reader.read()

    return script


def joined_up(answer: bytes) -> bytes:
    """The answer as it would be had it come in one part."""
    head, _, body = answer.partition(b"\r\n\r\n")
    if b"transfer-encoding: chunked" not in head:
        return answer
    assert body.endswith(b"\r\n0\r\n\r\n")
    whole = b"".join(body.split(b"\r\n")[1:-3:2])
    return head.replace(b"transfer-encoding: chunked", b"content-length: %d" % len(whole)) + b"\r\n\r\n" + whole


async def expect_failure(port: int, status: int, code: str) -> None:
    with pytest.raises(InvalidStatus) as caught:
        await connect(f"ws://127.0.0.1:{port}/", proxy=None)
    answer = caught.value.response
    assert answer.status_code == status
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
    body = json.loads(bytes(answer.body))
    assert body["error"] == code
    assert set(body) == {"msg", "error"}


async def settle(progress: Any) -> int:
    """Wait until nothing moves for half a second."""
    seen = -1
    while seen != progress():
        seen = progress()
        await asyncio.sleep(0.5)
    return int(seen)


async def pour(client: RawSocket, data: bytes) -> None:
    while True:
        client.writer.write(data)
        await client.writer.drain()


async def pour_until_closed(client: ClientConnection) -> None:
    try:
        while True:
            await client.send(b"x" * 262144)
    except ConnectionClosed:
        pass


@contextmanager
def full_backlog() -> Iterator[int]:
    """A port that is listened on, where no more connections are taken."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        clients = [socket.socket() for _ in range(4)]
        for client in clients:
            client.setblocking(False)
            client.connect_ex(server.getsockname())
        try:
            yield server.getsockname()[1]
        finally:
            for client in clients:
                client.close()

"""uvicorn with the gateway's WebSocket protocol, on real sockets, before small ASGI apps; and against Node's `ws`."""

from __future__ import annotations

import asyncio
import ctypes
import json
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from proxy.gateway.errors import AnswerTimeout
from proxy.server.memory_budget import BUDGET_KEY
from proxy.websocket.link import Timing
from tests.support.sockets import exchange, serving
from tests.support.websocket_client import ACCEPT, KEY, frame, handshake, raw_client
from tests.support.websocket_legacy import legacy_server
from tests.support.websocket_server import stoppable, with_pings, with_state


@asynccontextmanager
async def pinging(app: ASGIApp, interval: float = 0.1) -> AsyncIterator[int]:
    """The app on a server with quick pings; gives the port."""
    async with serving(with_pings(app, interval, 0.1), lifespan="on") as port:
        yield port


class Recorder:
    """Accepts, echoes messages, and keeps the scope and everything that came in."""

    def __init__(self) -> None:
        self.scope: Scope = {}
        self.received: list[Message] = []
        self.done = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        while (message := await receive())["type"] != "websocket.disconnect":
            self.received.append(message)
            if message["type"] == "websocket.connect":
                await send({"type": "websocket.accept"})
                continue
            with suppress(OSError):
                await send({**message, "type": "websocket.send"})
        self.received.append(message)
        self.done.set()

    async def end(self) -> Message:
        """The disconnect message."""
        async with asyncio.timeout(5.0):
            await self.done.wait()
        return self.received[-1]


def sending(*messages: Message) -> ASGIApp:
    """An app that sends these, whatever it receives."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        for message in messages:
            await send(message)

    return app


def raising(error: Exception, *messages: Message) -> ASGIApp:
    before = sending(*messages)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await before(scope, receive, send)
        raise error

    return app


ACCEPTED: Message = {"type": "websocket.accept"}


# -- the handshake


async def test_an_acceptance_says_what_ws_says_and_nothing_else() -> None:
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
        assert client.head.endswith(b"Sec-WebSocket-Protocol: v2\r\nset-cookie: a\r\nset-cookie: b\r\n\r\n")


async def test_the_scope_holds_the_request_as_it_came() -> None:
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
        assert set(scope["extensions"]) == {"websocket.http.response", "proxy.relay", "proxy.memory"}


async def test_a_long_head_passes() -> None:
    app = Recorder()
    target = "/?" + "x" * 9000
    async with serving(app) as port, raw_client(port, handshake(target, *[f"X-{n}: {n}" for n in range(200)])):
        assert app.scope["proxy.target"] == target.encode("latin-1")
        assert (b"x-199", b"199") in app.scope["headers"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("GET", "POST"),
        (f"Sec-WebSocket-Key: {KEY}\r\n", ""),
        (f"Sec-WebSocket-Key: {KEY}", "Sec-WebSocket-Key: short"),
        (f"Sec-WebSocket-Key: {KEY}", f"Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Key: {KEY}"),
        ("Sec-WebSocket-Version: 13\r\n", ""),
        ("Sec-WebSocket-Version: 13", "Sec-WebSocket-Version: 14"),
        ("Upgrade: websocket\r\nConn", "Upgrade: websocket\r\nUpgrade: websocket\r\nConn"),
    ],
)
async def test_a_faulty_handshake_is_refused_as_ws_refuses_it(old: str, new: str) -> None:
    request = handshake().replace(old.encode(), new.encode())
    async with serving(Recorder()) as port, legacy_server() as legacy:
        ours, theirs = await exchange(port, request), await exchange(legacy.port, request)
    assert ours.split(b"\r\n")[0] == theirs.split(b"\r\n")[0]
    assert sorted(ours.lower().split(b"\r\n")) == sorted(theirs.lower().split(b"\r\n"))


async def test_version_8_is_the_same_protocol() -> None:
    async with serving(Recorder()) as port, raw_client(port, handshake().replace(b": 13", b": 8")) as client:
        assert client.head.startswith(b"HTTP/1.1 101 ")


async def test_compression_is_not_taken_up() -> None:
    async with (
        serving(Recorder()) as port,
        connect(f"ws://127.0.0.1:{port}/", proxy=None, compression="deflate") as client,
    ):
        assert client.protocol.extensions == []


async def test_early_frames_wait_until_the_client_is_accepted() -> None:
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


async def test_a_frame_in_one_piece_with_the_handshake_is_kept_too() -> None:
    async with serving(Recorder()) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(handshake() + frame(1, b"early"))
        await reader.readuntil(b"\r\n\r\n")
        assert await reader.readexactly(7) == frame(1, b"early", masked=False)
        writer.transport.abort()


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


# -- refusals


async def test_a_refusal_goes_out_as_it_is() -> None:
    start = {
        "type": "websocket.http.response.start",
        "status": 418,
        "headers": [(b"X-Powered-By", b"Express"), (b"content-length", b"2"), (b"connection", b"keep-alive")],
    }
    app = sending(start, {"type": "websocket.http.response.body", "body": b"no"})
    async with serving(app) as port:
        answer = await exchange(port, handshake())
    assert answer == (
        b"HTTP/1.1 418 I'm a Teapot\r\nConnection: close\r\nX-Powered-By: Express\r\ncontent-length: 2\r\n\r\nno"
    )


async def test_a_refusal_of_a_length_nobody_told_is_told_or_chunked() -> None:
    start = {"type": "websocket.http.response.start", "status": 403}
    whole = sending(start, {"type": "websocket.http.response.body", "body": b"no"})
    parts = sending(
        start,
        {"type": "websocket.http.response.body", "body": b"no", "more_body": True},
        {"type": "websocket.http.response.body", "body": b"", "more_body": True},
        {"type": "websocket.http.response.body"},
    )
    async with serving(whole) as port:
        assert (await exchange(port, handshake())).endswith(b"close\r\ncontent-length: 2\r\n\r\nno")
    async with serving(parts) as port:
        assert (await exchange(port, handshake())).endswith(b"transfer-encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n")


async def test_a_refusal_that_breaks_off_has_no_last_chunk() -> None:
    start = {"type": "websocket.http.response.start", "status": 403}
    app = sending(start, {"type": "websocket.http.response.body", "body": b"no", "more_body": True})
    async with serving(app) as port:
        assert (await exchange(port, handshake())).endswith(b"2\r\nno\r\n")


async def test_a_long_refusal_waits_for_a_slow_client() -> None:
    sent = 0

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal sent
        await receive()
        await send({"type": "websocket.http.response.start", "status": 403})
        for number in range(400):
            await send({"type": "websocket.http.response.body", "body": b"x" * 65536, "more_body": number < 399})
            sent += 65536

    async with serving(app) as port, raw_client(port, buffer=65536) as client:
        await asyncio.sleep(0.3)
        assert sent < 8 * 1024 * 1024
        assert (await client.read_rest()).count(b"x") == 400 * 65536


async def test_a_client_that_leaves_during_a_long_refusal_ends_it() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.http.response.start", "status": 403})
        try:
            while True:
                await send({"type": "websocket.http.response.body", "body": b"x" * 65536, "more_body": True})
        finally:
            ended.set()

    ended = asyncio.Event()
    async with serving(app) as port:
        async with raw_client(port):
            pass
        async with asyncio.timeout(2.0):
            await ended.wait()


async def test_a_close_before_an_acceptance_is_403() -> None:
    async with serving(sending({"type": "websocket.close"})) as port:
        answer = await exchange(port, handshake())
    assert answer == b"HTTP/1.1 403 Forbidden\r\nConnection: close\r\ncontent-length: 0\r\n\r\n"


@pytest.mark.parametrize(
    ("app", "status", "code"),
    [
        (raising(ValueError("x")), 500, "gateway_failed"),
        (raising(AnswerTimeout()), 504, "legacy_timeout"),
        (sending(), 500, "gateway_failed"),
    ],
)
async def test_an_app_that_fails_before_it_answers_is_answered_for(
    app: ASGIApp, status: int, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(app) as port:
        with pytest.raises(InvalidStatus) as caught:
            await connect(f"ws://127.0.0.1:{port}/", proxy=None)
    assert caught.value.response.status_code == status
    assert json.loads(bytes(caught.value.response.body))["error"] == code
    assert ("the app failed" in caplog.text) == (code == "gateway_failed" and "ValueError" in caplog.text)


# -- the open socket


async def test_messages_reach_the_app_and_come_back() -> None:
    app = Recorder()
    async with serving(app) as port, connect(f"ws://127.0.0.1:{port}/", proxy=None, max_size=None) as client:
        for message in ("text", "", b"bytes", b"", "é" * 100_000):
            await client.send(message)
            assert await client.recv() == message
    await app.end()
    assert app.received[1] == {"type": "websocket.receive", "text": "text"}
    assert app.received[3] == {"type": "websocket.receive", "bytes": b"bytes"}


async def test_starlette_runs_on_it() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        websocket = WebSocket(scope, receive, send)
        await websocket.accept(subprotocol="json")
        await websocket.send_json({"got": await websocket.receive_json()})
        await websocket.close(4000, "enough")

    async with serving(app) as port:
        client = await connect(f"ws://127.0.0.1:{port}/", proxy=None, subprotocols=["json"])  # type: ignore[list-item]
        await client.send("[1]")
        assert json.loads(await client.recv()) == {"got": [1]}
        await client.wait_closed()
        assert (client.close_code, client.close_reason) == (4000, "enough")


@pytest.mark.parametrize(("code", "reason"), [(1000, ""), (1001, "x"), (3000, ""), (4321, "é" * 61), (4999, "bye")])
async def test_the_clients_close_frame_reaches_the_app(code: int, reason: str) -> None:
    app = Recorder()
    async with serving(app) as port:
        async with connect(f"ws://127.0.0.1:{port}/", proxy=None) as client:
            await client.close(code, reason)
        assert await app.end() == {"type": "websocket.disconnect", "code": code, "reason": reason}


async def test_close_without_a_code_is_1005_and_no_close_frame_1006() -> None:
    for farewell, code in ((frame(8), 1005), (b"", 1006)):
        app = Recorder()
        async with serving(app) as port, raw_client(port) as client:
            client.writer.write(farewell)
            if farewell:
                assert await client.read_close() == (1005, "")
            else:
                client.writer.write_eof()
            assert (await app.end())["code"] == code
            assert await client.read_rest() == b""


@pytest.mark.parametrize(
    ("code", "reason", "seen"),
    [
        (1000, "", (1000, "")),
        (1005, "", (1005, "")),
        (4000, "bye", (4000, "bye")),
        (1011, "é" * 100, (1011, "é" * 61)),
        (1006, "", (1011, "")),
        (999, "", (1011, "")),
    ],
)
async def test_the_apps_close_reaches_the_client(code: int, reason: str, seen: tuple[int, str]) -> None:
    app = sending(ACCEPTED, {"type": "websocket.close", "code": code, "reason": reason})
    async with serving(app) as port, raw_client(port) as client:
        assert await client.read_close() == seen
        client.writer.write(frame(8, struct.pack("!H", 1000)))
        assert await client.read_rest() == b""


@pytest.mark.parametrize(("app", "code"), [(sending(ACCEPTED), 1000), (raising(ValueError(), ACCEPTED), 1011)])
async def test_an_app_that_leaves_an_open_socket_closes_it(app: ASGIApp, code: int) -> None:
    async with serving(app) as port, raw_client(port) as client:
        assert await client.read_close() == (code, "")


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (frame(1, b"\xff\xfe"), 1007),
        (frame(1, b"\xc3", fin=False) + frame(0, b"\x28"), 1007),
        (frame(1, b"hello", masked=False), 1002),
        (frame(3, b"?"), 1002),
        (frame(0, b"?"), 1002),
        (frame(2, b"x", fin=False) + frame(2, b"y"), 1002),
        (frame(9, b"x" * 126), 1002),
        (frame(8, b"\x03"), 1002),
        (frame(8, struct.pack("!H", 1005)), 1002),
        (frame(2, length=1025), 1009),
        (frame(2, b"x" * 1000, fin=False) + frame(0, b"x" * 100), 1009),
    ],
)
async def test_a_client_that_breaks_the_rules_is_told_which(data: bytes, code: int) -> None:
    app = Recorder()
    async with serving(app, ws_max_size=1024) as port, raw_client(port) as client:
        client.writer.write(frame(1, b"before"))
        client.writer.write(data)
        await client.writer.drain()
        assert (await client.read_close())[0] == code
        client.writer.write(b"\x00" * 300_000)
        async with asyncio.timeout(1.0):
            assert await client.read_rest() == b""
        assert (await app.end())["code"] == 1006
        assert app.received[1] == {"type": "websocket.receive", "text": "before"}


async def test_a_ping_is_answered() -> None:
    async with serving(Recorder()) as port, raw_client(port) as client:
        client.writer.write(frame(9, b"are you there"))
        assert await client.read_frame() == (10, b"are you there")


async def test_pings_of_a_client_that_reads_nothing_are_not_hoarded() -> None:
    """Only the latest pong is kept for it, as RFC 6455 §5.5.3 allows; all of them would be 10 MB."""
    app = Recorder()
    ping = frame(9, b"x" * 125)
    async with serving(app) as port, raw_client(port, buffer=4096) as client:
        for _ in range(80):
            client.writer.write(ping * 1000)
            await client.writer.drain()
        client.writer.write(frame(9, b"last"))
        pongs = 1
        while (await client.read_frame())[1] != b"last":
            pongs += 1
        assert pongs < 60_000


async def test_an_app_that_takes_its_time_holds_the_client_back() -> None:
    taken = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPTED)
        await taken.wait()
        size = 0
        while (message := await receive())["type"] != "websocket.disconnect":
            size += len(message["bytes"])
        sizes.append(size)

    sizes: list[int] = []
    async with pinging(app) as port, raw_client(port) as client:
        pouring = asyncio.ensure_future(pour(client.writer, frame(2, b"x" * 65536), 400))
        await asyncio.sleep(0.6)
        assert not pouring.done(), "it would have taken 25 MB"
        taken.set()
        await pouring
        client.writer.write(frame(8))
        await client.read_close()
        await asyncio.sleep(0.05)
    assert sizes == [400 * 65536]


class Budget:
    """A `BufferBudget` of so many bytes, with the most that was taken at once."""

    def __init__(self, size: int) -> None:
        self.size, self.taken, self.peak = size, 0, 0

    def acquire(self, size: int) -> bool:
        if self.taken + size > self.size:
            return False
        self.taken += size
        self.peak = max(self.peak, self.taken)
        return True

    def release(self, size: int) -> None:
        self.taken -= size

    def open(self, _: object) -> Budget:
        return self

    def close(self) -> None:
        pass


@asynccontextmanager
async def budgeted(app: ASGIApp, size: int) -> AsyncIterator[tuple[int, Budget]]:
    """The app on a server whose WebSockets may hold `size` bytes together."""
    budget = Budget(size)
    async with serving(with_state(app, {BUDGET_KEY: budget}), lifespan="on") as port:
        yield port, budget


async def test_held_messages_take_from_the_budget_and_give_back() -> None:
    async with budgeted(Recorder(), 3_000_000) as (port, budget), raw_client(port) as client:
        for _ in range(3):
            client.writer.write(frame(2, b"x" * 1_000_000) + frame(2, b"y", fin=False))
            assert len((await client.read_frame())[1]) == 1_000_000
            client.writer.write(frame(0, b"z"))
            assert (await client.read_frame())[1] == b"yz"
        assert budget.peak >= 1_000_000
        client.writer.write(frame(2, b"unfinished", fin=False) + frame(8))
        assert await client.read_close() == (1005, "")
        assert budget.taken == 0


async def test_message_over_the_budget_is_1013_for_its_client_alone() -> None:
    async with budgeted(Recorder(), 1_000_000) as (port, budget), raw_client(port) as other, raw_client(port) as client:
        client.writer.write(frame(1, b"before") + frame(2, b"x" * 2_000_000))
        assert await client.read_frame() == (1, b"before")
        assert await client.read_close() == (1013, "")
        other.writer.write(frame(2, b"y" * 500_000))
        assert len((await other.read_frame())[1]) == 500_000
        assert budget.taken == 0


async def test_a_client_that_leaves_amid_a_message_gives_its_part_back() -> None:
    app = Recorder()
    async with budgeted(app, 1_000_000) as (port, budget):
        async with raw_client(port) as client:
            client.writer.write(frame(2, b"x" * 500_000, length=900_000))
            await client.writer.drain()
            while budget.taken < 500_000:
                await asyncio.sleep(0.01)
        await app.end()
        assert budget.taken == 0


@pytest.mark.parametrize(
    ("ending", "answer"),
    [
        (frame(8), frame(8, masked=False)),
        (frame(3), frame(8, b"\x03\xea", masked=False)),
        (b"", b""),
    ],
)
async def test_an_app_answers_what_came_before_the_clients_end(ending: bytes, answer: bytes) -> None:
    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPTED)
        while (message := await receive())["type"] == "websocket.receive":
            await asyncio.sleep(0.05)
            await send({**message, "type": "websocket.send"})

    async with serving(slow) as port, raw_client(port) as client:
        client.writer.write(frame(1, b"one") + frame(1, b"two") + ending)
        if not ending:
            client.writer.write_eof()
        assert await client.read_rest() == frame(1, b"one", masked=False) + frame(1, b"two", masked=False) + answer


async def test_client_that_closes_does_not_wait_for_an_idle_app() -> None:
    async def deaf(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPTED)
        await asyncio.sleep(30)

    async with serving(deaf) as port, raw_client(port) as client:
        client.writer.write(frame(1, b"hello") + frame(8))
        async with asyncio.timeout(10.0):
            assert await client.read_rest() == frame(8, masked=False)


async def test_several_tasks_of_an_app_may_send() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPTED)

        async def speak() -> None:
            for _ in range(20):
                await send({"type": "websocket.send", "bytes": b"x" * 65536})

        await asyncio.gather(*[speak() for _ in range(5)])

    async with serving(app) as port, raw_client(port) as client:
        await asyncio.sleep(0.1)
        for _ in range(100):
            assert (await client.read_frame())[0] == 2
        assert (await client.read_close())[0] == 1000


@pytest.mark.parametrize(
    "messages",
    [
        [{"type": "websocket.send", "text": "x"}],
        [ACCEPTED, ACCEPTED],
        [{"type": "websocket.http.response.start", "status": 400}, ACCEPTED],
    ],
)
async def test_a_message_out_of_turn_is_the_apps_fault(messages: list[Message]) -> None:
    faults: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await sending(*messages)(scope, receive, send)
        except RuntimeError as error:
            faults.append(str(error))
            raise

    async with serving(app) as port, raw_client(port) as client:
        client.writer.write(frame(8))
        await client.read_rest()
    assert "was due" in faults[0]


async def test_sending_to_a_client_that_left_is_an_os_error() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPTED)
        assert (await receive())["type"] == "websocket.disconnect"
        assert (await receive())["type"] == "websocket.disconnect"
        try:
            await send({"type": "websocket.send", "text": "hello?"})
        except OSError:
            raised.set()
            raise

    raised = asyncio.Event()
    async with serving(app) as port:
        async with raw_client(port):
            pass
        async with asyncio.timeout(1.0):
            await raised.wait()


# -- death


async def test_a_client_that_answers_no_pings_is_dropped() -> None:
    app = Recorder()
    async with pinging(app) as port, raw_client(port) as client:
        started = asyncio.get_running_loop().time()
        assert (await client.read_frame())[0] == 9
        assert await client.read_close() == (1011, "no answer to a ping")
        assert await app.end() == {"type": "websocket.disconnect", "code": 1006, "reason": "no answer to a ping"}
        assert asyncio.get_running_loop().time() - started < 0.5


async def test_a_client_whose_cable_was_pulled_is_dropped() -> None:
    """Its kernel acknowledges nothing any more; a socket filter that drops all it gets does just that."""
    app = Recorder()
    async with pinging(app) as port, raw_client(port) as client:
        drop_all(client.writer.get_extra_info("socket"))
        assert (await app.end())["code"] == 1006


async def test_pings_can_be_turned_off() -> None:
    app = Recorder()
    async with pinging(app, 3600.0) as port, raw_client(port) as client:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.read_frame(), 0.3)
        client.writer.write(frame(8))
        await app.end()


async def test_client_that_does_not_answer_a_close_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.server.websocket.Timing", quick_closing)
    app = sending(ACCEPTED, {"type": "websocket.close", "code": 4000})
    async with serving(app) as port, raw_client(port) as client:
        assert await client.read_close() == (4000, "")
        async with asyncio.timeout(1.0):
            assert await client.read_rest() == b""


async def test_client_still_reading_before_a_close_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("proxy.server.websocket.Timing", quick_closing)
    speech = {"type": "websocket.send", "bytes": b"x" * 12_000_000}
    app = sending(ACCEPTED, speech, {"type": "websocket.close", "code": 4000})
    async with serving(app) as port, raw_client(port, buffer=65536) as client:
        received = bytearray()
        while data := await client.reader.read(400_000):
            received += data
            await asyncio.sleep(0.02)
        assert received.count(b"x") == 12_000_000
        assert received.endswith(frame(8, struct.pack("!H", 4000), masked=False))


async def test_many_small_fragments_are_held_as_what_they_are_worth() -> None:
    app = Recorder()
    async with serving(app) as port, raw_client(port) as client:
        client.writer.write(frame(1, b"a", fin=False) + frame(0, b"b", fin=False) * 10_000 + frame(0, b"c"))
        opcode, data = await client.read_frame()
        assert (opcode, data) == (1, b"a" + b"b" * 10_000 + b"c")


async def test_a_shutdown_closes_with_1001_and_waits_for_the_answer() -> None:
    app = Recorder()
    async with stoppable(app) as (port, stop), raw_client(port) as client:
        stop()
        assert await client.read_close() == (1001, "")
        assert await app.end() == {"type": "websocket.disconnect", "code": 1001, "reason": ""}
        client.writer.write(frame(8, struct.pack("!H", 1001)))
        assert await client.read_rest() == b""


async def test_a_shutdown_lets_a_handshake_finish() -> None:
    app = Recorder()
    go, asked = asyncio.Event(), asyncio.Event()

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        asked.set()
        await go.wait()
        await app(scope, receive, send)

    async with stoppable(slow) as (port, stop):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(handshake())
        await asked.wait()
        stop()
        await asyncio.sleep(0.3)
        go.set()
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        assert await reader.readexactly(4) == frame(8, struct.pack("!H", 1001), masked=False)
        writer.write(frame(8, struct.pack("!H", 1001)))
        assert await reader.read() == b""
        writer.close()


async def test_a_shutdown_that_takes_too_long_drops_the_socket() -> None:
    async def deaf(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPTED)
        await asyncio.sleep(60)

    async with stoppable(deaf, timeout_graceful_shutdown=1) as (port, stop), raw_client(port) as client:
        stop()
        assert await client.read_close() == (1001, "")
        async with asyncio.timeout(3.0):
            assert await client.read_rest() == b""


# -- tools


async def pour(writer: asyncio.StreamWriter, data: bytes, times: int) -> None:
    for _ in range(times):
        writer.write(data)
        await writer.drain()


def quick_closing(interval: float, timeout: float) -> Timing:
    return Timing(interval, timeout, closing=0.2)


def drop_all(connection: socket.socket) -> None:
    """Attach a filter of one instruction, `ret 0`, to a socket: its kernel sees no packet for it any more."""
    instruction = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0))
    program = struct.pack("HP", 1, ctypes.addressof(instruction))
    connection.setsockopt(socket.SOL_SOCKET, 26, program)  # SO_ATTACH_FILTER

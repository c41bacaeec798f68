"""Messages and closes of an open WebSocket on the gateway's listener."""

from __future__ import annotations

import asyncio
import json
import struct

import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket
from websockets.asyncio.client import connect

from tests.support.sockets import serving
from tests.support.waiting import HANG_TIMEOUT
from tests.support.websocket_apps import ACCEPTED, Recorder, raising, sending
from tests.support.websocket_client import frame, raw_client


async def test_messages_reach_the_app_and_return() -> None:
    app = Recorder()
    async with serving(app) as port, connect(f"ws://127.0.0.1:{port}/", proxy=None, max_size=None) as client:
        for message in ("text", "", b"bytes", b"", "é" * 100_000):
            await client.send(message)
            assert await client.recv() == message
    await app.end()
    assert app.received[1] == {"type": "websocket.receive", "text": "text"}
    assert app.received[3] == {"type": "websocket.receive", "bytes": b"bytes"}


async def test_starlette_websockets_are_served() -> None:
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
async def test_clients_close_code_reaches_the_app(code: int, reason: str) -> None:
    app = Recorder()
    async with serving(app) as port:
        async with connect(f"ws://127.0.0.1:{port}/", proxy=None) as client:
            await client.close(code, reason)
        assert await app.end() == {"type": "websocket.disconnect", "code": code, "reason": reason}


async def test_close_without_a_code_is_1005_and_a_lost_one_1006() -> None:
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
    ("code", "reason", "expected"),
    [
        (1000, "", (1000, "")),
        (1005, "", (1005, "")),
        (4000, "bye", (4000, "bye")),
        (1011, "é" * 100, (1011, "é" * 61)),
        (1006, "", (1011, "")),
        (999, "", (1011, "")),
    ],
)
async def test_apps_close_reaches_the_client(code: int, reason: str, expected: tuple[int, str]) -> None:
    app = sending(ACCEPTED, {"type": "websocket.close", "code": code, "reason": reason})
    async with serving(app) as port, raw_client(port) as client:
        assert await client.read_close() == expected
        client.writer.write(frame(8, struct.pack("!H", 1000)))
        assert await client.read_rest() == b""


@pytest.mark.parametrize(("app", "code"), [(sending(ACCEPTED), 1000), (raising(ValueError(), ACCEPTED), 1011)])
async def test_returning_app_closes_an_open_socket(app: ASGIApp, code: int) -> None:
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
async def test_protocol_violation_is_closed_with_its_code(data: bytes, code: int) -> None:
    app = Recorder()
    async with serving(app, ws_max_size=1024) as port, raw_client(port) as client:
        client.writer.write(frame(1, b"before"))
        client.writer.write(data)
        await client.writer.drain()
        assert (await client.read_close())[0] == code
        client.writer.write(b"\x00" * 300_000)
        async with asyncio.timeout(HANG_TIMEOUT):
            assert await client.read_rest() == b""
        assert (await app.end())["code"] == 1006
        assert app.received[1] == {"type": "websocket.receive", "text": "before"}


async def test_ping_is_answered() -> None:
    async with serving(Recorder()) as port, raw_client(port) as client:
        client.writer.write(frame(9, b"are you there"))
        assert await client.read_frame() == (10, b"are you there")


@pytest.mark.parametrize(
    ("ending", "answer"),
    [
        (frame(8), frame(8, masked=False)),
        (frame(3), frame(8, b"\x03\xea", masked=False)),
        (b"", b""),
    ],
)
@pytest.mark.parametrize("half_closes", [True, False])
async def test_messages_before_the_clients_close_are_answered(half_closes: bool, ending: bytes, answer: bytes) -> None:
    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPTED)
        while (message := await receive())["type"] == "websocket.receive":
            await asyncio.sleep(0.05)
            await send({**message, "type": "websocket.send"})

    async with serving(slow) as port, raw_client(port) as client:
        client.writer.write(frame(1, b"one") + frame(1, b"two") + ending)
        if half_closes or not ending:
            client.writer.write_eof()
        assert await client.read_rest() == frame(1, b"one", masked=False) + frame(1, b"two", masked=False) + answer


async def test_client_close_does_not_wait_for_an_idle_app() -> None:
    async def deaf(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPTED)
        await asyncio.sleep(3600)

    async with serving(deaf) as port, raw_client(port) as client:
        client.writer.write(frame(1, b"hello") + frame(8))
        async with asyncio.timeout(HANG_TIMEOUT):
            assert await client.read_rest() == frame(8, masked=False)


@pytest.mark.parametrize(
    "messages",
    [
        [{"type": "websocket.send", "text": "x"}],
        [ACCEPTED, ACCEPTED],
        [{"type": "websocket.http.response.start", "status": 400}, ACCEPTED],
    ],
)
async def test_message_in_the_wrong_state_raises_in_the_app(messages: list[Message]) -> None:
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


async def test_send_to_a_lost_client_is_an_os_error() -> None:
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
        async with asyncio.timeout(HANG_TIMEOUT):
            await raised.wait()

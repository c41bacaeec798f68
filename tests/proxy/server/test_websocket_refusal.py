"""Answers to a WebSocket handshake that do not accept it."""

from __future__ import annotations

import asyncio
import json
from urllib.parse import urlsplit

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from proxy.gateway.errors import AnswerTimeout
from proxy.server.websocket import MAX_EARLY_BYTES
from proxy.types import RawHeaders
from tests.support.sockets import exchange, serving, threaded
from tests.support.waiting import HANG_TIMEOUT
from tests.support.websocket_apps import raising, sending
from tests.support.websocket_client import frame, handshake, raw_client


async def test_refusal_is_sent_verbatim() -> None:
    start = {
        "type": "websocket.http.response.start",
        "status": 418,
        "headers": [(b"X-Powered-By", b"Express"), (b"content-length", b"2"), (b"connection", b"keep-alive")],
    }
    app = sending(start, {"type": "websocket.http.response.body", "body": b"no"})
    async with serving(app) as port:
        answer = await exchange(port, handshake())
    assert answer == (
        b"HTTP/1.1 418 I'm a Teapot\r\nx-powered-by: Express\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno"
    )


async def test_refusal_without_a_length_gets_one_or_is_chunked() -> None:
    start = {"type": "websocket.http.response.start", "status": 403}
    whole = sending(start, {"type": "websocket.http.response.body", "body": b"no"})
    parts = sending(
        start,
        {"type": "websocket.http.response.body", "body": b"no", "more_body": True},
        {"type": "websocket.http.response.body", "body": b"", "more_body": True},
        {"type": "websocket.http.response.body"},
    )
    async with serving(whole) as port:
        assert (await exchange(port, handshake())).endswith(b"\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno")
    async with serving(parts) as port:
        assert (await exchange(port, handshake())).endswith(b"connection: close\r\n\r\n2\r\nno\r\n0\r\n\r\n")


async def test_interrupted_refusal_has_no_last_chunk() -> None:
    start = {"type": "websocket.http.response.start", "status": 403}
    app = sending(start, {"type": "websocket.http.response.body", "body": b"no", "more_body": True})
    async with serving(app) as port:
        assert (await exchange(port, handshake())).endswith(b"2\r\nno\r\n")


async def test_long_refusal_waits_for_a_slow_client() -> None:
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


async def test_disconnect_ends_a_long_refusal() -> None:
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
        async with asyncio.timeout(HANG_TIMEOUT):
            await ended.wait()


REFUSAL = "websocket.http.response"


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (101, []),
        (200.5, []),
        (403, [(b"x", b"a\r\nset-cookie: b")]),
        (403, [(b"x\n", b"a")]),
        (403, [(b"content-length", b"1"), (b"content-length", b"2")]),
    ],
)
async def test_invalid_refusal_is_a_500(status: int, headers: RawHeaders) -> None:
    start = {"type": f"{REFUSAL}.start", "status": status, "headers": headers}
    async with serving(sending(start, {"type": f"{REFUSAL}.body", "body": b"no"})) as port:
        answer = await exchange(port, handshake())
    assert answer.startswith(b"HTTP/1.1 500 ")
    assert b"gateway_failed" in answer


@pytest.mark.parametrize(
    ("status", "headers", "sent"),
    [
        (403, [(b"content-length", b"1")], b"n"),
        (403, [(b"content-length", b"9")], b"no"),
        (403, [(b"transfer-encoding", b"chunked")], b"no"),
        (204, [], b""),
    ],
)
@pytest.mark.parametrize("more", [False, True])
async def test_body_of_a_refusal_has_the_announced_framing(
    status: int, headers: RawHeaders, sent: bytes, more: bool
) -> None:
    start = {"type": f"{REFUSAL}.start", "status": status, "headers": headers}
    async with serving(sending(start, {"type": f"{REFUSAL}.body", "body": b"no", "more_body": more})) as port:
        head, _, body = (await exchange(port, handshake())).partition(b"\r\n\r\n")
    assert head.count(b"content-length") + head.count(b"transfer-encoding") == (status != 204)
    assert body == (b"2\r\nno\r\n" if b"chunked" in head else sent)


async def test_close_before_an_acceptance_is_403() -> None:
    async with serving(sending({"type": "websocket.close"})) as port:
        answer = await exchange(port, handshake())
    assert answer == b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


@pytest.mark.parametrize(
    ("app", "status", "code"),
    [
        (raising(ValueError("x")), 500, "gateway_failed"),
        (raising(AnswerTimeout()), 504, "legacy_timeout"),
        (sending(), 500, "gateway_failed"),
    ],
)
async def test_failing_app_is_answered_with_its_status(
    app: ASGIApp, status: int, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(app) as port:
        with pytest.raises(InvalidStatus) as caught:
            await connect(f"ws://127.0.0.1:{port}/", proxy=None)
    assert caught.value.response.status_code == status
    assert json.loads(bytes(caught.value.response.body))["error"] == code
    assert ("the app failed" in caplog.text) == (code == "gateway_failed" and "ValueError" in caplog.text)


@pytest.mark.parametrize("is_early", [True, False], ids=["with_the_head", "after_the_answer"])
@pytest.mark.parametrize(
    ("request_head", "status"),
    [(handshake(), b"403"), (handshake(key="short"), b"400")],
    ids=["by_the_app", "by_the_server"],
)
async def test_refused_client_that_is_sending_frames_is_not_reset(
    request_head: bytes, status: bytes, is_early: bool
) -> None:
    frames = frame(2, bytes(64 * MAX_EARLY_BYTES))
    with threaded(sending({"type": "websocket.close"}), "off") as url:
        reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(url).port)
        try:
            writer.write(request_head + frames if is_early else request_head)
            async with asyncio.timeout(HANG_TIMEOUT):
                answer = await reader.read()
                if not is_early:
                    writer.write(frames)
                await writer.drain()
                assert answer.startswith(b"HTTP/1.1 " + status)
        finally:
            writer.close()
            await writer.wait_closed()

"""Native apps that break ASGI in random ways: what their clients, the next request and the access log see."""

from __future__ import annotations

import asyncio
import random
from functools import partial
from typing import Final

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from proxy.config.loading import parse
from proxy.gateway.gateway import Gateway
from proxy.gateway.request_record import RequestRecord
from proxy.gateway.snapshot import RoutingSnapshot
from tests.conformance.answers import Answer, read_answers
from tests.support.http_app import connected, limit
from tests.support.profile import IS_QUICK
from tests.support.random_apps import ScriptedApp, random_steps
from tests.support.random_seed import seeds
from tests.support.running_gateway import Backend
from tests.support.sockets import exchange, serving
from tests.support.waiting import until
from tests.support.websocket_client import handshake

APPS: Final = 150 if IS_QUICK else 1500
CONFIG: Final = """
legacy: {url: http://x}
native: a:b
routes:
  - {name: read, match: GET /a, native: 100%}
  - {name: rescued, match: GET /b, native: 100%, on_native_error: legacy}
"""


def faults(record: RequestRecord, answers: list[Answer], number: bytes, may_close: bool) -> list[str]:
    """Return what is wrong with the answers to an app's request and to the one after it."""
    if not answers:
        return ["no answer"]
    first, *others = answers
    connection = (first.value(b"connection") or b"").lower()
    problems: list[str] = []
    if first.status != record.status:
        problems.append(f"logged as {record.status}")
    if first.value(b"x-served-by") is None:
        problems.append("without x-served-by")
    if any(first.value(name) is not None for name in (b"keep-alive", b"proxy-connection", b"trailer")):
        problems.append("with a header about another connection")
    if [answer.body for answer in others] not in ([], [b"after-" + number]):
        problems.append("a wrong second answer")
    if not others and first.complete and b"close" not in connection and not may_close:
        problems.append("no second answer")
    return problems


def has_records(records: list[RequestRecord], number: int) -> bool:
    return len(records) >= number


@pytest.mark.seeded
@pytest.mark.parametrize("seed", seeds(2))
async def test_random_native_app_spoils_no_answer_and_no_record(seed: int) -> None:
    rng = random.Random(seed)
    app, legacy = ScriptedApp(), Backend("legacy")
    records: list[RequestRecord] = []
    plan = RoutingSnapshot.of(parse(CONFIG, {}, "test.yaml"), legacy, app)
    wrong = []
    async with serving(Gateway(plan, [records.append])) as port:
        for index in range(APPS):
            number = b"%d" % index
            app.scripts[number] = steps = random_steps(rng)
            if rng.random() < 0.3:
                app.catches.add(number)
            method, path = rng.choice(((b"GET", b"/a"), (b"HEAD", b"/a"), (b"GET", b"/b")))
            request = b"%b %b?%b HTTP/1.1\r\nHost: a\r\n\r\n" % (method, path, number)
            after = b"GET /a?after-%b HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" % number
            records.clear()
            received = await exchange(port, request + after)
            answers = read_answers(received, [method], closed=True)
            await until(partial(has_records, records, max(1, len(answers))))
            may_close = records[0].failure is not None or number in app.catches
            problems = faults(records[0], answers, number, may_close)
            wrong += [(index, method, path, steps, received[:200], fault) for fault in problems]
    assert not wrong


@pytest.mark.parametrize("is_gone", [False, True])
async def test_unanswered_websocket_is_a_failure_unless_client_left(is_gone: bool) -> None:
    left = asyncio.Event()

    async def silent(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        if is_gone:
            left.set()
            await receive()

    config = "{legacy: {url: http://x}, native: a:b, routes: [{name: s, match: WS /s, native: 100%}]}"
    plan = RoutingSnapshot.of(parse(config, {}, "test.yaml"), Backend("legacy"), silent)
    records: list[RequestRecord] = []
    async with serving(Gateway(plan, [records.append])) as port, connected(port) as (reader, writer), limit():
        writer.write(handshake("/s"))
        if is_gone:
            await left.wait()
            writer.transport.abort()
        else:
            assert (await reader.read()).startswith(b"HTTP/1.1 500 ")
        await until(lambda: records)
    assert (records[0].status, records[0].failure) == ((499, None) if is_gone else (500, "native_failed"))


async def sends(socket: WebSocket) -> None:
    """Send until that fails."""
    await socket.accept()
    while True:
        await socket.send_text("x")
        await asyncio.sleep(0)


async def receives(socket: WebSocket) -> None:
    """Receive until that fails."""
    await socket.accept()
    while True:
        await socket.receive_text()


async def raw(scope: Scope, receive: Receive, send: Send) -> None:
    """Send until that fails, without a framework."""
    await send({"type": "websocket.accept"})
    while True:
        await send({"type": "websocket.send", "text": "x"})
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    "app",
    [raw, Starlette(routes=[WebSocketRoute("/s", sends)]), Starlette(routes=[WebSocketRoute("/s", receives)])],
    ids=["raw", "starlette_sends", "starlette_receives"],
)
async def test_client_that_leaves_a_websocket_is_no_failure(app: ASGIApp, caplog: pytest.LogCaptureFixture) -> None:
    config = "{legacy: {url: http://x}, native: a:b, routes: [{name: s, match: WS /s, native: 100%}]}"
    records: list[RequestRecord] = []
    plan = RoutingSnapshot.of(parse(config, {}, "test.yaml"), Backend("legacy"), app)
    async with serving(Gateway(plan, [records.append])) as port, connected(port) as (reader, writer), limit():
        writer.write(handshake("/s"))
        await reader.readuntil(b"\r\n\r\n")
        writer.transport.abort()
        await until(lambda: records)
    assert (records[0].status, records[0].failure) == (101, None)
    assert not caplog.messages


@pytest.mark.parametrize("ends", ["abort", "malformed"])
async def test_client_that_leaves_an_upload_is_no_failure(ends: str, caplog: pytest.LogCaptureFixture) -> None:
    begun = asyncio.Event()

    async def upload(request: Request) -> Response:
        begun.set()
        return Response(await request.body())

    config = "{legacy: {url: http://x}, native: a:b, routes: [{name: u, match: POST /u, native: 100%}]}"
    records: list[RequestRecord] = []
    app = Starlette(routes=[Route("/u", upload, methods=["POST"])])
    plan = RoutingSnapshot.of(parse(config, {}, "test.yaml"), Backend("legacy"), app)
    async with serving(Gateway(plan, [records.append])) as port, connected(port) as (reader, writer), limit():
        writer.write(b"POST /u HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n")
        await begun.wait()
        if ends == "abort":
            writer.transport.abort()
        else:
            writer.write(b"no chunk\r\n")
            assert (await reader.read()).startswith(b"HTTP/1.1 400 ")
        await until(lambda: records)
    assert (records[0].status, records[0].failure) == (499, None)
    assert not caplog.messages

"""Ends of a conversation: the closes of Node's `ws` beside those of an ASGI app."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from starlette.types import Receive, Scope, Send
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from proxy.backends.legacy.websocket import WebSocketUpstream
from proxy.config.loading import parse
from proxy.reports.events import ComparisonEvent, Entry, SkippedEvent
from proxy.shadow.backends import ShadowBackends
from proxy.shadow.conversation_comparator import ConversationComparator
from proxy.shadow.messages import CompareConversation, Configure
from tests.support.conversations import ConversationRecorder, mirrored
from tests.support.shadowed_requests import CONNECTION
from tests.support.sockets import serving
from tests.support.waiting import HANG_TIMEOUT
from tests.support.websocket_legacy import Legacy, legacy_server

pytestmark = pytest.mark.asyncio(loop_scope="module")

ROUTING = (
    "{legacy: {url: 'http://127.0.0.1:9'}, shadow: {websocket: {frame_timeout: 100ms}},"
    " routes: [{name: stream, match: WS /transcription-stream}]}"
)


class EchoApp:
    """Echoes, and closes after a number of messages with a code; never after None."""

    def __init__(self, after: int | None, code: int = 1000, reason: str = "") -> None:
        self._after, self._code, self._reason = after, code, reason

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["extensions"]["proxy.dry_run"]["report"]([])
        await receive()
        await send({"type": "websocket.accept"})
        received = 0
        while (message := await receive())["type"] == "websocket.receive":
            received += 1
            if received == self._after:
                await send({"type": "websocket.close", "code": self._code, "reason": self._reason})
                return
            if not message["text"].startswith("!"):
                await send({"type": "websocket.send", "text": message["text"]})


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def legacy() -> AsyncIterator[Legacy]:
    async with legacy_server() as server:
        yield server


async def compare(legacy: Legacy, app: EchoApp, *commands: object) -> set[tuple[str, str]]:
    """Converse with legacy, replay it on an app, and return the differences."""
    event = await entry(legacy, app, *commands)
    assert isinstance(event, ComparisonEvent), event
    return {(one.field, one.kind) for one in event.verdict.differences}


async def entry(legacy: Legacy, app: EchoApp, *commands: object) -> Entry:
    sink = ConversationRecorder()
    async with serving(mirrored(WebSocketUpstream(f"http://127.0.0.1:{legacy.port}"), sink)) as port:
        url = f"ws://127.0.0.1:{port}/transcription-stream"
        async with connect(url, compression=None, proxy=None) as socket:
            await socket.send("hello")
            await socket.recv()
            for command in commands:
                await socket.send("!" + json.dumps(command))
            if commands:  # each list of commands ends the connection
                with contextlib.suppress(ConnectionClosed):
                    async for _ in socket:
                        pass
        raw = await sink.conversation()
    backends = ShadowBackends(app)  # type: ignore[arg-type]
    await backends.apply_config(Configure(parse(ROUTING, {}), Path("nowhere")))
    events: list[Entry] = []
    job = CompareConversation(1, "stream", CONNECTION, raw, time.monotonic() + HANG_TIMEOUT)
    await ConversationComparator(backends, events.append).compare(job)
    (event,) = events
    return event


@pytest.mark.parametrize(
    ("app", "expected"),
    [
        (EchoApp(2, 4001, "bye"), set()),
        (EchoApp(2, 4002, "bye"), {("close.code", "value")}),
        (EchoApp(2, 4001, "ciao"), {("close.reason", "value")}),
        (EchoApp(2), {("close.code", "value"), ("close.reason", "value")}),
        (EchoApp(None), {("close", "missing")}),
    ],
    ids=["the same", "another code", "another reason", "without either", "never"],
)
async def test_close_by_the_server(legacy: Legacy, app: EchoApp, expected: set[tuple[str, str]]) -> None:
    assert await compare(legacy, app, ["close", 4001, "bye"]) == expected


@pytest.mark.parametrize(
    ("app", "expected"),
    [(EchoApp(None), set()), (EchoApp(1, 1000), {("close", "extra")})],
    ids=["never", "at once"],
)
async def test_close_by_the_client(legacy: Legacy, app: EchoApp, expected: set[tuple[str, str]]) -> None:
    assert await compare(legacy, app) == expected


async def test_legacy_that_shuts_down_is_not_compared(legacy: Legacy) -> None:
    skipped = SkippedEvent("stream", "legacy", "backend_unavailable")
    assert await entry(legacy, EchoApp(None), ["close", 1001, ""]) == skipped


async def test_connection_that_the_server_drops(legacy: Legacy) -> None:
    assert await compare(legacy, EchoApp(2, 1000), ["terminate"]) == {("close.code", "value")}

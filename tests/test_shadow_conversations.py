"""Faults planted in native's WebSocket, each named by the shadow, none invented.

Real parts: the demo's legacy on Node behind the gateway's listener and relay, a client of `websockets`, the native app.
One conversation is mirrored; native, with a fault in front of it, replays it.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import pytest
import pytest_asyncio
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from websockets.asyncio.client import connect

from handlers.app import create_app
from handlers.settings import Settings
from proxy.backends.legacy.websocket import WebSocketUpstream
from proxy.comparison.conversation import Conversation, RawConversation, read_conversation
from proxy.config.loading import parse
from proxy.reports.events import ComparisonEvent, Entry
from proxy.shadow.backends import ShadowBackends
from proxy.shadow.conversation_comparator import ConversationComparator
from proxy.shadow.messages import CompareConversation, Configure
from tests.support.backend_pair import RunningBackend, legacy_backend
from tests.support.backends import NOWHERE, SECRET
from tests.support.conversations import ConversationRecorder, mirrored
from tests.support.patient_timings import PATIENT
from tests.support.shadowed_requests import CONNECTION
from tests.support.sockets import serving
from tests.support.waiting import HANG_TIMEOUT

pytestmark = pytest.mark.asyncio(loop_scope="module")

CONTRACTS: Final = Path(__file__).parents[1]
CHUNK: Final = {"type": "audio_chunk", "audioData": "GkXfo0hFQURFUkdG" * 200}
CONVERSATION: Final[tuple[tuple[float, Any, int], ...]] = (
    (0.0, "this is not json", 2),
    (0.0, {"type": "start_recording", "consultationId": "C-1"}, 3),
    *((0.0, CHUNK, 3) for _ in range(8)),
    (0.0, CHUNK, 4),
    (2.2, {"type": "stop_recording"}, 6),
)
"""The pause before each of the client's messages, and how many of the server's it then waits for."""


class FaultyApp:
    """The native app behind a fault."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.fault: Fault = unchanged

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.fault(self._app, scope, receive, send)


Fault = Callable[[ASGIApp, Scope, Receive, Send], Awaitable[None]]


async def unchanged(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    await app(scope, receive, send)


@dataclass(frozen=True)
class ConversationPair:
    """A conversation with legacy, and the native app that replays it."""

    raw: RawConversation
    native: FaultyApp
    backends: ShadowBackends

    async def compare(self) -> ComparisonEvent:
        events: list[Entry] = []
        comparator = ConversationComparator(self.backends, events.append)
        await comparator.compare(self._job())
        (event,) = events
        assert isinstance(event, ComparisonEvent), event
        return event

    async def replay(self, legacy: Conversation) -> ComparisonEvent:
        event = await ConversationComparator(self.backends, lambda _: None).replay(self._job(), legacy)
        assert isinstance(event, ComparisonEvent), event
        return event

    def _job(self) -> CompareConversation:
        return CompareConversation(1, "stream", CONNECTION, self.raw, time.monotonic() + HANG_TIMEOUT)


async def converse(url: str) -> None:
    async with connect(url, compression=None, proxy=None) as socket:
        received = 1
        await socket.recv()
        for pause, message, expected in CONVERSATION:
            await asyncio.sleep(pause)
            await socket.send(message if isinstance(message, str) else json.dumps(message))
            while received < expected:
                await socket.recv()
                received += 1
        await asyncio.sleep(0.1)


async def capture(legacy: RunningBackend) -> RawConversation:
    sink = ConversationRecorder()
    upstream = WebSocketUpstream(f"http://{legacy.origin.authority}")
    async with serving(mirrored(upstream, sink)) as port:
        await converse(f"ws://127.0.0.1:{port}/transcription-stream")
        return await sink.conversation()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pair(mongodb_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ConversationPair]:
    async with legacy_backend(mongodb_url, tmp_path_factory.mktemp("conversations") / "legacy.log") as legacy:
        raw = await capture(legacy)
    settings = Settings.load(
        mongodb_url=mongodb_url,
        database_name="conversations",
        jwt_secret_key=SECRET,
        openai_api_key="sk-test",
        openai_base_url=NOWHERE,
        nhs_auth_url=NOWHERE,
        nhs_api_url=NOWHERE,
    )
    app = create_app(settings, PATIENT)
    async with app.router.lifespan_context(app):
        native = FaultyApp(app)
        backends = ShadowBackends(native)  # type: ignore[arg-type]
        await backends.apply_config(Configure(parse(_routing(), {}), CONTRACTS))
        yield ConversationPair(raw, native, backends)
        backends.close()


def _routing() -> str:
    return (
        f"{{legacy: {{url: '{NOWHERE}'}}, shadow: {{websocket: {{frame_timeout: 150ms}}}},"
        " routes: [{name: stream, match: WS /transcription-stream}]}"
    )


def sending(*replaced: int, by: Callable[[Any], list[Any]]) -> Fault:
    """Return a fault that sends other messages for those of some numbers; `by` gets the value of one."""

    async def fault(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        number = -1

        async def change(message: Message) -> None:
            nonlocal number
            number += message["type"] == "websocket.send"
            if message["type"] != "websocket.send" or number not in replaced:
                await send(message)
                return
            for each in by(json.loads(message["text"])):
                await send(each if "type" in each and each["type"].startswith("websocket.") else text(each))

        await app(scope, receive, change)

    return fault


def held_until(held: int, received: int) -> Fault:
    """Return a fault that sends a message only once the app has received so many."""

    async def fault(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        sent, received_count, waiting = -1, -1, list[Message]()

        async def count() -> Message:
            nonlocal received_count
            message = await receive()
            received_count += 1
            if received_count == received:
                for each in waiting:
                    await send(each)
            return message

        async def hold(message: Message) -> None:
            nonlocal sent
            sent += message["type"] == "websocket.send"
            if sent == held and message["type"] == "websocket.send":
                waiting.append(message)
            else:
                await send(message)

        await app(scope, count, hold)

    return fault


def closing(after: int, code: int, reason: str = "") -> Fault:
    """Return a fault that closes after a number of messages."""
    return sending(after, by=lambda value: [value, {"type": "websocket.close", "code": code, "reason": reason}])


def failing(at: int) -> Fault:
    def by(value: Any) -> list[Any]:
        raise RuntimeError("planted")

    return sending(at, by=by)


async def refusing(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    scope["extensions"]["proxy.dry_run"]["report"]([])
    await receive()
    await send({"type": "websocket.http.response.start", "status": 401, "headers": []})
    await send({"type": "websocket.http.response.body", "body": b"no"})


async def with_subprotocol(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    async def change(message: Message) -> None:
        await send({**message, "subprotocol": "bearer"} if message["type"] == "websocket.accept" else message)

    await app(scope, receive, change)


async def silent(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    async def drop(message: Message) -> None:
        if message["type"] != "websocket.send":
            await send(message)

    await app(scope, receive, drop)


def text(value: Any) -> Message:
    return {"type": "websocket.send", "text": json.dumps(value, ensure_ascii=False, separators=(",", ":"))}


def changed(**fields: Any) -> Callable[[Any], list[Any]]:
    return lambda value: [{**value, **fields}]


def renamed(value: Any) -> list[Any]:
    return [{("phrase" if name == "message" else name): each for name, each in value.items()}]


async def swapping(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """Send the last two messages in the other order."""
    held: list[Any] = []

    def by(value: Any) -> list[Any]:
        held.append(value)
        return held[::-1] if len(held) == 2 else []

    await sending(FINAL, STOPPED, by=by)(app, scope, receive, send)


async def hurrying(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """Send the end of the recording before the client has stopped it."""

    def by(value: Any) -> list[Any]:
        final = {**value, "isPartial": False, "isFinal": True}
        return [value, final, {"type": "recording_stopped", "message": "Recording stopped"}]

    await sending(PARTIAL, FINAL, STOPPED, by=lambda value: by(value) if value.get("isPartial") else [])(
        app, scope, receive, send
    )


STARTED, PARTIAL, FINAL, STOPPED = 2, 3, 4, 5
FRAME: Final = "frames.*"
FAULTS: Final[dict[str, tuple[Fault, set[tuple[str, str]]]]] = {
    "none": (unchanged, set()),
    "a missing frame": (sending(STARTED, by=lambda value: []), {(FRAME, "missing")}),
    "the last frame missing": (sending(STOPPED, by=lambda value: []), {(FRAME, "missing")}),
    "no frames": (silent, {(FRAME, "missing")}),
    "an extra frame": (sending(STARTED, by=lambda value: [{"type": "notice"}, value]), {(FRAME, "extra")}),
    "an extra last frame": (sending(STOPPED, by=lambda value: [value, {"type": "notice"}]), {(FRAME, "extra")}),
    "a frame twice": (sending(STOPPED, by=lambda value: [value, value]), {(FRAME, "extra")}),
    "a renamed field": (
        sending(STARTED, by=renamed),
        {(f"{FRAME}.message", "missing"), (f"{FRAME}.phrase", "extra")},
    ),
    "a missing field": (
        sending(FINAL, by=lambda value: [{name: one for name, one in value.items() if name != "isFinal"}]),
        {(f"{FRAME}.isFinal", "missing")},
    ),
    "an extra field": (sending(FINAL, by=changed(words=4)), {(f"{FRAME}.words", "extra")}),
    "another type of a field": (sending(PARTIAL, by=changed(isPartial="true")), {(f"{FRAME}.isPartial", "type")}),
    "another value": (sending(STARTED, by=changed(consultationId="C-2")), {(f"{FRAME}.consultationId", "value")}),
    "another type of frame": (sending(STARTED, by=changed(type="started")), {(f"{FRAME}.type", "value")}),
    "names in another order": (
        sending(STARTED, by=lambda value: [dict(reversed(value.items()))]),
        {(FRAME, "order")},
    ),
    "another order": (swapping, {(FRAME, "order")}),
    "an id of another form": (sending(0, by=changed(connectionId="abc")), {(f"{FRAME}.connectionId", "value")}),
    "a date of another form": (
        sending(PARTIAL, by=lambda value: [{**value, "timestamp": value["timestamp"].replace("Z", "+00:00")}]),
        {(f"{FRAME}.timestamp", "format")},
    ),
    "JSON spelled differently": (
        sending(STARTED, by=lambda value: [{"type": "websocket.send", "text": json.dumps(value)}]),
        {(FRAME, "format")},
    ),
    "not JSON": (
        sending(STARTED, by=lambda value: [{"type": "websocket.send", "text": "started"}]),
        {(FRAME, "type")},
    ),
    "binary in place of text": (
        sending(STARTED, by=lambda value: [{"type": "websocket.send", "bytes": text(value)["text"].encode()}]),
        {(FRAME, "type")},
    ),
    "a frame too late": (held_until(STARTED, 5), {(f"{FRAME}.after", "order")}),
    "frames too early": (hurrying, {(f"{FRAME}.after", "order")}),
    "closes early": (closing(STARTED, 1000), {("close", "extra")}),
    "closes at the end": (closing(STOPPED, 1000), {("close", "extra")}),
    "fails": (failing(STARTED), {("close", "extra")}),
    "fails in the background": (failing(STOPPED), {(FRAME, "missing")}),
    "a refused handshake": (refusing, {("status", "status")}),
    "another subprotocol": (with_subprotocol, {("header.sec-websocket-protocol", "extra")}),
    "another text of the model": (sending(PARTIAL, by=changed(text="Zoë has a cough.")), set()),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_planted_fault_is_named_alone(pair: ConversationPair, fault: str) -> None:
    pair.native.fault, expected = FAULTS[fault]
    event = await pair.compare()
    assert {(one.field, one.kind) for one in event.verdict.differences} == expected
    assert event.verdict.is_mismatch is bool(expected)


async def test_late_text_of_legacy_is_declared(pair: ConversationPair) -> None:
    # Legacy transcribes the parts and the whole at once, native one after the other.
    pair.native.fault = unchanged
    served = read_conversation(pair.raw, 100)
    before, partial, after = served.received[:PARTIAL], served.received[PARTIAL], served.received[FINAL:]
    late = replace(partial, after=after[-1].after, at=after[-1].at)
    overtaken = replace(served, received=(*before, *after, late))
    event = await pair.replay(overtaken)
    assert (event.verdict.name, event.verdict.declared) == ("declared", ("transcriptions-in-order",))

"""The conversation on `/api/v1/transcription-stream`, and its access control."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from starlette.types import Message
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from handlers.app import create_app
from handlers.container import ServiceTimings
from handlers.v1.tokens import Tokens
from tests.support.backends import SECRET, settings_for
from tests.support.mongodb_relay import Relay
from tests.support.outside_services import Answer, Script
from tests.support.v1_client import NOBODY, Person, Surface, v1_surface
from tests.support.waiting import HANG_TIMEOUT, until

pytestmark = pytest.mark.asyncio(loop_scope="module")

AUDIO = base64.b64encode(b"x" * 600).decode()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def surface(mongodb_url: str) -> AsyncIterator[Surface]:
    async with v1_surface(mongodb_url, audio_limit=4000) as opened:
        yield opened


@contextlib.asynccontextmanager
async def talking(surface: Surface, query: str = "", **how: Any) -> AsyncIterator[ClientConnection]:
    async with connect(
        f"ws://127.0.0.1:{surface.port}/api/v1/transcription-stream{query}", proxy=None, **how
    ) as socket:
        yield socket


@contextlib.asynccontextmanager
async def conversing(person: Person) -> AsyncIterator[ClientConnection]:
    """Open a conversation, and receive its greeting."""
    async with talking(person.surface, additional_headers=person.headers) as socket:
        assert (await receive_frame(socket))["type"] == "connection"
        yield socket


async def say(socket: ClientConnection, kind: str, **fields: object) -> None:
    await socket.send(json.dumps({"type": kind, **fields}))


async def receive_frame(socket: ClientConnection) -> dict[str, Any]:
    async with asyncio.timeout(HANG_TIMEOUT):
        frame: dict[str, Any] = json.loads(await socket.recv())
        return frame


async def test_recording_returns_text(surface: Surface) -> None:
    amara = surface.person()
    consultation = (await amara.start())["id"]
    async with conversing(amara) as socket:
        await say(socket, "audio_chunk", audioData=AUDIO)
        await say(socket, "start_recording", consultationId=consultation)
        assert await receive_frame(socket) == {
            "type": "recording_started",
            "consultationId": consultation,
            "message": "Recording started - Speak now!",
        }
        for _ in range(5):
            await say(socket, "audio_chunk", audio_data=AUDIO)
        await socket.send(json.dumps({"type": "stop_recording"}).encode(), text=False)
        final = await receive_frame(socket)
        assert (final["type"], final["isPartial"], final["isFinal"]) == ("transcript", False, True)
        assert final["text"].startswith("heard ")
        assert final["timestamp"].endswith("Z")
        assert await receive_frame(socket) == {"type": "recording_stopped", "message": "Recording stopped"}


async def test_partial_text_arrives_during_the_recording(surface: Surface) -> None:
    amara = surface.person()
    consultation = (await amara.start())["id"]
    async with conversing(amara) as socket:
        await say(socket, "start_recording", consultationId=consultation)
        await receive_frame(socket)
        for _ in range(9):
            await say(socket, "audio_chunk", audioData=base64.b64encode(b"x" * 10).decode())
        partial = await receive_frame(socket)
        assert (partial["type"], partial["isPartial"]) == ("transcript", True)
        assert "isFinal" not in partial


async def test_recording_over_the_limit_is_reported(surface: Surface) -> None:
    amara = surface.person()
    consultation = (await amara.start())["id"]
    async with conversing(amara) as socket:
        await say(socket, "start_recording", consultationId=consultation)
        await receive_frame(socket)
        for _ in range(7):
            await say(socket, "audio_chunk", audioData=AUDIO)
        assert (await receive_frame(socket))["message"] == "Recording too long"


@pytest.mark.parametrize(
    "frame",
    [
        "",
        "{",
        "null",
        '{"type": "dance"}',
        '{"type": "audio_chunk"}',
        '{"type": "audio_chunk", "audioData": "!"}',
        '{"type": "audio_chunk", "audioData": 7}',
        '{"type": "start_recording", "consultationId": "x"}',
        '{"type": "stop_recording", "more": 1}',
    ],
)
async def test_invalid_frame_is_answered_with_an_error(surface: Surface, frame: str) -> None:
    async with conversing(surface.person()) as socket:
        await socket.send(frame)
        assert await receive_frame(socket) == {"type": "error", "message": "Invalid message format"}


async def test_foreign_consultation_is_not_recorded(surface: Surface) -> None:
    others = (await surface.person().start())["id"]
    async with conversing(surface.person()) as socket:
        for identity in (others, NOBODY):
            await say(socket, "start_recording", consultationId=identity)
            assert await receive_frame(socket) == {"type": "error", "message": "Consultation not found"}


async def test_token_is_accepted_in_query_and_subprotocol(surface: Surface) -> None:
    amara = surface.person()
    async with talking(surface, f"?token={amara.token}") as socket:
        assert socket.subprotocol is None
    protocols = [Subprotocol("bearer"), Subprotocol(amara.token)]
    async with talking(surface, subprotocols=protocols) as socket:
        assert socket.subprotocol == "bearer"
        assert (await receive_frame(socket))["type"] == "connection"


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"query": "?token=x"},
        {"additional_headers": {"authorization": "Bearer x.y.z"}},
        {"subprotocols": [Subprotocol("bearer")]},
        {"subprotocols": [Subprotocol("bearer"), Subprotocol("x")]},
    ],
)
async def test_missing_token_refuses_the_handshake(surface: Surface, how: dict[str, Any]) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with talking(surface, **how):
            pass
    assert refused.value.response.status_code == 401
    assert json.loads(refused.value.response.body or b"").keys() == {"detail"}


async def test_refusal_without_the_extension_closes(mongodb_url: str) -> None:
    app = create_app(settings_for(mongodb_url, "unused"))
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        sent.append(message)

    path = "/api/v1/transcription-stream"
    scope = {"type": "websocket", "path": path, "raw_path": path.encode(), "query_string": b"", "headers": []}
    async with app.router.lifespan_context(app):
        await app(scope, receive, send)
    assert sent == [{"type": "websocket.close", "code": 1008, "reason": "Not authenticated"}]


async def test_patient_is_refused_with_403(surface: Surface) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with talking(surface, additional_headers=surface.person("patient").headers):
            pass
    assert refused.value.response.status_code == 403


async def test_conversation_ends_when_its_token_expires(surface: Surface) -> None:
    amara = surface.person()
    brief = Tokens(SECRET, 3).issue(amara.identity, "amara")
    async with talking(surface, f"?token={brief}") as socket:
        await receive_frame(socket)
        with pytest.raises(ConnectionClosed) as closed:
            await asyncio.wait_for(socket.recv(), HANG_TIMEOUT)
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1008, "token expired")


async def test_recording_after_the_logout_is_refused(surface: Surface) -> None:
    amara = surface.person()
    consultation = (await amara.start())["id"]
    async with conversing(amara) as socket:
        await amara.post("/users/logout", None, 200)
        await say(socket, "start_recording", consultationId=consultation)
        assert await farewell(socket) == 1008


async def refusal(surface: Surface, query: str) -> int:
    with pytest.raises(InvalidStatus) as refused:
        async with talking(surface, query):
            pass
    return refused.value.response.status_code


async def farewell(socket: ClientConnection) -> int:
    with pytest.raises(ConnectionClosed) as closed:
        await receive_frame(socket)
    assert closed.value.rcvd is not None
    return closed.value.rcvd.code


async def test_missing_database_refuses_the_handshake(mongodb_url: str) -> None:
    timings = ServiceTimings(database_timeout=5)  # which the requests wait for
    with Relay(mongodb_url) as relay:
        relay.mend()
        async with v1_surface(mongodb_url, timings, mongodb_url=relay.url) as surface:
            amara = surface.person()
            async with conversing(amara) as socket:
                relay.cut()
                await say(socket, "start_recording", consultationId=NOBODY)
                request = amara.send("GET", "/users/profile")
                code, status, answer = await asyncio.gather(
                    farewell(socket), refusal(surface, f"?token={amara.token}"), request
                )
        assert (code, status) == (1013, 503)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert answer.json() == {"detail": "The database cannot be reached, please try again"}


@pytest.mark.parametrize("path", ["/transcription-stream", "/api/v1/transcription-stream"])
@pytest.mark.parametrize("frame", ["x" * 5000, json.dumps({"type": "audio_chunk", "audioData": AUDIO}), "{}"])
async def test_handled_frame_takes_no_memory(surface: Surface, path: str, frame: str) -> None:
    amara = surface.person()
    consultation = (await amara.start())["id"]
    url = f"ws://127.0.0.1:{surface.port}{path}"
    async with connect(url, proxy=None, additional_headers=amara.headers) as socket:
        assert (await receive_frame(socket))["type"] == "connection"
        for _ in range(3):
            await socket.send(frame)
        await say(socket, "start_recording", consultationId=consultation)
        while (await receive_frame(socket))["type"] != "recording_started":
            pass
        await until(lambda: not surface.budget.used)


@pytest.mark.parametrize("path", ["/transcription-stream", "/api/v1/transcription-stream"])
async def test_recorded_audio_counts_in_the_memory_budget(surface: Surface, path: str) -> None:
    amara = surface.person()
    consultation = (await amara.start())["id"]
    url = f"ws://127.0.0.1:{surface.port}{path}"
    async with connect(url, proxy=None, additional_headers=amara.headers) as socket:
        await receive_frame(socket)
        await say(socket, "start_recording", consultationId=consultation)
        for _ in range(3):
            await say(socket, "audio_chunk", audioData=AUDIO)
        await socket.send("{")
        while (await receive_frame(socket))["type"] != "error":
            pass
        await until(lambda: 3 * 600 <= surface.budget.used < len(AUDIO) * 3)
    await until(lambda: not surface.budget.used)


async def test_disconnect_cancels_the_transcription(mongodb_url: str) -> None:
    async with v1_surface(mongodb_url, model_deadline=600) as surface:
        amara, script = surface.person(), Script([Answer(hang=True)])
        consultation = (await amara.start())["id"]
        with surface.outside.giving(script):
            async with conversing(amara) as socket:
                await say(socket, "start_recording", consultationId=consultation)
                for _ in range(2):
                    await say(socket, "audio_chunk", audioData=AUDIO)
                await say(socket, "stop_recording")
                await until(lambda: script.bodies)
            await asyncio.wait_for(script.left.wait(), HANG_TIMEOUT)

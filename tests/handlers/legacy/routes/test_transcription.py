"""`/transcription-stream` over real sockets: the recorded conversations, and other messages of clients."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

from handlers.legacy.routes.transcription import PATH, TranscriptionStream
from handlers.services.model import LLMClient, ModelUnreachableError
from handlers.services.transcription import LIMIT, Transcribe
from tests.support.contended_loop import contended
from tests.support.outside_services import outside, upstreams
from tests.support.sockets import exchange, serving
from tests.support.waiting import HANG_TIMEOUT
from tests.support.websocket_client import frame, raw_client

pytestmark = pytest.mark.asyncio(loop_scope="module")

RECORDED: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[4] / "contracts" / "recordings" / "ws.json").read_text()
)
CONVERSATIONS = [item for item in RECORDED if "conversation" in item]
CONNECTIONS = [item for item in RECORDED if "connect" in item]
GREETING = {"type": "connection", "connectionId": "<id>", "message": "Connected to transcription stream"}
QUIET = 0.05


@dataclass
class HeldApp:
    """The app, whose answer to the second of the next requests is held after `hold` until `release`."""

    app: ASGIApp
    _gates: list[asyncio.Event | None] = field(default_factory=list)

    def hold(self) -> None:
        self._gates = [None, asyncio.Event()]

    def release(self) -> None:
        for gate in filter(None, self._gates):
            gate.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        gate = self._gates.pop(0) if len(self._gates) > 1 else next(iter(self._gates), None)
        if gate is not None:
            await gate.wait()
        await self.app(scope, receive, send)


@dataclass(frozen=True)
class Stream:
    """A stream on a real socket, and the model that it calls."""

    url: str
    upstream: HeldApp


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def native() -> AsyncIterator[Stream]:
    """Serve the stream on the offline model."""
    async with upstreams() as services:
        upstream = HeldApp(services.app)
        async with outside(upstream) as model_url:
            model = LLMClient.open("sk-test", f"{model_url}/v1")
            async with stream(model.transcribe) as url:
                yield Stream(url, upstream)
            await model.close()


@asynccontextmanager
async def stream(transcribe: Transcribe, limit: int = LIMIT) -> AsyncIterator[str]:
    async with serving(TranscriptionStream(transcribe, limit=limit)) as port:
        yield f"ws://127.0.0.1:{port}/transcription-stream"


async def deaf(audio: bytes, name: str) -> str:
    raise ModelUnreachableError


def named(frame: dict[str, Any]) -> dict[str, Any]:
    """Replace the parts of a frame that differ from run to run by names."""
    frame = dict(frame)
    if re.fullmatch(r"conn-\d{13}-[0-9a-z]{9}", str(frame.get("connectionId"))):
        frame["connectionId"] = "<id>"
    if re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", str(frame.get("timestamp"))):
        frame["timestamp"] = "<time>"
    return frame


async def receive_frames(connection: ClientConnection, count: int) -> list[dict[str, Any]]:
    """Receive the next frames, and any unexpected ones directly after them."""
    frames: list[dict[str, Any]] = []
    with contextlib.suppress(TimeoutError):
        while True:
            async with asyncio.timeout(HANG_TIMEOUT if len(frames) < count else QUIET):
                frames.append(named(json.loads(await connection.recv())))
    return frames


async def send_frames(connection: ClientConnection, *frames: object) -> None:
    """Send frames: texts, bytes, or values as JSON."""
    for each in frames:
        await connection.send(each if isinstance(each, str | bytes) else json.dumps(each))


async def converse(url: str, *sent: object, answers: int) -> list[dict[str, Any]]:
    """Return the answers to frames (texts, bytes, or values as JSON) after the greeting."""
    async with connect(url, proxy=None) as connection:
        await send_frames(connection, *sent)
        greeting, *answered = await receive_frames(connection, answers + 1)
    assert greeting == GREETING
    return answered


@pytest.mark.parametrize("recorded", CONVERSATIONS, ids=lambda item: str(item["conversation"]))
async def test_recorded_conversation_is_replayed(native: Stream, recorded: dict[str, Any]) -> None:
    wanted = [list(named(frame).items()) for frame in recorded["received"]]
    sent, frames = recorded["sent"], list[dict[str, Any]]()
    async with connect(native.url, proxy=None) as connection:
        if recorded["conversation"] == "record-twice":
            # Only here, the order depends on time: the second recording starts between the first one's two texts.
            second = max(number for number, frame in enumerate(sent) if frame["type"] == "start_recording")
            native.upstream.hold()
            await send_frames(connection, *sent[:second])
            frames += await receive_frames(connection, 3)
            await send_frames(connection, sent[second])
            frames += await receive_frames(connection, 1)
            native.upstream.release()
            sent = sent[second + 1 :]
        await send_frames(connection, *sent)
        frames += await receive_frames(connection, len(wanted) - len(frames))
    assert [list(frame.items()) for frame in frames] == wanted


@pytest.mark.parametrize("recorded", CONNECTIONS, ids=lambda item: str(item["connect"]))
async def test_recorded_path_is_open_or_refused_as_recorded(native: Stream, recorded: dict[str, Any]) -> None:
    result = "open"
    try:
        async with connect(native.url.removesuffix("/transcription-stream") + recorded["connect"]) as connection:
            assert await receive_frames(connection, 1) == [GREETING]
    except InvalidStatus as error:
        result = f"InvalidStatus: {error}"
    assert result == recorded["result"]


@pytest.mark.parametrize("path", ["/Transcription-Stream", "/transcription-stream/", "/%74ranscription-stream", "//"])
async def test_only_the_exact_path_is_served(native: Stream, path: str) -> None:
    with pytest.raises(InvalidStatus):
        await connect(native.url.removesuffix("/transcription-stream") + path)


async def test_refusal_is_the_ws_librarys(native: Stream) -> None:
    handshake = (
        b"GET /nope HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    answer = await exchange(int(native.url.split(":")[2].split("/")[0]), handshake)
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *headers = head.split(b"\r\n")
    names = {line.split(b":")[0].lower() for line in headers}
    assert (status, body) == (b"HTTP/1.1 400 Bad Request", b"Bad Request")
    assert {b"connection", b"content-type", b"content-length"} <= names
    assert b"text/html" in head.lower()
    assert b"content-length: 11" in head.lower()


async def test_failed_handshake_closes_the_socket() -> None:
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        sent.append(message)

    await TranscriptionStream(deaf)({"type": "websocket", "path": "/x", "raw_path": b"/x"}, receive, send)
    assert sent == [{"type": "websocket.close"}]


async def test_first_subprotocol_is_chosen(native: Stream) -> None:
    async with connect(native.url, subprotocols=["b", "a"]) as connection:  # type: ignore[list-item]
        assert connection.subprotocol == "b"


@pytest.mark.parametrize("offered", ["a, a", "a,", "a b", ""])
async def test_malformed_subprotocols_are_refused(native: Stream, offered: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with connect(native.url, additional_headers={"Sec-WebSocket-Protocol": offered}):
            pass
    assert refused.value.response.status_code == 400
    assert refused.value.response.body == b"Invalid Sec-WebSocket-Protocol header"


INVALID = {"type": "error", "message": "Invalid message format"}
UNPROCESSED = {"type": "error", "message": "Error processing audio"}
STOPPED = {"type": "recording_stopped", "message": "Recording stopped"}


def started(consultation: object) -> dict[str, Any]:
    message = {"type": "recording_started", "message": "Recording started - Speak now!"}
    return message if consultation is ... else {**message, "consultationId": consultation}


@pytest.mark.parametrize(
    "frame",
    ["null", "", "{", "\ufeff{}", b"\xff", "{'type':1}", '{"type":"stop_recording"}x', b"null"],
    ids=repr,
)
async def test_invalid_json_and_null_are_answered_as_invalid(native: Stream, frame: str | bytes) -> None:
    assert await converse(native.url, frame, answers=1) == [INVALID]


@pytest.mark.parametrize(
    "frame",
    [
        "5",
        '"stop_recording"',
        "[]",
        "true",
        "{}",
        '{"type":null}',
        '{"type":["stop_recording"]}',
        '{"type":"STOP_RECORDING"}',
        '["stop_recording"]',
        '{"TYPE":"stop_recording"}',
    ],
    ids=repr,
)
async def test_other_values_and_types_get_no_answer(native: Stream, frame: str) -> None:
    assert await converse(native.url, frame, answers=0) == []


@pytest.mark.parametrize(("depth", "answers"), [(900, []), (3_000, []), (3_400, [UNPROCESSED]), (4_900, [UNPROCESSED])])
async def test_nested_audio_is_read_as_deep_as_in_node(native: Stream, depth: int, answers: list[object]) -> None:
    # Node 20 reads 3,190 arrays within each other, and its stack overflows at 3,220.
    audio = '{"type":"audio_chunk","audioData":' + "[" * depth + "65" + "]" * depth + "}"
    frames = ['{"type":"start_recording"}', audio, '{"type":"stop_recording"}']
    expected = [started(...), *answers, STOPPED]
    assert await converse(native.url, *frames, answers=len(expected)) == expected


@pytest.mark.parametrize("nested", ["[" * 4_900 + "]" * 4_900, '{"a":' * 4_900 + "1" + "}" * 4_900], ids=len)
async def test_consultation_id_too_deep_to_send_is_invalid(native: Stream, nested: str) -> None:
    assert await converse(native.url, '{"type":"start_recording","consultationId":' + nested + "}", answers=1) == [
        INVALID
    ]


async def test_binary_json_frame_is_read_as_text(native: Stream) -> None:
    frames = [b'{"type":"start_recording","consultationId":"\xc3\xa9"}', b' {"type":"stop_recording"} ']
    assert await converse(native.url, *frames, answers=2) == [started("é"), STOPPED]


@pytest.mark.parametrize("consultation", [..., None, 0, 1.5, [1], {"a": {"b": []}}, "\ud800", "x" * 1000], ids=repr)
async def test_consultation_id_is_echoed_verbatim(native: Stream, consultation: object) -> None:
    frame = {"type": "start_recording"}
    sent = frame if consultation is ... else {**frame, "consultationId": consultation}
    assert await converse(native.url, sent, answers=1) == [started(consultation)]


@pytest.mark.parametrize("audio", [5, True, None, {}, {"valueOf": 1}, {"length": 1e18}])
async def test_unreadable_audio_is_reported(native: Stream, audio: object) -> None:
    start = {"type": "start_recording", "consultationId": 1}
    chunk = {"type": "audio_chunk", "audioData": audio}
    assert await converse(native.url, chunk, start, chunk, answers=2) == [started(1), UNPROCESSED]


async def test_audio_of_every_kind_reaches_the_model_as_bytes() -> None:
    received: list[tuple[str, bytes]] = []

    async def listen(audio: bytes, name: str) -> str:
        received.append((name, audio))
        return "yes"

    audio: list[object] = ["SA==", "YQ", [98, 0], {"length": 1, "0": 99}, {"type": "Buffer", "data": [100]}, ""]
    chunks = [{"type": "audio_chunk", "audioData": piece} for piece in audio]
    async with stream(listen) as url:
        frames = [{"type": "start_recording"}, *chunks, {"type": "stop_recording"}]
        answers = await converse(url, *frames, answers=3)
    assert [answer["type"] for answer in answers] == ["recording_started", "transcript", "recording_stopped"]
    [(name, content)] = received
    assert content == b"Hab\0cd"
    assert re.fullmatch(r"final-conn-\d{13}-[0-9a-z]{9}-\d{13}\.webm", name)


async def test_recording_over_the_limit_is_reported_once() -> None:
    async def listen(audio: bytes, name: str) -> str:
        return str(len(audio))

    chunk = {"type": "audio_chunk", "audioData": "A" * 4000}
    frames = [{"type": "start_recording"}, *[chunk] * 6, {"type": "stop_recording"}]
    async with stream(listen, limit=10_000) as url:
        answers = await converse(url, *frames, answers=4)
    full = {"type": "error", "message": "Recording too long", "timestamp": "<time>"}
    final = {"type": "transcript", "text": "9000", "timestamp": "<time>", "isPartial": False, "isFinal": True}
    assert answers[1:] == [full, final, STOPPED]


async def test_disconnect_cancels_the_transcription() -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def ponder(audio: bytes, name: str) -> str:
        begun.set()
        try:
            await asyncio.sleep(30)
        finally:
            ended.set()
        return ""

    chunks = [{"type": "audio_chunk", "audioData": "AAAA"}] * 9
    async with stream(ponder) as url, connect(url) as connection:
        for frame in [{"type": "start_recording"}, *chunks]:
            await connection.send(json.dumps(frame))
        await asyncio.wait_for(begun.wait(), HANG_TIMEOUT)
        connection.transport.abort()
        await asyncio.wait_for(ended.wait(), HANG_TIMEOUT)


async def test_text_for_a_client_that_has_left_is_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    sent, attempted = (
        [{"type": "start_recording"}, *[{"type": "audio_chunk", "audioData": "AAAA"}] * 9],
        asyncio.Event(),
    )
    messages: list[Any] = [{"type": "websocket.connect"}]
    messages += [{"type": "websocket.receive", "text": json.dumps(frame)} for frame in sent]

    async def receive() -> Any:
        if not messages:
            await attempted.wait()
            return {"type": "websocket.disconnect", "code": 1006}
        return messages.pop(0)

    async def send(message: Any) -> None:
        if "late" in message.get("text", ""):
            attempted.set()
            raise ConnectionResetError

    async def listen(audio: bytes, name: str) -> str:
        return "late"

    scope = {"type": "websocket", "path": PATH, "raw_path": PATH.encode(), "query_string": b"", "headers": []}
    await asyncio.wait_for(TranscriptionStream(listen)(scope, receive, send), HANG_TIMEOUT)
    assert attempted.is_set()
    assert caplog.text == ""


async def test_concurrent_connections_call_the_model_in_parallel() -> None:
    both = asyncio.Barrier(2)

    async def meet(audio: bytes, name: str) -> str:
        async with asyncio.timeout(HANG_TIMEOUT):
            await both.wait()
        return "met"

    chunk = {"type": "audio_chunk", "audioData": "AAAA"}
    frames = [{"type": "start_recording"}, chunk, chunk, {"type": "stop_recording"}]
    async with stream(meet) as url:
        answers = await asyncio.gather(*(converse(url, *frames, answers=3) for _ in range(2)))
    assert all(conversation[1]["text"] == "met" for conversation in answers)


async def test_closed_connection_echoes_the_clients_code(native: Stream) -> None:
    connection = await connect(native.url)
    await connection.close(4001, "enough")
    assert connection.close_code == 4001


async def test_models_text_waits_for_the_answers_to_a_packet() -> None:
    called, answered = asyncio.Event(), asyncio.Event()

    async def listen(audio: bytes, name: str) -> str:
        called.set()
        await answered.wait()
        return "late"

    start, stop = (frame(1, b'{"type":"%s_recording"}' % kind) for kind in (b"start", b"stop"))
    chunk = frame(1, b'{"type":"audio_chunk","audioData":"AAAA"}')
    async with stream(listen) as url, raw_client(int(url.split(":")[2].split("/")[0])) as client:
        client.writer.write(start + chunk * 9)
        await asyncio.wait_for(called.wait(), HANG_TIMEOUT)
        with contended():
            client.writer.write(frame(1, b"{") * 200 + frame(1, b"null") + stop[:5])
            kinds = [json.loads((await client.read_frame())[1])["type"] for _ in range(3)]
            answered.set()
            kinds += [json.loads((await client.read_frame())[1])["type"] for _ in range(201)]
    assert kinds == ["connection", "recording_started", *["error"] * 201, "transcript"]

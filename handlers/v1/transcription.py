"""`/api/v1/transcription-stream`: the legacy's WebSocket protocol, for authenticated clients.

The token is in `Authorization: Bearer …`. Browsers cannot set that header on a WebSocket, so it may also be among
the subprotocols (`new WebSocket(url, ["bearer", token])`) or in the query (`?token=`, which intermediaries may log).
Without a valid token the handshake is refused with 401; a token that expires or is logged out closes the connection
with 1008.
"""

import asyncio
import base64
import json
import secrets
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

from fastapi import HTTPException, WebSocket, WebSocketDisconnect
from fastapi.responses import JSONResponse
from pydantic import ConfigDict, Field, TypeAdapter
from pydantic.alias_generators import to_camel

from handlers.dependency_failures import report_failure
from handlers.json_structure import SLICE, StructureError
from handlers.services.transcription import (
    PARSING_COPIES,
    AudioLimitReached,
    Event,
    FinalFailed,
    Interrupted,
    Recorder,
    Transcribed,
    frame_limit,
    memory_of,
)
from handlers.sliced_json import decode_utf8, parse_in_slices
from handlers.storage.errors import UnavailableError
from handlers.v1.dependencies import AppState, Caller, identify
from handlers.v1.routing import create_router
from handlers.v1.schemas import Identity, RequestModel
from handlers.yielding import join_bytes, yield_fairly

router = create_router("transcription")

PROTOCOL: Final = "bearer"
POLICY_VIOLATION: Final = 1008
TRY_AGAIN_LATER: Final = 1013
_LONGEST: Final = 86_400.0
_FAULTS: Final[Mapping[type[Event], str]] = {
    Interrupted: "Transcription temporarily unavailable",
    FinalFailed: "Final transcription failed",
    AudioLimitReached: "Recording too long",
}


class Frame(RequestModel):
    """A client's message; names are in camel case, as in the legacy's protocol."""

    model_config = ConfigDict(alias_generator=to_camel, validate_by_name=True)


class Start(Frame):
    """Start recording one of the caller's own consultations."""

    type: Literal["start_recording"]
    consultation_id: Identity


class Chunk(Frame):
    """A chunk of audio, in base64."""

    type: Literal["audio_chunk"]
    audio_data: str


class Stop(Frame):
    """Stop recording."""

    type: Literal["stop_recording"]


_frames: TypeAdapter[Start | Chunk | Stop] = TypeAdapter(Annotated[Start | Chunk | Stop, Field(discriminator="type")])


async def _read(text: str | bytes, limit: int) -> Start | bytes | Stop:
    """Return a frame, or a chunk's audio. Raises ValueError for an invalid frame and for one that is too large."""
    if len(text) > limit:
        raise StructureError("the frame is too large")
    decoded = text if isinstance(text, str) else await decode_utf8(text)
    try:
        value = await parse_in_slices(decoded, json.loads)
    except RecursionError:
        raise StructureError("nested too deeply") from None
    frame = _frames.validate_python(value)
    return await _decode(frame.audio_data) if isinstance(frame, Chunk) else frame


async def _decode(text: str) -> bytes:
    """Decode base64 strictly, in slices between which the event loop runs; raises ValueError."""
    slices = []
    for start in range(0, len(text), SLICE):
        piece = text[start : start + SLICE]
        if piece.endswith("=") and start + SLICE < len(text):
            raise ValueError("padding within base64")
        slices.append(base64.b64decode(piece, validate=True))
        await yield_fairly()
    return await join_bytes(slices)


@router.websocket("/transcription-stream")
async def converse(socket: WebSocket) -> None:
    """Serve one connection, from its handshake to its end."""
    state: AppState = socket.app.state.app_state
    token, protocol = _token(socket)
    try:
        caller = await identify(state, token)
        caller.require_clinician()
    except HTTPException as error:
        await _deny(socket, error.status_code, error.detail)
        return
    except UnavailableError as error:
        report_failure(socket.scope, error)
        await _deny(socket, 503, "The database cannot be reached, please try again")
        return
    await socket.accept(protocol)
    conversation = _Conversation(socket, state, caller)
    try:
        async with asyncio.timeout(min(caller.bearer.expires - time.time(), _LONGEST)):
            await conversation.run()
    except (TimeoutError, HTTPException):
        await socket.close(POLICY_VIOLATION, "token expired")
    except UnavailableError:
        await socket.close(TRY_AGAIN_LATER, "database unavailable")
    finally:
        await conversation.recorder.close()


def _token(socket: WebSocket) -> tuple[str | None, str | None]:
    """Return the token and the subprotocol to accept."""
    scheme, _, shown = socket.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and shown:
        return shown, None
    offered = socket.scope.get("subprotocols", [])
    if len(offered) > 1 and offered[0] == PROTOCOL:
        return offered[1], PROTOCOL
    return socket.query_params.get("token"), None


async def _deny(socket: WebSocket, status: int, detail: str) -> None:
    if "websocket.http.response" in socket.scope.get("extensions", {}):
        await socket.send_denial_response(JSONResponse({"detail": detail}, status))
    else:
        await socket.close(POLICY_VIOLATION, detail)


class _Conversation:
    """One connection: incoming and outgoing frames, and the recorder."""

    def __init__(self, socket: WebSocket, state: AppState, caller: Caller) -> None:
        self._socket = socket
        self._state = state
        self._caller = caller
        self._identity = f"conn-{secrets.token_hex(12)}"
        self._memory = memory_of(socket.scope)
        self._frame_limit = frame_limit(state.settings.audio_limit)
        transcribe = state.services.model.transcribe
        self.recorder = Recorder(
            self._identity, transcribe, self._send_event, limit=state.settings.audio_limit, memory=self._memory
        )

    async def run(self) -> None:
        """Greet, and handle frames until the client disconnects; raises `HTTPException` for an invalid token."""
        await self._send("connection", connectionId=self._identity, message="Connected to transcription stream")
        while await self._serve_next():
            pass  # a frame is not referenced while the next one is awaited

    async def _serve_next(self) -> bool:
        """Receive and handle one frame; return False once the client has disconnected."""
        message = await self._socket.receive()
        if message["type"] != "websocket.receive":
            return False
        text = message.get("text") or message.get("bytes") or ""
        size = PARSING_COPIES * len(text)
        if self._memory.retain(size):
            try:
                await self._handle(text)
            finally:
                self._memory.release(size)
        return True

    async def _handle(self, text: str | bytes) -> None:
        try:
            frame = await _read(text, self._frame_limit)
        except ValueError:
            await self._send("error", message="Invalid message format")
        else:
            await self._act(frame)

    async def _act(self, frame: Start | bytes | Stop) -> None:
        match frame:
            case Start():
                await self._start(frame)
            case bytes():
                await self.recorder.add(frame)
            case Stop():
                await self.recorder.stop()

    async def _start(self, frame: Start) -> None:
        await identify(self._state, self._caller.bearer.token)
        own = await self._state.services.consultations.get_own(frame.consultation_id, self._caller.identity)
        if own is None:
            await self._send("error", message="Consultation not found")
            return
        self.recorder.start()
        greeting = "Recording started - Speak now!"
        await self._send("recording_started", consultationId=str(frame.consultation_id), message=greeting)

    async def _send_event(self, event: Event) -> None:
        """Send a recorder event; errors and texts carry a timestamp."""
        if isinstance(event, Transcribed):
            finality = {"isPartial": False, "isFinal": True} if event.final else {"isPartial": True}
            await self._send("transcript", text=event.text, timestamp=_now(), **finality)
        elif (fault := _FAULTS.get(type(event))) is not None:
            await self._send("error", message=fault, timestamp=_now())
        else:
            await self._send("recording_stopped", message="Recording stopped")

    async def _send(self, kind: str, **fields: Any) -> None:
        with suppress(RuntimeError, WebSocketDisconnect):  # the socket is already closed, or the client has left
            await self._socket.send_json({"type": kind, **fields})


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

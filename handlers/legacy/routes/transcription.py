"""The legacy's WebSocket: JSON frames on `/transcription-stream`, as the ws library and its handler process them.

Each connection has a `Recorder`. This module parses frames, writes the recorder's events as frames, and refuses the
handshakes that the ws library refuses. Frames are answered as they arrive, while the model works on earlier ones.

Node runs the legacy's handler for all messages of a packet before anything else. The handler parses a message at once
and awaits the work on its value, where `null` fails. The error follows the answers to all messages of the packet; it is
dropped if the client's close is among them. The model's texts come before the first or after the last of these answers.
"""

import asyncio
import secrets
import string
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from starlette.types import Message, Receive, Scope, Send

from handlers.json_structure import SLICE, StructureError
from handlers.legacy.buffers import base64_slices, from_value
from handlers.legacy.express import request_target
from handlers.legacy.express.charsets import decode_utf8
from handlers.legacy.express.headers import Headers
from handlers.legacy.javascript import (
    UNDEFINED,
    JavaScriptRangeError,
    JavaScriptTypeError,
    JSONSyntaxError,
    Value,
    iso,
    parse,
    stringify,
)
from handlers.legacy.model_errors import is_undecodable
from handlers.legacy.subprotocols import SubprotocolError
from handlers.legacy.subprotocols import parse as parse_subprotocols
from handlers.services.transcription import (
    LIMIT,
    PARSING_COPIES,
    AudioLimitReached,
    Event,
    FinalFailed,
    Interrupted,
    Memory,
    Recorder,
    Transcribe,
    Transcribed,
    frame_limit,
    memory_of,
)
from handlers.sliced_json import parse_in_slices, write_in_slices
from handlers.yielding import join_bytes, yield_fairly

PATH: Final = "/transcription-stream"

IsPacketOver = Callable[[], Awaitable[bool]]
"""Return whether all messages of the packet were received."""

_ID_ALPHABET: Final = string.digits + string.ascii_lowercase
_ID_LENGTH: Final = 9

PARTIAL_FAULT: Final = "Transcription temporarily unavailable"
FINAL_FAULT: Final = "Final transcription failed"
_FAULTS: Final[dict[type[Event], str]] = {
    Interrupted: PARTIAL_FAULT,
    FinalFailed: FINAL_FAULT,
    AudioLimitReached: "Recording too long",
}


def now() -> int:
    """Return milliseconds since 1970."""
    return time.time_ns() // 1_000_000


class TranscriptionStream:
    """The ASGI app of every WebSocket: serves `PATH`, refuses all other paths with 400.

    `limit` is the audio in bytes per connection.
    """

    def __init__(self, transcribe: Transcribe, *, limit: int = LIMIT) -> None:
        self._transcribe = transcribe
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one WebSocket, from its handshake to its end."""
        await receive()
        if request_target(scope).partition("?")[0] != PATH:
            await _refuse(scope, send, "Bad Request")
            return
        try:
            subprotocol = _subprotocol(scope)
        except SubprotocolError:
            await _refuse(scope, send, "Invalid Sec-WebSocket-Protocol header")
            return
        await send({"type": "websocket.accept", "subprotocol": subprotocol})
        conversation = _LegacyConversation(self._transcribe, send, self._limit, memory_of(scope))
        is_packet_over = _packet_of(scope)
        try:
            await conversation.greet()
            while await conversation.serve_packet(receive, is_packet_over):
                pass
        finally:
            await conversation.recorder.close()


class _LegacyConversation:
    """One connection: incoming and outgoing frames, and the recorder."""

    __slots__ = ("_exclusion", "_identity", "_late_errors", "_limit", "_memory", "_send", "recorder")

    def __init__(self, transcribe: Transcribe, send: Send, limit: int, memory: Memory) -> None:
        token = "".join(secrets.choice(_ID_ALPHABET) for _ in range(_ID_LENGTH))
        self._identity = f"conn-{now()}-{token}"
        self._send = send
        self._limit = limit
        self._memory = memory
        self._late_errors = 0
        self._exclusion = asyncio.Lock()
        self.recorder = Recorder(
            self._identity,
            transcribe,
            self._send_event,
            limit=limit,
            memory=memory,
            is_undecodable=is_undecodable,
            exclusion=self._exclusion,
        )

    async def greet(self) -> None:
        """Send the connection's id."""
        await self._send_json("connection", connectionId=self._identity, message="Connected to transcription stream")

    async def serve_packet(self, receive: Receive, is_packet_over: IsPacketOver) -> bool:
        """Receive and handle the messages of one packet; return False once the client has disconnected."""
        received = [await receive()]  # without a reference to a message while the next one is awaited
        async with self._exclusion:
            while await self._handle(received.pop()):
                if await is_packet_over():
                    await self._send_late_errors()
                    return True
                received.append(await receive())
        return False

    async def _handle(self, message: Message) -> bool:
        """Handle one message; return False if it is the client's disconnect."""
        if message["type"] != "websocket.receive":
            return False
        await self.read(message)
        return True

    async def _send_late_errors(self) -> None:
        while self._late_errors:
            self._late_errors -= 1
            await self._refuse_message()

    async def read(self, frame: Message) -> None:
        """Handle one frame; invalid JSON is an error, unknown types are ignored."""
        size = PARSING_COPIES * len(frame.get("text") or frame.get("bytes") or "")
        if self._memory.retain(size):
            try:
                await self._read(frame)
            finally:
                self._memory.release(size)

    async def _read(self, frame: Message) -> None:
        try:
            data = await _parse(frame, frame_limit(self._limit))
        except (JSONSyntaxError, StructureError, JavaScriptRangeError):
            await self._refuse_message()
            return
        try:
            if isinstance(data, dict):
                await self._act(data)
        except JavaScriptRangeError:  # too deep to be sent back
            self._late_errors += 1
        self._late_errors += data is None

    async def _refuse_message(self) -> None:
        await self._send_json("error", message="Invalid message format")

    async def _act(self, data: dict[str, Value]) -> None:
        match data.get("type"):
            case "start_recording":
                self.recorder.start()
                consultation = data.get("consultationId", UNDEFINED)
                greeting = "Recording started - Speak now!"
                await self._send_json("recording_started", consultationId=consultation, message=greeting)
            case "audio_chunk" if self.recorder.is_recording:
                await self._add_audio(data.get("audioData", UNDEFINED))
            case "stop_recording":
                await self.recorder.stop()

    async def _add_audio(self, audio: Value) -> None:
        try:
            piece = await _read_audio(audio, self._limit)
        except (JavaScriptTypeError, JavaScriptRangeError, RecursionError):  # V8's stack overflows at another depth
            await self._send_json("error", message="Error processing audio")
        else:
            await self.recorder.add(piece)

    async def _send_event(self, event: Event) -> None:
        """Send a recorder event, unless the client has left; errors and texts carry a timestamp."""
        with suppress(OSError):  # raised by ASGI servers for a connection that has ended
            await self._send_open_event(event)

    async def _send_open_event(self, event: Event) -> None:
        if isinstance(event, Transcribed):
            finality: dict[str, Value] = {"isPartial": not event.final}
            if event.final:
                finality["isFinal"] = True
            await self._send_json("transcript", text=event.text, timestamp=iso(now()), **finality)
        elif (fault := _FAULTS.get(type(event))) is not None:
            await self._send_json("error", message=fault, timestamp=iso(now()))
        else:
            await self._send_json("recording_stopped", message="Recording stopped")

    async def _send_json(self, kind: str, **fields: Value) -> None:
        text = (await write_in_slices({"type": kind, **fields}, stringify)).decode()
        await self._send({"type": "websocket.send", "text": text})


async def _read_audio(audio: Value, limit: int) -> bytes:
    """Return the bytes of a value as Node's `Buffer.from`; the event loop runs between the slices of a long text."""
    if not isinstance(audio, str) or len(audio) <= SLICE:
        return from_value(audio, limit)
    slices = []
    for piece in base64_slices(audio):
        slices.append(piece)
        await yield_fairly()
    return await join_bytes(slices)


async def _parse(frame: Message, limit: int) -> Value:
    """Return a frame's value, reading binary frames as UTF-8.

    Raises `JSONSyntaxError`, or `StructureError` for a frame that is too large.
    """
    text: str | None = frame.get("text")
    if len(text if text is not None else frame["bytes"]) > limit:
        raise StructureError("the frame is too large")
    if text is None:
        text = await decode_utf8(frame["bytes"])
    return await parse_in_slices(text, parse)


def _packet_of(scope: Scope) -> IsPacketOver:
    """Return the function of the server's ASGI extension `proxy.packet`; without it, each message is a packet."""
    extension = (scope.get("extensions") or {}).get("proxy.packet")
    return _always if extension is None else extension["is_over"]


async def _always() -> bool:
    return True


def _subprotocol(scope: Scope) -> str | None:
    """Return the first name that the client offers, None if it offers none; raises `SubprotocolError`."""
    offered = Headers(scope["headers"]).get("sec-websocket-protocol")
    return None if offered is None else parse_subprotocols(offered)[0]


async def _refuse(scope: Scope, send: Send, reason: str) -> None:
    """Refuse the handshake as the ws library does (`abortHandshake`), as far as the server supports it."""
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close"})
        return
    body = reason.encode()
    headers = [
        (b"connection", b"close"),
        (b"content-type", b"text/html"),
        (b"content-length", str(len(body)).encode()),
    ]
    await send({"type": "websocket.http.response.start", "status": 400, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": body})

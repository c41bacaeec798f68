"""Conversations around held calls to the model: each event in a fixed order, both backends send the same frames.

A call is held until a step releases it, first come first served. Between them, the client sends messages, halves of
frames, pings and further recordings, or leaves. Both backends make the same calls, of the same audio. The legacy sends
the same frames through the gateway's forwarding.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import random
import re
from collections import deque
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Literal

import pytest
from starlette.types import Message, Receive, Scope, Send

from proxy.types import JSON
from tests.support.backend_pair import BackendPair, RunningBackend
from tests.support.contended_loop import contended
from tests.support.outside_services import Answer, Script
from tests.support.profile import IS_QUICK
from tests.support.random_seed import seeds
from tests.support.sockets import reset
from tests.support.waiting import HANG_TIMEOUT, until
from tests.support.websocket_client import RawSocket, frame, raw_client
from tests.support.websocket_forwarding import forwarding

pytestmark = pytest.mark.asyncio(loop_scope="session")

TEXT, BINARY, CLOSE, PING = 1, 2, 8, 9
PORTION: Final = 8
KINDS: Final = (*["chunks"] * 3, *["release"] * 3, "stop", "half", "ping", "start")
STEPS: Final = 24
UNRETRIED: Final = ((b"x-should-retry", b"false"),)
SPOKEN: Final = (
    *(Answer(body=text.encode(), content_type="text/plain") for text in ("one", " two \n", "", " ", "\ufeffthree")),
    Answer(400, b'{"error": {"message": "could not be decoded"}}', headers=UNRETRIED),
    Answer(500, b"busy", headers=UNRETRIED),
    Answer(429, b'{"error": {"message": "slow down"}}', headers=UNRETRIED),
    Answer(body=b"{}", content_type="application/json"),
    Answer(204, b""),
)
VISIBLE: Final = frozenset((0, 1, 4))
SKIPPED: Final = frozenset((2, 3, 5))
"""The answers with a text, and those to a part that are answered by nothing; the others are failures."""
AUDIO: Final = re.compile(rb'filename="(temp|final)-.*?\r\n\r\n(.*?)\r\n--', re.DOTALL)


Call = tuple[bytes, int]
"""A call to the model: the kind of recording and its audio, and the number of equal calls before it."""


@dataclass
class HeldModel:
    """A model that answers each audio by its content, once the call is released."""

    gates: dict[Call, asyncio.Event] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body", False):
                break
        match = AUDIO.search(body)
        assert match is not None
        key = match[1] + match[2]
        call = (key, sum(earlier == key for earlier, _ in self.calls))
        self.calls.append(call)
        await self.gate(call).wait()
        await Script([SPOKEN[answer_of(key)]])(scope, _nothing, send)

    def gate(self, call: Call) -> asyncio.Event:
        """Return the gate of a call, before or after it has come."""
        return self.gates.setdefault(call, asyncio.Event())

    def was_called(self, call: Call) -> bool:
        """Return whether the call has come."""
        return call in self.calls


async def _nothing() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


def answer_of(key: bytes) -> int:
    """Return the number of the answer to an audio."""
    return random.Random(key).randrange(len(SPOKEN))


@dataclass(frozen=True)
class Step:
    """One event, and the number of text frames that it brings. `data`: bytes to write; `call`: a call to release."""

    kind: Literal["write", "release", "half", "ping"]
    data: bytes = b""
    call: Call = (b"", 0)
    frames: int = 0


@dataclass
class Recording:
    """The recording in the legacy, from which the number of frames that each event brings follows."""

    is_recording: bool = False
    audio: list[bytes] = field(default_factory=list)
    reported: list[bool] = field(default_factory=lambda: [False])
    pending: deque[tuple[Call, bool, list[bool]]] = field(default_factory=deque)
    made: list[bytes] = field(default_factory=list)
    is_settled: bool = True

    def start(self) -> None:
        """Begin a recording, which reports a failure once."""
        self.is_recording, self.audio, self.reported = True, [], [False]

    def add(self, chunk: bytes) -> None:
        """Add audio; every eighth chunk after the first causes a call."""
        if self.is_recording:
            self.audio.append(chunk)
            if len(self.audio) > 1 and len(self.audio) % PORTION == 1:
                part = b"".join([self.audio[0], *self.audio[-PORTION:]])
                self._call(b"temp" + part, is_final=False)

    def stop(self) -> int:
        """End the recording; return the frames that come at once."""
        self.is_recording = False
        if len(self.audio) < 2:
            return 1
        self._call(b"final" + b"".join(self.audio), is_final=True)
        return 0

    def _call(self, key: bytes, *, is_final: bool) -> None:
        self.pending.append(((key, self.made.count(key)), is_final, self.reported))
        self.made.append(key)

    def release(self) -> Step:
        """Release the oldest call."""
        call, is_final, reported = self.pending.popleft()
        number = answer_of(call[0])
        if is_final:
            self.is_settled = True
            return Step("release", call=call, frames=2)
        if number in VISIBLE or number in SKIPPED:
            return Step("release", call=call, frames=int(number in VISIBLE))
        frames, reported[0] = int(not reported[0]), True
        self.is_settled = self.is_settled and frames > 0
        return Step("release", call=call, frames=frames)

    @property
    def may_start(self) -> bool:
        """True unless a late text or failure would be one of the next recording (declared: `recordings-apart`).

        A failure without a frame may be late until a later call, the final one, is answered.
        """
        return self.is_settled and all(is_final for _, is_final, _ in self.pending)


def message(kind: str, **fields: JSON) -> bytes:
    return json.dumps({"type": kind, **fields}).encode()


START: Final = message("start_recording", consultationId="C")
STOP: Final = message("stop_recording")


def draw_timeline(source: random.Random) -> list[Step]:
    """Return steps of one connection, from a start to any point."""
    recording, number = Recording(), 0
    steps = [Step("write", frame(TEXT, START), frames=1)]
    recording.start()
    while len(steps) < STEPS:
        kind = source.choice(KINDS)
        if kind == "chunks":
            data = b""
            for _ in range(source.choice([1, 1, 3, PORTION, PORTION + 1, 2 * PORTION])):
                chunk = source.choice([b"", b"a", b"xyz" * 400, b"ab"]) + b"%d." % number
                number += 1
                encoded = base64.b64encode(chunk).decode()
                data += frame(source.choice([TEXT, BINARY]), message("audio_chunk", audioData=encoded))
                recording.add(chunk)
            steps.append(Step("write", data))
        elif kind == "stop":
            steps.append(Step("write", frame(TEXT, STOP), frames=recording.stop()))
        elif kind == "release" and recording.pending:
            steps.append(recording.release())
        elif kind == "start" and recording.may_start:
            recording.start()
            steps.append(Step("write", frame(TEXT, START), frames=1))
        elif kind == "half":
            whole = frame(TEXT, b"[]" + b" " * source.choice([0, 200, 70_000]))
            cut = source.randrange(1, len(whole))
            steps.append(Step("half", whole[:cut]))
            if recording.pending:
                steps.append(recording.release())
            steps.append(Step("half", whole[cut:]))
        elif kind == "ping":
            steps.append(Step("ping", frame(PING, b"%d" % number)))
    return steps


ENDS: Final = ("close", "invalid", "fin", "reset", "fin-within", "null-and-close")


async def play(backend: RunningBackend, steps: list[Step], end: str, port: int = 0) -> tuple[list[JSON], set[Call]]:
    """Return the service's frames, and the calls that were released; the client connects to `port` if it is given."""
    model = HeldModel()
    await backend.until_ready()
    with backend.outside.giving(model):
        async with asyncio.timeout(HANG_TIMEOUT), raw_client(port or backend.origin.port) as socket:
            frames: list[JSON] = [await read(socket)]
            is_within = False
            for step in steps:
                if step.kind == "release":
                    model.gate(step.call).set()
                    await until(partial(model.was_called, step.call))
                else:
                    socket.writer.write(step.data)
                    is_within = step.kind == "half" and not is_within
                mark = b"" if is_within or step.kind == "release" else frame(PING, b"mark")
                socket.writer.write(mark)
                expected = sum(isinstance(one, dict) for one in frames) + step.frames
                marks = frames.count(PONG_MARK) + bool(mark)
                while sum(isinstance(one, dict) for one in frames) < expected or frames.count(PONG_MARK) < marks:
                    frames.append(await read(socket))
            await leave(socket, end, frames)
        for gate in model.gates.values():
            gate.set()
    return frames, set(model.calls) & {step.call for step in steps}


PONG_MARK: Final[JSON] = [10, b"mark".hex()]


async def leave(socket: RawSocket, end: str, frames: list[JSON]) -> None:
    """End the conversation, and read what the service still sends."""
    match end:
        case "close":
            socket.writer.write(frame(CLOSE, b"\x03\xe9bye"))
        case "invalid":
            socket.writer.write(frame(3, b"x"))
        case "null-and-close":
            socket.writer.write(frame(TEXT, b"null") + frame(TEXT, b"{") + frame(CLOSE, b""))
        case "fin":
            socket.writer.write_eof()
        case "fin-within":
            socket.writer.write(frame(TEXT, STOP)[:9])
            socket.writer.write_eof()
        case _:
            reset(socket.writer)
            return
    with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
        while True:
            frames.append(await read(socket))


async def read(socket: RawSocket) -> JSON:
    """Return the next frame, without ids and times."""
    opcode, payload = await socket.read_frame()
    if opcode != TEXT:
        return [opcode, payload.hex()]
    return {**json.loads(payload), "connectionId": None, "timestamp": None}


@pytest.mark.seeded
@pytest.mark.parametrize("seed", seeds(6 if IS_QUICK else 30))
async def test_events_around_held_calls_have_equal_outcomes(keeping: BackendPair, seed: int) -> None:
    source = random.Random(seed)
    steps, end = draw_timeline(source), source.choice(ENDS)
    legacy = await play(keeping.legacy, steps, end)
    with contended() if seed % 2 else contextlib.nullcontext():
        assert await play(keeping.native, steps, end) == legacy, (steps, end)
        async with forwarding(keeping.legacy.origin.port) as port:
            assert await play(keeping.legacy, steps, end, port) == legacy, (steps, end)

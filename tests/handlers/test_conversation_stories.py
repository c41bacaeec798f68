"""Conversations during which documents are written over HTTP: both backends send the same frames and store the same."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from dataclasses import dataclass, field
from typing import Final

import pytest

from proxy.recordings.model import RecordedRequest
from proxy.types import JSON
from tests.differential.people import TOKEN
from tests.support.backend_pair import BackendPair, RunningBackend, get, post
from tests.support.clinic import CONSULTATION, DOCUMENTS, NOTE, PROMPT, TRANSCRIPT
from tests.support.contended_loop import contended
from tests.support.profile import IS_QUICK
from tests.support.random_seed import seeds
from tests.support.waiting import HANG_TIMEOUT
from tests.support.websocket_client import RawSocket, frame, raw_client

pytestmark = pytest.mark.asyncio(loop_scope="session")

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
CHUNK: Final = json.dumps({"type": "audio_chunk", "audioData": "QUJD"}).encode()
STOP: Final = json.dumps({"type": "stop_recording"}).encode()
START: Final = json.dumps({"type": "start_recording", "consultationId": CONSULTATION}).encode()
MESSAGES: Final = (START, CHUNK, STOP)
NULL: Final = b"null"
DEEP: Final = b'{"type":"start_recording","consultationId":' + b"[" * 4_900 + b"]" * 4_900 + b"}"
"""Two messages that the legacy answers after all others of their packet: the second is too deep to be sent back."""
LATE: Final = (NULL, DEEP)
ODD: Final = (b"[]", b'{"type":"x"}', b'{"type":["stop_recording"]}', b'{"type":"audio_chunk"}')
CLOSES: Final = (b"", b"\x03\xe8", b"\x03\xe9bye", b"\x0b\xb8x", b"\x13\x88", b"\x03\xed", b"\x03", b"\x03\xe8\xff")
REQUESTS: Final = (
    post(f"/api/consultation/{CONSULTATION}/end", {"prompt_used": PROMPT}, TOKEN),
    post("/api/transcript/update-text", {"transcript_id": TRANSCRIPT, "transcript_text": "New."}, TOKEN),
    post(f"/api/notes/{CONSULTATION}", {"body": "New.", "transcriptId": TRANSCRIPT}, TOKEN),
    get(f"/api/notes/{NOTE}", TOKEN, "DELETE"),
    get(f"/api/prompts/{PROMPT}", TOKEN, "DELETE"),
    post("/users/logout", token=TOKEN),
)
BROKEN: Final = b"{"
MARK: Final = frame(TEXT, BROKEN)
"""A message whose answer, an error, shows that the service has answered all messages before it."""


@dataclass(frozen=True)
class Write:
    """Bytes of the client. `stops` and `invalid`: how many messages in them are stops, and answered as invalid."""

    data: bytes
    stops: int = 0
    invalid: int = 0


Step = Write | RecordedRequest | None
"""A write, a request of another client, or (None) another conversation, to which later writes go."""
MAX_STEPS: Final = 6
"""Too few for the chunks of a portion: the model is only called at a stop, so that the order of frames is certain."""


def draw_story(source: random.Random) -> list[Step]:
    """Return the steps before the last one, which closes the conversation or breaks it by an invalid frame."""
    steps: list[Step] = [_draw_step(source) for _ in range(source.randint(2, MAX_STEPS - 1))]
    last = source.choice([frame(3, b"x"), *(frame(CLOSE, payload) for payload in CLOSES)])
    return [*steps, Write(source.choice([b"", frame(TEXT, NULL)]) + last)]


def _draw_step(source: random.Random) -> Step:
    message = source.choice(MESSAGES)
    stops, cut = int(message == STOP), source.randrange(len(message))
    fragments = frame(TEXT, message[:cut], fin=False) + frame(PING, b"between") + frame(0, message[cut:])
    return source.choice(
        [
            *(Write(frame(TEXT, message), stops), Write(frame(BINARY, message), stops), Write(fragments, stops)),
            *(Write(frame(TEXT, START) + frame(TEXT, CHUNK) * 3), Write(frame(TEXT, STOP), 1), None),
            *(Write(frame(TEXT, source.choice(ODD))), Write(frame(PING, b"p") + frame(PONG, b"q"))),
            _draw_packet(source),
            *source.choices(REQUESTS, k=4),
        ]
    )


def _draw_packet(source: random.Random) -> Write:
    """Return messages in one packet, of which one or two are answered after the others."""
    messages = [*source.choices(LATE, k=source.randint(1, 2)), *source.choices([START, STOP, BROKEN], k=2)]
    source.shuffle(messages)
    invalid = sum(message in (*LATE, BROKEN) for message in messages)
    data = b"".join(frame(TEXT, message) for message in messages)
    return Write(data + frame(PING, b"after"), messages.count(STOP), invalid)


@dataclass
class Conversation:
    """One conversation as played; `frames` are the service's, without ids and times."""

    socket: RawSocket
    frames: list[JSON] = field(default_factory=list)

    async def send(self, write: Write) -> None:
        """Write bytes, and read until the service has answered all of them."""
        stopped = self._count("Recording stopped") + write.stops
        invalid = self._count("Invalid message format") + write.invalid + 1
        self.socket.writer.write(write.data + MARK)
        while self._count("Invalid message format") < invalid or self._count("Recording stopped") < stopped:
            await self._read()

    async def end(self, write: Write) -> None:
        """Write bytes that end the conversation, and read up to its end."""
        self.socket.writer.write(write.data)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                await self._read()

    def _count(self, message: str) -> int:
        return sum(isinstance(one, dict) and one.get("message") == message for one in self.frames)

    async def _read(self) -> None:
        """Read the next frame."""
        opcode, payload = await self.socket.read_frame()
        if opcode == TEXT:
            self.frames.append({**json.loads(payload), "connectionId": None, "timestamp": None})
        else:
            self.frames.append([opcode, payload.hex()])


async def play(backend: RunningBackend, story: list[Step]) -> tuple[list[list[JSON]], list[int]]:
    """Return the frames of each conversation and the statuses of the requests."""
    statuses: list[int] = []
    await backend.until_ready()
    async with contextlib.AsyncExitStack() as stack, asyncio.timeout(HANG_TIMEOUT):
        conversations = [Conversation(await stack.enter_async_context(raw_client(backend.origin.port)))]
        for step in story[:-1]:
            if step is None:
                conversations.append(Conversation(await stack.enter_async_context(raw_client(backend.origin.port))))
            elif isinstance(step, Write):
                await conversations[-1].send(step)
            else:
                statuses.append((await backend.send(step)).status)
        assert isinstance(story[-1], Write)
        await conversations[-1].end(story[-1])
    return [one.frames for one in conversations], statuses


@pytest.mark.seeded
@pytest.mark.parametrize("is_contended", [False, True])
@pytest.mark.parametrize("seed", seeds(4 if IS_QUICK else 24))
async def test_writes_during_a_conversation_change_neither(keeping: BackendPair, seed: int, is_contended: bool) -> None:
    keeping.plant(DOCUMENTS)
    story = draw_story(random.Random(seed))
    legacy = await play(keeping.legacy, story)
    with contended() if is_contended else contextlib.nullcontext():
        assert await play(keeping.native, story) == legacy, story
    for collection in (*DOCUMENTS, "blacktokens"):
        assert keeping.stored(collection)[1] == [], (collection, story)

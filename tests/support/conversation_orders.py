"""Recordings and requests of one user at once, whose calls to outside services are answered in a chosen order.

Each actor has a script. A play runs the steps of all scripts in one order on a backend: each step ends when its effect
is known (a pong behind the answers, a call that has arrived, the frames of a released answer), so that the order is the
same on both backends, whatever their speed.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final, Literal, NamedTuple

from starlette.types import Receive, Scope, Send

from proxy.comparison.answers import DecodedAnswer
from proxy.recordings.model import RecordedRequest
from tests.support.backend_pair import RunningBackend, get, post
from tests.support.clinic import CONSULTATION, NOTE, PROMPT, TRANSCRIPT
from tests.support.outside_services import Answer, Script
from tests.support.waiting import HANG_TIMEOUT
from tests.support.websocket_client import RawSocket, frame, handshake, raw_client

PORTION: Final = 8
_AUDIO: Final = re.compile(rb"filename=\"(temp|final)-[^\"]*\".*?\r\n\r\n(socket-\d+ [^\r]*)\r\n", re.DOTALL)

Outcome = Literal["text", "blank", "undecodable", "refused"]
"""The model's answer to audio."""
Manner = Literal["1000", "1001", "1005", "4000", "long", "invalid", "reserved", "one byte", "half", "reset"]
"""How a client leaves: by a close frame, of which some are not valid, by ending its stream, or by dropping it."""
ENDS: Final[dict[Manner, bytes]] = {
    "1000": frame(8, b"\x03\xe8"),
    "1001": frame(8, b"\x03\xe9bye"),
    "1005": frame(8),
    "4000": frame(8, b"\x0f\xa0" + "\u00e9".encode()),
    "long": frame(8, b"\x03\xe8" + b"x" * 124),
    "invalid": frame(8, b"\x03\xe8\xff"),
    "reserved": frame(8, b"\x03\xee"),
    "one byte": frame(8, b"\x03"),
}


class Step(NamedTuple):
    """A step of an actor.

    A recording's client says a message, leaves, or gets the answer to its oldest call (`release`). The requests' client
    sends one, gets the answer to the oldest call, or another program removes all documents of a collection.
    """

    kind: Literal["say", "release", "leave", "send", "remove"]
    value: Any = None


@dataclass
class HeldServices:
    """The outside services of one backend. A call waits until it is released; `made` has all calls of each actor.

    The calls of a recording are those with its audio, all others are the requests'. `is_concurrent`: the backend makes
    all calls of a recording at once, instead of one after the other.
    """

    is_concurrent: bool
    made: dict[str, list[str]] = field(default_factory=dict)
    _held: dict[str, list[asyncio.Future[Answer]]] = field(default_factory=dict)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = b""
        while (message := await receive()).get("more_body"):
            body += message["body"]
        if message["type"] == "http.disconnect":  # the recording that called has ended
            return
        body += message.get("body", b"")
        if scope["path"].endswith("token"):
            await _give(Answer(body=b'{"access_token": "t", "expires_in": 300}'), scope, send)
            return
        audio = _AUDIO.search(body)
        actor = audio[2].split(b" ")[0].decode() if audio else "requests"
        call = f"{audio[1].decode()} {audio[2].decode()}" if audio else f"{scope['path']} {body.decode()}"
        self.made.setdefault(actor, []).append(call)
        released: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._held.setdefault(actor, []).append(released)
        self._changed.set()
        answer = await released
        with contextlib.suppress(OSError):
            await _give(answer, scope, send)

    def is_held(self, actor: str, calls: int = 1) -> bool:
        """Return whether as many calls of the actor wait as the backend makes at once, of so many."""
        return len(self._held.get(actor, ())) >= (calls if self.is_concurrent else min(calls, 1))

    async def release(self, actor: str, answer: Answer) -> None:
        """Answer the actor's oldest call, once it has arrived."""
        async with asyncio.timeout(HANG_TIMEOUT):
            while not self.is_held(actor):
                await self.wait()
        self._held[actor].pop(0).set_result(answer)

    async def wait(self) -> None:
        """Wait for a further call."""
        self._changed.clear()
        await self._changed.wait()

    def release_all(self) -> None:
        """Answer all calls that wait."""
        for held in self._held.values():
            for each in held:
                if not each.done():
                    each.set_result(Answer(400, b"{}"))


async def _give(answer: Answer, scope: Scope, send: Send) -> None:
    async def received() -> dict[str, Any]:
        return {"type": "http.request", "body": b""}

    await Script([answer])({**scope, "raw_path": b"", "query_string": b""}, received, send)


@dataclass
class Recording:
    """A client's WebSocket with the frames that it received; `expected` has the outcomes of the calls it awaits."""

    number: int
    socket: RawSocket
    services: HeldServices
    frames: list[Any] = field(default_factory=list)
    ending: tuple[str, bytes] | None = None
    chunks: int = -1
    is_recording: bool = False
    calls: list[Literal["temp", "final"]] = field(default_factory=list)
    is_reported: bool = False
    pings: int = 0
    released: int = 0

    @property
    def actor(self) -> str:
        """The name of its calls."""
        return f"socket-{self.number}"

    async def say(self, kind: str) -> None:
        """Send a message, or a portion of audio, and wait until it is answered and its call has arrived."""
        for message in self._messages(kind):
            self.socket.writer.write(frame(1, json.dumps(message).encode()))
        self.pings += 1
        self.socket.writer.write(frame(9, b"%d" % self.pings))
        while await self._read() != (10, b"%d" % self.pings):
            pass
        async with asyncio.timeout(HANG_TIMEOUT):
            while not self.services.is_held(self.actor, len(self.calls)):
                await self.services.wait()

    def _messages(self, kind: str) -> list[Any]:
        if kind == "start":
            self.is_recording, self.chunks, self.is_reported = True, -1, False
            return [{"type": "start_recording", "consultationId": CONSULTATION}]
        if kind == "stop":
            self.is_recording = False
            self.calls += ["final"] if self.chunks > 0 else []
            return [{"type": "stop_recording"}]
        if kind == "noise":
            return ["noise", {"type": "unknown"}, None]
        count = PORTION + (self.chunks < 0)
        first = max(self.chunks, 0)
        self.chunks += count if self.is_recording else 0
        self.calls += ["temp"] if self.is_recording else []
        data = [f"{self.actor} {first}" if at == 0 and first == 0 else f".{first + at}" for at in range(count)]
        return [{"type": "audio_chunk", "audioData": base64.b64encode(each.encode()).decode()} for each in data]

    async def release(self, outcome: Outcome) -> None:
        """Give the answer to the oldest call, and read the frames that follow from it."""
        if not self.calls or self.ending is not None:
            return
        kind = self.calls.pop(0)
        self.released += 1
        text = f" {outcome} {self.released}\n".encode()
        answers = {
            "text": Answer(200, text, "text/plain"),
            "blank": Answer(200, b" \n", "text/plain"),
            "undecodable": Answer(400, b'{"error": {"message": "could not be decoded"}}'),
            "refused": Answer(400, b'{"error": {"message": "quota"}}'),
        }
        await self.services.release(self.actor, answers[outcome])
        expected = 2 if kind == "final" else int(outcome == "text" or (outcome == "refused" and not self.is_reported))
        self.is_reported |= kind == "temp" and outcome == "refused"
        for _ in range(expected):
            await self._read()

    async def leave(self, manner: Manner) -> None:
        """End the connection, and read to the end of the backend's stream."""
        if self.ending is not None:
            return
        self.ending = ("reset", b"")
        if manner == "reset":
            self.socket.writer.transport.abort()
            return
        if manner == "half":
            self.socket.writer.write_eof()
        else:
            self.socket.writer.write(ENDS[manner])
        async with asyncio.timeout(HANG_TIMEOUT):
            self.ending = ("ended", await self.socket.read_rest())

    async def _read(self) -> tuple[int, bytes]:
        async with asyncio.timeout(HANG_TIMEOUT):
            opcode, data = await self.socket.read_frame()
        if opcode == 1:
            self.frames.append(json.loads(data))
        return opcode, data


@dataclass
class Outcomes:
    """The observations of one play: frames and ends of each recording, answers, and calls of each actor."""

    frames: list[list[Any]]
    endings: list[tuple[str, bytes] | None]
    answers: list[tuple[RecordedRequest, DecodedAnswer]]
    calls: dict[str, list[str]]


class Play:
    """The actors of one order on one backend."""

    def __init__(self, backend: RunningBackend, services: HeldServices, recordings: list[Recording]) -> None:
        self._backend = backend
        self._services = services
        self._recordings = recordings
        self._sent: list[tuple[RecordedRequest, asyncio.Task[DecodedAnswer]]] = []

    async def run(self, order: Sequence[tuple[int, Step]]) -> Outcomes:
        """Run the steps: an actor's number is that of its recording, or -1 for the requests."""
        for actor, step in order:
            await (self._request(step) if actor < 0 else self._converse(self._recordings[actor], step))
        while not all(task.done() for _, task in self._sent):
            await self._release_call()
        for recording in self._recordings:
            while recording.calls and recording.ending is None:
                await recording.release("text")
        answers = [(request, task.result()) for request, task in self._sent]
        frames = [each.frames for each in self._recordings]
        return Outcomes(frames, [each.ending for each in self._recordings], answers, self._services.made)

    async def _converse(self, recording: Recording, step: Step) -> None:
        if recording.ending is None:
            await getattr(recording, step.kind)(step.value)

    async def _request(self, step: Step) -> None:
        if step.kind == "remove":
            self._backend.database[step.value].delete_many({})
        elif step.kind == "release":
            await self._release_call()
        else:
            self._sent.append((step.value, asyncio.create_task(self._backend.send(step.value))))
            await self._settle()

    async def _release_call(self) -> None:
        """Answer the oldest call of the requests, if one waits."""
        if self._services.is_held("requests"):
            await self._services.release("requests", COMPLETION)
            await self._settle()

    async def _settle(self) -> None:
        """Wait until all requests are answered, or one waits for its next call."""
        while not self._services.is_held("requests"):
            if all(task.done() for _, task in self._sent):
                return
            waiting = asyncio.ensure_future(self._services.wait())
            await asyncio.wait([waiting, *(task for _, task in self._sent)], return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
            await asyncio.sleep(0)


COMPLETION: Final = Answer(
    body=b'{"choices": [{"message": {"content": "[1]"}}], "expansion": {"contains": [{"display": "d"}]}}'
)
REMOVED: Final = ("users", "consultations", "transcripts", "prompts")
SAID: Final = ("start", "audio", "audio", "audio", "stop", "start", "audio", "noise", "stop", "stop")


def random_order(chance: Random, token: str, expired: str) -> tuple[int, list[tuple[int, Step]]]:
    """Return the number of recordings, and the steps of all actors in a random order that retains each actor's."""
    recordings = chance.randint(1, 3)
    scripts = {number: _recording(chance) for number in range(recordings)} | {-1: _requests(chance, token, expired)}
    order = [actor for actor, script in scripts.items() for _ in script]
    chance.shuffle(order)
    positions: Counter[int] = Counter()
    steps = []
    for actor in order:
        steps.append((actor, scripts[actor][positions[actor]]))
        positions[actor] += 1
    return recordings, steps


def _recording(chance: Random) -> list[Step]:
    first, last = sorted(chance.sample(range(len(SAID) + 1), 2))
    steps = [Step("say", "start"), *(Step("say", kind) for kind in SAID[first:last])]
    for _ in range(chance.randint(0, 4)):
        outcome = chance.choice(("text", "text", "text", "blank", "undecodable", "refused"))
        steps.insert(chance.randint(1, len(steps)), Step("release", outcome))
    if chance.random() < 0.6:
        steps.append(Step("leave", chance.choice((*ENDS, "half", "reset"))))
    return _without_restart(steps)


def _without_restart(steps: list[Step]) -> list[Step]:
    """Release the calls of a recording before the next start, which the backends separate differently."""
    result: list[Step] = []
    for step in steps:
        if step == Step("say", "start") and result:
            result += [Step("release", "text")] * sum(each.kind == "say" for each in result)
        result.append(step)
    return result


def _requests(chance: Random, token: str, expired: str) -> list[Step]:
    steps: list[Step] = []
    for _ in range(chance.randint(1, 3)):
        author = expired if chance.random() < 0.1 else token
        steps.append(Step("send", chance.choice(_requests_of(author))))
        steps += [Step("release")] * chance.randint(0, 3)
        if chance.random() < 0.3:
            steps.append(Step("remove", chance.choice(REMOVED)))
    return steps


def _requests_of(token: str) -> list[RecordedRequest]:
    end = post(f"/api/consultation/{CONSULTATION}/end", {"prompt_used": PROMPT}, token)
    return [
        *(end, end, end),
        post("/api/ai/search?query=q", {}, token),
        post("/api/ai/analyze", {"prompt": "p", "images": []}, token),
        get("/api/ai/search/clinicalcodes?name=x", token),
        post("/api/transcript/update-text", {"transcript_id": TRANSCRIPT, "transcript_text": "New."}, token),
        post(f"/api/notes/{CONSULTATION}", {"body": "N", "transcriptId": TRANSCRIPT}, token),
        get(f"/api/notes/{NOTE}", token, "DELETE"),
        get(f"/api/consultation/{CONSULTATION}", token),
        get("/users/profile", token),
    ]


@contextlib.asynccontextmanager
async def playing(backend: RunningBackend, recordings: int, *, is_concurrent: bool) -> AsyncIterator[Play]:
    """Open the recordings of a play, which have received their greeting; `is_concurrent` as in `HeldServices`."""
    services = HeldServices(is_concurrent)
    await backend.until_ready()
    async with contextlib.AsyncExitStack() as stack:
        stack.enter_context(backend.outside.giving(services))
        opened = []
        for number in range(recordings):
            socket = await stack.enter_async_context(raw_client(backend.origin.port, handshake()))
            opened.append(Recording(number, socket, services))
            opened[-1].frames.append(json.loads((await socket.read_frame())[1]))
        try:
            yield Play(backend, services, opened)
        finally:
            services.release_all()

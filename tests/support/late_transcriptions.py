"""Random conversations with a legacy whose model answers each call after a random time, in virtual time.

The legacy is that of `demo/legacy/services/transcription.stream.js`: calls run at once, and their results are sent in
the order in which they end.
"""

from __future__ import annotations

import heapq
import itertools
import json
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random
from typing import Any, Final

from proxy.comparison.conversation import ClientMessage, Conversation, Ending, ServerMessage
from tests.support.exchanges import exchange

PORTION: Final = 8
LATENCY: Final = 0.001
"""Seconds between the gateway and the legacy."""
PARTS: Final = (0, 1, 2, 8, 9, 10, 17, 18, 25, 26, 33)
MODELS: Final = ((0.0, 0.05), (0.0, 1.0), (0.0, 3.0), (1.0, 2.0), (0.0, 8.0))
"""Least and greatest seconds of a call."""
LONGEST: Final = 10.0
"""Seconds in which every call ends."""
Said = tuple[float, str]
"""Seconds since the handshake, and a message."""


def late_conversation(chance: Random, *, recordings: int, fails: bool) -> Conversation:
    """Return a conversation of at most so many recordings. `fails`: calls may fail, or find nothing.

    The client of several recordings stays until all calls have ended. Otherwise a call of an earlier recording may be
    the one without an answer, for which native waits before it answers a later one.
    """
    client, end = _client(chance, recordings)
    legacy = _Legacy(chance, chance.choice(MODELS), chance.choice((0.0, 0.3)) if fails else 0.0)
    sent, received = list[ClientMessage](), list[ServerMessage]()
    events = [(at, 0, message) for at, message in client]
    events += [(at + LATENCY, 1, message) for at, message in legacy.answers(client) if at + LATENCY <= end]
    for at, by_server, message in sorted(events, key=lambda event: event[:2]):
        if by_server:
            received.append(ServerMessage(message, len(sent), at))
        else:
            sent.append(ClientMessage(message, len(received), at))
    handshake = exchange(b"", "", status=101, target="/transcription-stream")
    handshake = handshake._replace(headers=(), started=legacy.started, total=LATENCY)
    return Conversation(handshake, tuple(sent), tuple(received), Ending("client", 1000, "", len(sent), end))


def has_answer_before_start(conversation: Conversation) -> bool:
    """Return whether an answer arrives after the client's start of a recording and before the legacy's answer to it.

    The answer was on its way when the client started. The replay gives it after the start, which native answers first.
    """
    starts = [number for number, each in enumerate(conversation.sent, 1) if "start_recording" in str(each.data)]
    answered = (index for index, each in enumerate(conversation.received) if "recording_started" in str(each.data))
    return any(
        index and conversation.received[index - 1].after >= number
        for number, index in zip(starts, answered, strict=False)
    )


def _client(chance: Random, recordings: int) -> tuple[list[Said], float]:
    """Return the client's messages, and the time at which it leaves."""
    longest = chance.choice((0.0, 0.15, 1.0))
    said, now = list[Said](), 0.005

    def say(value: Any, pause: float) -> None:
        nonlocal now
        said.append((now, value if isinstance(value, str) else json.dumps(value)))
        now += pause + 1e-6

    for number in range(chance.randint(1, recordings)):
        say({"type": "start_recording", "consultationId": f"C-{number}"}, chance.uniform(0, longest))
        for _ in range(chance.choice(PARTS)):
            say({"type": "audio_chunk", "audioData": "QUJD"}, chance.choice((0.0, chance.uniform(0, longest))))
        if chance.random() < 0.1:
            say("no JSON", 0.0)
        say({"type": "stop_recording"}, chance.choice((0.0005, chance.uniform(0, 1), chance.uniform(0, 5))))
        if chance.random() < 0.2:
            say({"type": "stop_recording"}, chance.uniform(0, 1))
    stay = chance.choice((0.0, chance.uniform(0, 0.1), chance.uniform(0, 3), LONGEST))
    return said, now + (stay if recordings == 1 else LONGEST)


@dataclass
class _Legacy:
    """A connection of the legacy; a call of the model takes some of `seconds`."""

    chance: Random
    seconds: tuple[float, float]
    failing: float
    started: float = field(default_factory=time.time)
    is_recording: bool = False
    chunks: int = -1
    text: str = ""
    is_reported: bool = False

    def answers(self, client: list[Said]) -> Iterator[Said]:
        """Yield the legacy's messages in their order, with their times."""
        numbers = itertools.count()
        identity = f"conn-{int(self.started * 1000)}-abcdefghi"
        yield LATENCY, _json("connection", connectionId=identity, message="Connected to transcription stream")
        events = [(at + LATENCY, next(numbers), "client", message) for at, message in client]
        while events:
            at, _, kind, content = heapq.heappop(events)
            call = None
            if kind == "client":
                call = yield from self._handle(at, content)
            else:
                yield from self._finish(at, content, is_final=kind == "final")
            if call is not None:
                heapq.heappush(events, (at + self.chance.uniform(*self.seconds), next(numbers), call, self._outcome()))

    def _outcome(self) -> str:
        """Return a text, the empty one for a call that finds nothing, or `failure`."""
        if self.chance.random() >= self.failing:
            return f"heard {self.chance.randrange(1000)}"
        return self.chance.choice(("", "failure"))

    def _handle(self, at: float, message: str) -> Generator[Said, None, str | None]:
        """Yield the answers to a message; return the kind of the call to the model that it causes."""
        kind = json.loads(message)["type"] if message.startswith("{") else ""
        if not kind:
            yield at, _json("error", message="Invalid message format")
        elif kind == "start_recording":
            self.is_recording, self.chunks, self.text, self.is_reported = True, -1, "", False
            identity = json.loads(message)["consultationId"]
            yield at, _json("recording_started", consultationId=identity, message="Recording started - Speak now!")
        elif kind == "audio_chunk":
            self.chunks += self.is_recording
            return "partial" if self.chunks > 0 and self.chunks % PORTION == 0 else None
        else:
            self.is_recording = False
            if self.chunks > 0:
                return "final"
            yield at, _json("recording_stopped", message="Recording stopped")
        return None

    def _finish(self, at: float, outcome: str, *, is_final: bool) -> Iterator[Said]:
        moment = datetime.fromtimestamp(self.started + at, UTC).isoformat(timespec="milliseconds")
        stamp = moment.replace("+00:00", "Z")
        if is_final:
            if outcome == "failure":
                yield at, _json("error", message="Final transcription failed", timestamp=stamp)
            else:
                yield at, _json("transcript", text=outcome, timestamp=stamp, isPartial=False, isFinal=True)
            yield at, _json("recording_stopped", message="Recording stopped")
        elif outcome == "failure":
            if not self.is_reported:
                yield at, _json("error", message="Transcription temporarily unavailable", timestamp=stamp)
            self.is_reported = True
        elif outcome:
            self.text = f"{self.text} {outcome}" if self.text else outcome
            yield at, _json("transcript", text=self.text, timestamp=stamp, isPartial=True)


def _json(kind: str, **fields: object) -> str:
    return json.dumps({"type": kind, **fields}, separators=(",", ":"))

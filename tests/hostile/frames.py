"""Hostile WebSocket frames after a handshake: long texts, texts as fields of messages, many small frames."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from random import Random
from typing import Final, NamedTuple

from tests.hostile.person import Person
from tests.hostile.values import mixtures, texts
from tests.support.websocket_client import frame

MESSAGES: Final = (
    ("a message", "*"),
    ("audioData", '{"type":"audio_chunk","audioData":*}'),
    ("consultationId", '{"type":"start_recording","consultationId":*}'),
)
"""Places of a text: their names, and messages in which `*` is replaced by it."""


class HostileFrames(NamedTuple):
    """Bytes that are sent after the handshake of one target."""

    name: str
    target: str
    content: bytes

    def __str__(self) -> str:
        return f"WS {self.target.split('?')[0]}: {self.name}"


def hostile_frames(person: Person, size: int, seed: int) -> Iterator[HostileFrames]:
    """Yield every text as a message, or as a field of one, for one of two targets."""
    chance = Random(seed)
    token = person.headers["authorization"].split(" ")[1]
    targets = ("/transcription-stream", f"/api/v1/transcription-stream?token={token}")
    for name, text in itertools.chain(texts(size), mixtures(size, chance)):
        field, message = chance.choice(MESSAGES)
        content = frame(1, message.replace("*", text).encode("utf-8", "surrogatepass"))
        yield HostileFrames(f"{name} as {field}", chance.choice(targets), content)
    for name, frames in small_frames(size):
        yield HostileFrames(name, targets[0], frames)


def small_frames(size: int) -> Iterator[tuple[str, bytes]]:
    """Return masked frames with as little content as possible, at most `size` bytes and about 1 MB in all."""
    size = min(size, 1_000_000)
    for name, one in (("empty fragments", frame(0, fin=False)), ("fragments of a byte", frame(0, b"x", fin=False))):
        yield name, frame(2, fin=False) + one * (size // len(one)) + frame(0)
    for name, one in (("pings", frame(9)), ("pongs", frame(10)), ("short messages", frame(1, b"1"))):
        yield name, one * (size // len(one))

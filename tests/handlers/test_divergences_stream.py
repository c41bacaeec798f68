"""The declared divergences of the WebSocket: messages, their order, and the stored audio."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import pytest
from websockets.asyncio.client import connect

from handlers.json_structure import MAX_VALUES
from handlers.services.transcription import MAX_WAITING
from proxy.contract.divergences import Occurrence
from proxy.recordings.comparing import compare_frames
from proxy.recordings.websocket_player import PlaybackPace, converse
from proxy.types import JSON
from tests.support.backend_pair import BackendPair, RunningBackend, assert_traced, names, shows
from tests.support.outside_services import Answer, Choice, Script
from tests.support.waiting import HANG_TIMEOUT, PROMPT_TIMEOUT, until

pytestmark = pytest.mark.asyncio(loop_scope="session")

START: JSON = {"type": "start_recording", "consultationId": "C"}
STOP: JSON = {"type": "stop_recording"}


AUDIO: Final = {"all": "final-", "two": 12 * "b", "one": 12 * "a"}
"""Texts of a recording, of its second portion and of its first, and a word that the model's call contains."""


def chunks(count: int, size: int = 6, audio: str = "a") -> list[JSON]:
    encoded = base64.b64encode(audio.encode() * size).decode()
    return [{"type": "audio_chunk", "audioData": encoded}] * count


def transcription(text: str, gate: asyncio.Event | None = None) -> Answer:
    return Answer(body=text.encode(), content_type="text/plain", gate=gate)


async def recorded(backend: RunningBackend, sent: Sequence[JSON], expected: int, *answers: Answer) -> list[str]:
    """Return the frames after the greeting, each by its content."""
    pace = PlaybackPace(between=0.002, timeout=PROMPT_TIMEOUT, grace=0.05)
    await backend.until_ready()
    with backend.outside.giving(Script(answers)):
        frames = await converse(backend.origin, "/transcription-stream", sent, expected + 1, pace)
    return [content(frame) for frame in frames[1:]]


def content(frame: Any) -> str:
    """Return the text of a frame, or its message in angle brackets."""
    return frame.get("text") or f"<{frame['message']}>"


async def recorded_in_order(
    backend: RunningBackend, sent: Sequence[JSON], expected: int, given: Mapping[str, str]
) -> list[str]:
    """Return the frames after the greeting, by their content; the model gives each text after a frame, or at once.

    `given` has the content of that frame, or nothing, for the texts in AUDIO. All frames are sent before one is read.
    """
    gates = {frame: asyncio.Event() for frame in given.values() if frame}
    model = Choice({word: [transcription(text, gates.get(given[text]))] for text, word in AUDIO.items()})
    frames: list[str] = []
    await backend.until_ready()
    with backend.outside.giving(model):
        async with (
            asyncio.timeout(HANG_TIMEOUT),
            connect(f"ws://{backend.origin.authority}/transcription-stream") as socket,
        ):
            await socket.recv()
            for frame in sent:
                await socket.send(json.dumps(frame))
            await until(lambda: model.bodies)
            await asyncio.sleep(0.5)  # in which a backend that does not wait for the first text emits others
            while len(frames) < expected:
                frames.append(content(json.loads(await socket.recv())))
                if gate := gates.get(frames[-1]):
                    gate.set()
    return frames


def assert_framed(legacy: list[str], native: list[str], identity: str, scenario: str) -> None:
    differences = compare_frames(legacy, native, names())
    assert_traced((Occurrence("WS /transcription-stream", scenario), differences), identity)


BEGIN, END_OF = "<Recording started - Speak now!>", "<Recording stopped>"


@shows("audio-bounded")
async def test_divergence_of_a_long_recording(short_recordings: BackendPair) -> None:
    long = [START, *chunks(9, 600), STOP]
    legacy = await recorded(short_recordings.legacy, long, 4, transcription("p"), transcription("all"))
    native = await recorded(short_recordings.native, long, 4, transcription("all"))
    assert sorted(legacy) == sorted([BEGIN, "p", "all", END_OF])
    assert native == [BEGIN, "<Recording too long>", "all", END_OF]
    assert_framed(legacy, native, "audio-bounded", "recording-too-long")
    claimed: list[JSON] = [START, {"type": "audio_chunk", "audioData": {"length": 5000}}, STOP]
    legacy, native = (
        await recorded(short_recordings.legacy, claimed, 2),
        await recorded(short_recordings.native, claimed, 3),
    )
    assert (legacy, native) == ([BEGIN, END_OF], [BEGIN, "<Error processing audio>", END_OF])
    assert_framed(legacy, native, "audio-bounded", "claims-to-be-too-long")


@shows("transcriptions-in-order")
async def test_transcriptions_that_overtake_each_other(backends: BackendPair) -> None:
    sent = [START, *chunks(1, audio="h"), *chunks(8), *chunks(8, audio="b"), STOP]
    legacy = await recorded_in_order(backends.legacy, sent, 5, {"one": "two", "two": END_OF, "all": ""})
    native = await recorded_in_order(backends.native, sent, 5, {"one": BEGIN, "two": "", "all": ""})
    assert legacy == [BEGIN, "all", END_OF, "two", "two one"]
    assert native == [BEGIN, "one", "one two", "all", END_OF]
    assert_framed(legacy, native, "transcriptions-in-order", "some-transcriptions-overtake")


async def test_divergence_of_too_many_waiting_calls(backends: BackendPair) -> None:
    many = [START, *chunks(1 + 8 * (MAX_WAITING + 1)), STOP]
    said = await recorded(backends.native, many, 3, Answer(hang=True))
    assert said == [BEGIN, "<Transcription temporarily unavailable>", "<Final transcription failed>", END_OF]
    assert await recorded(backends.legacy, many, 1, Answer(hang=True)) == [BEGIN]


@shows("recordings-apart")
async def test_divergence_of_text_after_the_next_start(backends: BackendPair) -> None:
    header = chunks(1, audio="h")
    sent = [START, *header, *chunks(8), START, *header, *chunks(8, audio="b"), STOP]
    legacy = await recorded_in_order(backends.legacy, sent, 6, {"one": "two", "two": BEGIN, "all": "two one"})
    native = await recorded_in_order(backends.native, sent, 6, {"one": BEGIN, "two": "", "all": ""})
    assert legacy == [BEGIN, BEGIN, "two", "two one", "all", END_OF]
    assert native == [BEGIN, BEGIN, "one", "two", "all", END_OF]
    assert_framed(legacy, native, "recordings-apart", "recording-started-anew")


@shows("json-bounded")
async def test_divergence_of_a_large_frame(backends: BackendPair) -> None:
    large: JSON = {"type": "start_recording", "consultationId": [0 for _ in range(MAX_VALUES)]}
    sent = [large, *chunks(2), STOP]
    legacy, native = (
        await recorded(backends.legacy, sent, 3, transcription("all")),
        await recorded(backends.native, sent, 2),
    )
    assert legacy == [BEGIN, "all", END_OF]
    assert native == ["<Invalid message format>", END_OF]
    assert_framed(legacy, native, "json-bounded", "one-frame-too-large")

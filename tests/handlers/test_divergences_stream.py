"""The declared divergences of the WebSocket: messages, their order, and the stored audio."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Sequence
from typing import Any

import pytest

from handlers.json_structure import MAX_VALUES
from handlers.services.transcription import MAX_WAITING
from proxy.contract.divergences import Occurrence
from proxy.recordings.comparing import compare_frames
from proxy.recordings.websocket_player import PlaybackPace, converse
from proxy.types import JSON
from tests.support.backend_pair import Twin, Twins, assert_traced, names, shows
from tests.support.outside_services import Answer, Script
from tests.support.waiting import PROMPT_TIMEOUT

pytestmark = pytest.mark.asyncio(loop_scope="session")

START: JSON = {"type": "start_recording", "consultationId": "C"}
STOP: JSON = {"type": "stop_recording"}


def chunks(count: int, size: int = 6) -> list[JSON]:
    audio = base64.b64encode(b"a" * size).decode()
    return [{"type": "audio_chunk", "audioData": audio}] * count


def transcription(text: str, delay: float = 0.0) -> Answer:
    return Answer(body=text.encode(), content_type="text/plain", delay=delay)


async def recorded(twin: Twin, sent: Sequence[JSON], expected: int, *answers: Answer) -> list[str]:
    """Return the frames after the greeting, each by its content."""
    pace = PlaybackPace(between=0.002, timeout=PROMPT_TIMEOUT, grace=0.05)
    with twin.outside.giving(Script(answers)):
        frames = await converse(twin.origin, "/transcription-stream", sent, expected + 1, pace)
    said: list[Any] = frames[1:]
    return [frame.get("text") or f"<{frame['message']}>" for frame in said]


def assert_framed(ours: list[str], theirs: list[str], identity: str, scenario: str) -> None:
    differences = compare_frames(ours, theirs, names())
    assert_traced((Occurrence("WS /transcription-stream", scenario), differences), identity)


BEGIN, END_OF = "<Recording started - Speak now!>", "<Recording stopped>"


@shows("audio-bounded")
async def test_divergence_of_a_long_recording(short_recordings: Twins) -> None:
    long = [START, *chunks(9, 600), STOP]
    ours = await recorded(short_recordings.legacy, long, 4, transcription("p"), transcription("all"))
    theirs = await recorded(short_recordings.native, long, 4, transcription("all"))
    assert sorted(ours) == sorted([BEGIN, "p", "all", END_OF])
    assert theirs == [BEGIN, "<Recording too long>", "all", END_OF]
    assert_framed(ours, theirs, "audio-bounded", "recording-too-long")
    claimed: list[JSON] = [START, {"type": "audio_chunk", "audioData": {"length": 5000}}, STOP]
    ours, theirs = (
        await recorded(short_recordings.legacy, claimed, 2),
        await recorded(short_recordings.native, claimed, 3),
    )
    assert (ours, theirs) == ([BEGIN, END_OF], [BEGIN, "<Error processing audio>", END_OF])
    assert_framed(ours, theirs, "audio-bounded", "claims-to-be-too-long")


@shows("transcriptions-in-order")
async def test_transcriptions_that_overtake_each_other(twins: Twins) -> None:
    answers = (transcription("one", 2.0), transcription("two", 1.0), transcription("all", 0.05))
    sent = [START, *chunks(17), STOP]
    ours, theirs = await asyncio.gather(*(recorded(twin, sent, 5, *answers) for twin in (twins.legacy, twins.native)))
    assert ours == [BEGIN, "all", END_OF, "two", "two one"]
    assert theirs == [BEGIN, "one", "one two", "all", END_OF]
    assert_framed(ours, theirs, "transcriptions-in-order", "some-transcriptions-overtake")


async def test_divergence_of_too_many_waiting_calls(twins: Twins) -> None:
    many = [START, *chunks(1 + 8 * (MAX_WAITING + 1)), STOP]
    said = await recorded(twins.native, many, 3, Answer(hang=True))
    assert said == [BEGIN, "<Transcription temporarily unavailable>", "<Final transcription failed>", END_OF]
    assert await recorded(twins.legacy, many, 1, Answer(hang=True)) == [BEGIN]


@shows("recordings-apart")
async def test_divergence_of_text_after_the_next_start(twins: Twins) -> None:
    sent = [START, *chunks(9), START, *chunks(9), STOP]
    answers = (transcription("one", 1.5), transcription("two", 0.3), transcription("all", 3.0))
    ours, theirs = await asyncio.gather(*(recorded(twin, sent, 6, *answers) for twin in (twins.legacy, twins.native)))
    assert ours == [BEGIN, BEGIN, "two", "two one", "all", END_OF]
    assert theirs == [BEGIN, BEGIN, "one", "two", "all", END_OF]
    assert_framed(ours, theirs, "recordings-apart", "recording-started-anew")


@shows("json-bounded")
async def test_divergence_of_a_large_frame(twins: Twins) -> None:
    large: JSON = {"type": "start_recording", "consultationId": [0 for _ in range(MAX_VALUES)]}
    sent = [large, *chunks(2), STOP]
    ours, theirs = await recorded(twins.legacy, sent, 3, transcription("all")), await recorded(twins.native, sent, 2)
    assert ours == [BEGIN, "all", END_OF]
    assert theirs == ["<Invalid message format>", END_OF]
    assert_framed(ours, theirs, "json-bounded", "one-frame-too-large")

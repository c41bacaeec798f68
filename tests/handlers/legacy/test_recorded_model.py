"""The model of a dry run: the result and the end of each of its calls, from the legacy's messages."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from typing import Any

import pytest

from handlers.dry_run import ServedMessage
from handlers.legacy.recorded_model import RecordedModel
from handlers.services.model import ModelError, ModelRefusedError
from handlers.services.transcription import PORTION, is_undecodable

STARTED = {"type": "recording_started"}
UNAVAILABLE = {"type": "error", "message": "Transcription temporarily unavailable"}
FAILED = {"type": "error", "message": "Final transcription failed"}


def partial(text: str) -> dict[str, Any]:
    return {"type": "transcript", "text": text, "isPartial": True}


def final(text: str) -> dict[str, Any]:
    return {"type": "transcript", "text": text, "isPartial": False, "isFinal": True}


CHUNK = {"type": "audio_chunk", "audioData": "QUJD"}
START, STOP = {"type": "start_recording"}, {"type": "stop_recording"}


def recording(parts: int, stops: int = 1) -> list[dict[str, Any]]:
    """Return the client's messages of a recording with so many complete parts and one more chunk."""
    return [START, CHUNK, *[CHUNK] * (PORTION * parts + 1), *[STOP] * stops]


def model(*messages: object, sent: Sequence[object], waited: list[int] | None = None) -> RecordedModel:
    """Return a model that has answered `sent` with these messages, after all of the client's unless they are pairs."""

    async def until(number: int) -> None:
        if waited is not None:
            waited.append(number)
        if number == sys.maxsize:
            await asyncio.Event().wait()

    placed = [each if isinstance(each, tuple) else (len(sent), each) for each in messages]
    served: list[ServedMessage] = [{"after": after, "message": text(each)} for after, each in placed]
    return RecordedModel(served, [text(each) for each in sent], until)


def text(message: Any) -> str | bytes:
    return message if isinstance(message, str | bytes) else json.dumps(message)


async def outcomes(recorded: RecordedModel, *names: str) -> list[str]:
    """Return the text, or the failure, of each call."""
    results = []
    for name in names:
        try:
            results.append(await recorded.transcribe(b"", f"{name}-conn-1.webm"))
        except ModelError as error:
            results.append("undecodable" if is_undecodable(error) else "failed")
    return results


async def test_calls_end_as_recorded() -> None:
    waited: list[int] = []
    served = [(1, STARTED), (11, partial("a")), "no JSON", b"[]", (19, partial("a b c")), final("all")]
    recorded = model(*served, sent=recording(2), waited=waited)
    assert await outcomes(recorded, "temp", "temp", "final") == ["a", "b c", "all"]
    assert waited == [11, 19, 20]


async def test_recordings_have_separate_texts() -> None:
    sent = recording(1) * 2
    served = [STARTED, (12, partial("a")), (12, final("a")), STARTED, partial("a b"), FAILED]
    recorded = model(*served, sent=sent)
    assert await outcomes(recorded, "temp", "final", "temp", "final") == ["a", "a", "a b", "failed"]


async def test_calls_without_a_message_could_not_be_decoded() -> None:
    recorded = model(STARTED, (10, UNAVAILABLE), final("all"), sent=recording(2))
    assert await outcomes(recorded, "temp", "temp", "final", "temp") == ["failed", "undecodable", "all", "undecodable"]


async def test_outcome_is_that_of_a_call_before_it() -> None:
    sent = recording(1) * 2
    recorded = model(STARTED, (14, STARTED), (14, final("one")), (14, partial("late")), final("two"), sent=sent)
    assert await outcomes(recorded, "temp", "final", "temp", "final") == ["late", "one", "undecodable", "two"]


async def test_text_after_that_of_the_whole_is_given_no_later() -> None:
    waited: list[int] = []
    sent = [*recording(1), "x", "x"]
    recorded = model(STARTED, (12, final("all")), (14, partial("a")), sent=sent, waited=waited)
    assert await outcomes(recorded, "temp", "final") == ["a", "all"]
    assert waited == [12, 12]


async def test_late_texts_do_not_contain_those_before_the_whole() -> None:
    recorded = model(STARTED, partial("a"), final("all"), partial("a b"), sent=recording(2))
    assert await outcomes(recorded, "temp", "temp", "final") == ["a", "b", "all"]


async def test_recording_that_is_stopped_twice_has_two_final_texts() -> None:
    recorded = model(STARTED, final("a"), final("b"), sent=recording(0, stops=2))
    assert await outcomes(recorded, "final", "final") == ["a", "b"]


async def test_parts_after_an_unanswered_final_call_have_no_text() -> None:
    recorded = model(STARTED, partial("a"), sent=recording(1) * 2)
    assert await outcomes(recorded, "temp") == ["a"]


async def test_final_call_without_an_answer_never_ends() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.02):
            await model(STARTED, sent=recording(0)).transcribe(b"", "final-conn-1.webm")


async def test_undecodable_call_is_a_refusal() -> None:
    with pytest.raises(ModelRefusedError):
        await model(sent=recording(1)).transcribe(b"", "temp-conn-1.webm")

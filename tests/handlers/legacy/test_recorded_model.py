"""The model of a dry run: the result and the end of each of its calls, from the legacy's messages."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import pytest

from handlers.dry_run import ServedMessage
from handlers.legacy.recorded_model import RecordedModel
from handlers.services.model import ModelError, ModelRefusedError
from handlers.services.transcription import is_undecodable

STARTED = {"type": "recording_started"}
UNAVAILABLE = {"type": "error", "message": "Transcription temporarily unavailable"}
FAILED = {"type": "error", "message": "Final transcription failed"}


def partial(text: str) -> dict[str, Any]:
    return {"type": "transcript", "text": text, "isPartial": True}


def final(text: str) -> dict[str, Any]:
    return {"type": "transcript", "text": text, "isPartial": False, "isFinal": True}


def model(*messages: object, waited: list[int] | None = None) -> RecordedModel:
    """Return a model that has answered with these messages, each after one more of the client's."""

    async def until(number: int) -> None:
        if waited is not None:
            waited.append(number)
        if number == sys.maxsize:
            await asyncio.Event().wait()

    served: list[ServedMessage] = [
        {"after": index, "message": each if isinstance(each, str | bytes) else json.dumps(each)}
        for index, each in enumerate(messages)
    ]
    return RecordedModel(served, until)


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
    recorded = model(STARTED, partial("a"), "no JSON", b"[]", partial("a b c"), final("all"), waited=waited)
    assert await outcomes(recorded, "temp", "temp", "final") == ["a", "b c", "all"]
    assert waited == [1, 4, 5]


async def test_recordings_have_separate_texts() -> None:
    recorded = model(STARTED, partial("a"), final("a"), STARTED, partial("a b"), FAILED)
    assert await outcomes(recorded, "temp", "final", "temp", "final") == ["a", "a", "a b", "failed"]


async def test_calls_without_a_message_could_not_be_decoded() -> None:
    recorded = model(STARTED, UNAVAILABLE, final("all"))
    assert await outcomes(recorded, "temp", "temp", "final", "temp") == ["failed", "undecodable", "all", "undecodable"]


async def test_final_call_skips_partial_ones() -> None:
    assert await outcomes(model(STARTED, partial("a"), final("all")), "final") == ["all"]


async def test_late_text_follows_the_order_of_calls() -> None:
    recorded = model(STARTED, final("all"), partial("a"), STARTED, partial("b"), final("b"))
    assert await outcomes(recorded, "temp", "temp", "final") == ["a", "undecodable", "all"]
    assert await outcomes(recorded, "temp", "final") == ["b", "b"]


async def test_recording_that_is_stopped_twice_has_two_final_texts() -> None:
    assert await outcomes(model(STARTED, final("a"), final("b")), "final", "final") == ["a", "b"]


async def test_final_call_without_an_answer_never_ends() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.02):
            await model(STARTED).transcribe(b"", "final-conn-1.webm")


async def test_undecodable_call_is_a_refusal() -> None:
    with pytest.raises(ModelRefusedError):
        await model().transcribe(b"", "temp-conn-1.webm")

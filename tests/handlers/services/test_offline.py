"""Answers of the offline services: always the same, in the form of the real services."""

from __future__ import annotations

import json

from handlers.services.assistant import Assistant
from handlers.services.offline import CODES, TEXT, OfflineModel, OfflineTerminology
from handlers.services.terminology import Finder
from handlers.services.transcription import Transcribe


async def test_conversations_are_answered_with_a_text() -> None:
    model = OfflineModel()
    assistant = Assistant(model)
    assert await assistant.search("what is asthma?") == TEXT
    assert await assistant.analyze("look", ["https://x/y.png"]) == TEXT
    assert await assistant.summarise(["said"], ["odd", "instructions"]) == TEXT
    assert await model.complete([{"role": "system"}]) == TEXT
    await model.close()


async def test_consultation_is_concluded_with_codes() -> None:
    said = await Assistant(OfflineModel()).conclude("Sum up.", "Patient: …")
    assert said.summary == TEXT
    assert isinstance(said.highlights, list)
    assert [sorted(each) for each in said.highlights] == [["possible_snomed", "term"]]
    assert json.loads(json.dumps(said.highlights)) == said.highlights


async def test_offline_audio_has_a_constant_text() -> None:
    transcribe: Transcribe = OfflineModel().transcribe
    assert await transcribe(b"audio", "temp-1.webm") == TEXT


async def test_offline_codes_ignore_the_term() -> None:
    finder: Finder = (terminology := OfflineTerminology())
    assert await finder.find("asthma") == await finder.find(None) == list(CODES)
    await terminology.close()

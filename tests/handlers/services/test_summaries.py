"""Summaries of stored consultations, on a real MongoDB."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import pytest
from bson import ObjectId

from handlers.services.assistant import Assistant
from handlers.services.instructions import SHIPPED
from handlers.services.model import Message
from handlers.services.summaries import NoTranscriptsError, Summaries
from handlers.storage.store import Store


class Echo:
    """A model that answers with its input."""

    async def complete(self, messages: Sequence[Message]) -> str:
        return "|".join(str(message["content"]) for message in messages)


@pytest.fixture
async def store(mongodb_url: str) -> AsyncIterator[Store]:
    opened = Store(mongodb_url, f"summaries-{ObjectId()}")
    yield opened
    while await opened.transcripts.delete({}):
        pass
    await opened.close()


@pytest.fixture
def summaries(store: Store) -> Summaries:
    return Summaries(store.transcripts, Assistant(Echo()))


async def _consultation(store: Store, *texts: object) -> ObjectId:
    consultation = ObjectId()
    ids = sorted(ObjectId() for _ in texts)
    for identity, text in reversed(list(zip(ids, texts, strict=True))):
        said = {} if text is None else {"transcript_text": text}
        await store.transcripts.insert({"_id": identity, "consultation": consultation, **said})
    return consultation


async def test_consultations_transcripts_are_summarised_oldest_first(store: Store, summaries: Summaries) -> None:
    consultation = await _consultation(store, "first", None, " ", 5, "second")
    await _consultation(store, "somebody else's")
    assert await summaries.summarise(consultation) == f"{SHIPPED.summary.text}|first\n\nsecond"
    assert await summaries.summarise(consultation, "Brief.") == "Brief.|first\n\nsecond"


async def test_consultation_without_any_text_is_not_summarised(store: Store, summaries: Summaries) -> None:
    with pytest.raises(NoTranscriptsError):
        await summaries.summarise(await _consultation(store))
    with pytest.raises(NoTranscriptsError):
        await summaries.summarise(await _consultation(store, "", None))

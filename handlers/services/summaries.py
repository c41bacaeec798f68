"""Summaries of consultations that are still to be had: the transcripts from the store, the text from the model."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Protocol

from bson import ObjectId

from handlers.services.assistant import Assistant


class NoConsultationError(Exception):
    """There is no consultation of that id."""


class NoTranscriptsError(Exception):
    """The consultation has no transcript with anything in it."""


class Documents(Protocol):
    """The part of a stored collection that is read here."""

    async def find_by(
        self, field: str, value: object, fields: Sequence[str] = ()
    ) -> Sequence[Mapping[str, object]]: ...


class Summaries:
    """Summaries on demand; nothing of them is stored."""

    def __init__(self, consultations: Documents, transcripts: Documents, assistant: Assistant) -> None:
        self._consultations = consultations
        self._transcripts = transcripts
        self._assistant = assistant

    async def summarise(self, consultation: ObjectId, instructions: object = None) -> str:
        """A summary of all that a consultation's transcripts say, oldest first: SOAP unless instructed.

        Raises `NoConsultationError`, `NoTranscriptsError` or `ModelError`.
        """
        held, found = await asyncio.gather(
            self._consultations.find_by("_id", consultation, ("_id",)),
            self._transcripts.find_by("consultation", consultation, ("transcript_text",)),
        )
        if not held:
            raise NoConsultationError
        texts = [document.get("transcript_text") for document in sorted(found, key=_identity)]
        said = [text for text in texts if isinstance(text, str) and text.strip()]
        if not said:
            raise NoTranscriptsError
        return await self._assistant.summarise(said, instructions)


def _identity(document: Mapping[str, object]) -> str:
    return str(document["_id"])

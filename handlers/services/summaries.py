"""Summaries on demand: the transcripts from the store, the text from the model."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from bson import ObjectId

from handlers.services.assistant import Assistant


class NoTranscriptsError(Exception):
    """A consultation without any transcript text."""


class Documents(Protocol):
    """The read access to a stored collection."""

    async def find_by(
        self, field: str, value: object, fields: Sequence[str] = ()
    ) -> Sequence[Mapping[str, object]]: ...


class Summaries:
    """Creates summaries, which are not stored."""

    def __init__(self, transcripts: Documents, assistant: Assistant) -> None:
        self._transcripts = transcripts
        self._assistant = assistant

    async def summarise(self, consultation: ObjectId, instructions: object = None) -> str:
        """Return a summary of a consultation's transcripts, oldest first, in SOAP format unless instructed otherwise.

        Raises `NoTranscriptsError` or `ModelError`.
        """
        transcripts = await self._transcripts.find_by("consultation", consultation, ("transcript_text",))
        texts = [document.get("transcript_text") for document in sorted(transcripts, key=_identity)]
        spoken = [text for text in texts if isinstance(text, str) and text.strip()]
        if not spoken:
            raise NoTranscriptsError
        return await self._assistant.summarise(spoken, instructions)


def _identity(document: Mapping[str, object]) -> str:
    return str(document["_id"])

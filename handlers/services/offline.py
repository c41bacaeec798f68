"""The model and the terminology server for when nobody may be asked: a dry run's answer is made without them.

What they say is always the same, and of the kind that the real ones say: a text, JSON where codes are asked
for, concepts of SNOMED CT. Nothing of a question is in it.
"""

from collections.abc import Sequence
from typing import Final

from handlers.services.assistant import CODING
from handlers.services.model import Message
from handlers.services.terminology import Code

TEXT: Final = "No model was called: this is the answer of a dry run."
HIGHLIGHTS: Final = '[{"term": "Diabetes mellitus type 2", "possible_snomed": "44054006"}]'
CODES: Final = (
    Code("Diabetes mellitus type 2", "44054006", "http://snomed.info/sct"),
    Code("Diabetes mellitus", "73211009", "http://snomed.info/sct"),
)


class OfflineModel:
    """As `Model`, with its answers at hand."""

    async def complete(self, messages: Sequence[Message]) -> str:
        """A text, or JSON for whoever asks for codes."""
        instructions = messages[0].get("content")
        return HIGHLIGHTS if isinstance(instructions, str) and instructions.startswith(CODING) else TEXT

    async def transcribe(self, audio: bytes, name: str) -> str:
        """A text."""
        return TEXT

    async def close(self) -> None:
        """There is nothing to close."""


class OfflineTerminology:
    """As `Terminology`, with its answers at hand."""

    async def find(self, term: str | Sequence[str] | None) -> list[Code]:
        """Two codes, whatever the term."""
        return list(CODES)

    async def close(self) -> None:
        """There is nothing to close."""

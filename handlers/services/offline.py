"""The model and the terminology server without network access, for dry runs.

Their answers are constant and of the type that the real services return: a text, JSON for coding requests, SNOMED CT
concepts. They contain nothing of the request.
"""

from collections.abc import Sequence
from typing import Final

from handlers.services.instructions import SHIPPED, Instructions
from handlers.services.model import Message
from handlers.services.terminology import Code

TEXT: Final = "No model was called: this is the answer of a dry run."
HIGHLIGHTS: Final = '[{"term": "Diabetes mellitus type 2", "possible_snomed": "44054006"}]'
CODES: Final = (
    Code("Diabetes mellitus type 2", "44054006", "http://snomed.info/sct"),
    Code("Diabetes mellitus", "73211009", "http://snomed.info/sct"),
)


class OfflineModel:
    """An `LLMClient` with constant answers; it recognises a coding request by the instructions' opening."""

    def __init__(self, instructions: Instructions = SHIPPED) -> None:
        self._opening = instructions.codes.opening

    async def complete(self, messages: Sequence[Message]) -> str:
        """Return a text, or JSON for a coding request."""
        instructions = messages[0].get("content")
        return HIGHLIGHTS if isinstance(instructions, str) and instructions.startswith(self._opening) else TEXT

    async def transcribe(self, audio: bytes, name: str) -> str:
        """Return a text."""
        return TEXT

    def preload(self) -> None:
        """Do nothing: there is no package to import."""

    async def close(self) -> None:
        """Do nothing: there are no connections."""


class OfflineTerminology:
    """A `Terminology` with constant answers."""

    async def find(self, term: str | Sequence[str] | None) -> list[Code]:
        """Return two codes for any term."""
        return list(CODES)

    async def close(self) -> None:
        """Do nothing: there are no connections."""

"""The model in a dry run of the transcription: it answers as it answered the legacy in the same conversation.

The legacy's messages say what became of each call: a text, a failure, or nothing for audio that could not be decoded.
An answer is given where the legacy gave it, after as many of the client's messages.
"""

from __future__ import annotations

import json
import sys
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from starlette.types import Receive, Scope, Send

from handlers.dry_run import ServedMessage, dry_run_of
from handlers.legacy.routes.transcription import FINAL_FAULT, PARTIAL_FAULT, TranscriptionStream
from handlers.services.model import ModelError, ModelRefusedError
from handlers.services.transcription import UNDECODABLE, is_final

_NEVER: Final = sys.maxsize


@dataclass(frozen=True)
class _Outcome:
    """The outcome of one call: its text, None for a failure; sent after so many of the client's messages."""

    is_final: bool
    text: str | None
    after: int


class RecordedModel:
    """Answers the calls of one conversation, in their order."""

    def __init__(self, served: Sequence[ServedMessage], until: Callable[[int], Awaitable[None]]) -> None:
        self._outcomes = deque(_outcomes(served))
        self._until = until

    async def transcribe(self, audio: bytes, name: str) -> str:
        """Return the recorded text; raises `ModelError`. A final call that the legacy did not answer never ends."""
        final = is_final(name)
        if final:
            while self._outcomes and not self._outcomes[0].is_final:
                self._outcomes.popleft()
        if not self._outcomes or self._outcomes[0].is_final is not final:
            if final:
                await self._until(_NEVER)
            raise ModelRefusedError(400, UNDECODABLE)
        outcome = self._outcomes.popleft()
        await self._until(outcome.after)
        if outcome.text is None:
            raise ModelError("as recorded")
        return outcome.text


class DryTranscriptionStream:
    """The ASGI app of WebSockets that run dry. `limit` is the audio in bytes per connection."""

    def __init__(self, limit: int) -> None:
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run one WebSocket dry, from its handshake to its end."""
        request = dry_run_of(scope)
        assert request is not None, "the scope announces no dry run"
        request["report"]([])
        model = RecordedModel(request["served"], request["until"])
        await TranscriptionStream(model.transcribe, limit=self._limit)(scope, receive, send)


def _outcomes(served: Sequence[ServedMessage]) -> Iterator[_Outcome]:
    """Yield the outcomes of the legacy's calls; a partial text repeats those before it."""
    so_far = ""
    for each in served:
        value = _value(each["message"])
        kind, message, text = value.get("type"), value.get("message"), value.get("text")
        if kind == "recording_started":
            so_far = ""
        elif kind == "transcript" and isinstance(text, str):
            final = value.get("isFinal") is True
            yield _Outcome(final, text if final else text.removeprefix(so_far).strip(), each["after"])
            so_far = text
        elif kind == "error" and message in (PARTIAL_FAULT, FINAL_FAULT):
            yield _Outcome(message == FINAL_FAULT, None, each["after"])


def _value(message: str | bytes) -> Mapping[str, Any]:
    try:
        value = json.loads(message)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}

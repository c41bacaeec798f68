"""The model in a dry run of the transcription: it repeats its answers to the legacy in the same conversation.

The legacy's messages show the outcome of each call: a text, a failure, or nothing for audio that could not be decoded.
An answer is given after as many client messages as the legacy's. The legacy's calls run concurrently, so that it may
have sent the text of a part after that of the complete recording. Here answers are in the order of the calls.
"""

from __future__ import annotations

import json
import sys
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
    """The outcome of one call: its text, or None for a failure, and the number of client messages before it."""

    recording: int
    is_final: bool
    text: str | None
    after: int


class RecordedModel:
    """Answers the calls of one conversation, in their order."""

    def __init__(self, served: Sequence[ServedMessage], until: Callable[[int], Awaitable[None]]) -> None:
        self._outcomes = list(_outcomes(served))
        self._until = until

    async def transcribe(self, audio: bytes, name: str) -> str:
        """Return the recorded text; raises `ModelError`. A final call that the legacy did not answer never ends."""
        final = is_final(name)
        outcome = self._next(final)
        if outcome is None:
            if final:
                await self._until(_NEVER)
            raise ModelRefusedError(400, UNDECODABLE)
        await self._until(outcome.after)
        if outcome.text is None:
            raise ModelError("as recorded")
        return outcome.text

    def _next(self, final: bool) -> _Outcome | None:
        """Remove and return the next outcome; a final call also removes the partial outcomes of its recording."""
        first = self._outcomes[0].recording if self._outcomes else 0
        same = (each for each in self._outcomes if each.is_final is final and (final or each.recording == first))
        outcome = next(same, None)
        if outcome is None:
            return None
        if final:
            rest = (each for each in self._outcomes if each is not outcome)
            self._outcomes = [each for each in rest if each.is_final or each.recording > outcome.recording]
        else:
            self._outcomes.remove(outcome)
        return outcome


class DryTranscriptionStream:
    """The ASGI app of dry-run WebSockets. `limit`: maximum bytes of audio per connection."""

    def __init__(self, limit: int) -> None:
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one WebSocket as a dry run, from its handshake to its end."""
        request = dry_run_of(scope)
        assert request is not None, "the scope announces no dry run"
        request["report"]([])
        model = RecordedModel(request["served"], request["until"])
        await TranscriptionStream(model.transcribe, limit=self._limit)(scope, receive, send)


def _outcomes(served: Sequence[ServedMessage]) -> Iterator[_Outcome]:
    """Yield the outcomes of the legacy's calls. Each partial text contains those before it."""
    recording, so_far = 0, ""
    for each in served:
        value = _value(each["message"])
        kind, message, text = value.get("type"), value.get("message"), value.get("text")
        if kind == "recording_started":
            recording, so_far = recording + 1, ""
        elif kind == "transcript" and isinstance(text, str):
            final = value.get("isFinal") is True
            yield _Outcome(recording, final, text if final else text.removeprefix(so_far).strip(), each["after"])
            so_far = text
        elif kind == "error" and message in (PARTIAL_FAULT, FINAL_FAULT):
            yield _Outcome(recording, message == FINAL_FAULT, None, each["after"])


def _value(message: str | bytes) -> Mapping[str, Any]:
    try:
        value = json.loads(message)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}

"""The model in a dry run of the transcription: it answers as it answered the legacy in the same conversation.

The legacy's messages say what became of each call: a text, a failure, or nothing for audio that could not be decoded.
An answer is given where the legacy gave it, after as many of the client's messages. The legacy makes its calls at once,
so that the text of a part may have come after that of the complete recording; here it comes in the order of the calls.
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
    """The outcome of one call of a recording: its text, None for a failure; sent after so many client messages."""

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
        """Remove the next outcome of such a call; for a final one, also what is left of the parts of its recording."""
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

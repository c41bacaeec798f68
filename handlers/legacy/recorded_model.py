"""The model in a dry run of the transcription: it repeats its answers to the legacy in the same conversation.

The legacy's messages show the outcome of each call: a text, a failure, or nothing for audio that could not be decoded.
They do not show which call it was, because the legacy's calls run concurrently: the text of a part may come after that
of the complete recording, or after the next recording has started. The client's messages show which calls there were,
and an outcome cannot precede its call. Outcomes are therefore assigned to calls before the first one:

    calls       part 1 ── part 2 ── complete ── part 3 ── complete
    outcomes    text (of part 2) ── complete ── text (of part 3) ── complete

An answer is given after as many client messages as the legacy's. Answers are in the order of the calls here, so that
an answer that the legacy gave after that of a later call is given no later than that one.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from starlette.types import Receive, Scope, Send

from handlers.dry_run import ServedMessage, dry_run_of
from handlers.legacy.routes.transcription import FINAL_FAULT, PARTIAL_FAULT, TranscriptionStream
from handlers.services.model import ModelError, ModelRefusedError
from handlers.services.transcription import PORTION, UNDECODABLE, is_final
from handlers.strict_json import loads

_NEVER: Final = sys.maxsize


@dataclass(frozen=True)
class _ModelCall:
    """A call to the model that the client's messages cause, and their number by then."""

    is_final: bool
    after: int


@dataclass(frozen=True)
class _Outcome:
    """The outcome of one call: its text, or None for a failure, and the number of client messages before it."""

    is_final: bool
    text: str | None
    after: int


class RecordedModel:
    """Answers the calls of one conversation, in their order. `sent`: the client's messages, from the first."""

    def __init__(
        self,
        served: Sequence[ServedMessage],
        sent: Sequence[str | bytes],
        until: Callable[[int], Awaitable[None]],
    ) -> None:
        self._until = until
        self._outcomes: dict[bool, deque[_Outcome | None]] = {False: deque(), True: deque()}
        calls = list(_calls(sent))
        for call, outcome in zip(calls, _assigned(calls, list(_outcomes(served))), strict=True):
            self._outcomes[call.is_final].append(outcome)

    async def transcribe(self, audio: bytes, name: str) -> str:
        """Return the recorded text; raises `ModelError`. A final call that the legacy did not answer never ends."""
        final = is_final(name)
        outcomes = self._outcomes[final]
        outcome = outcomes.popleft() if outcomes else None
        if outcome is None:
            if final:
                await self._until(_NEVER)
            raise ModelRefusedError(400, UNDECODABLE)
        await self._until(outcome.after)
        if outcome.text is None:
            raise ModelError("as recorded")
        return outcome.text


class DryTranscriptionStream:
    """The ASGI app of dry-run WebSockets. `limit`: maximum bytes of audio per connection."""

    def __init__(self, limit: int) -> None:
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one WebSocket as a dry run, from its handshake to its end."""
        request = dry_run_of(scope)
        assert request is not None, "the scope announces no dry run"
        request["report"]([])
        model = RecordedModel(request["served"], request["sent"], request["until"])
        await TranscriptionStream(model.transcribe, limit=self._limit)(scope, receive, send)


def _calls(sent: Sequence[str | bytes]) -> Iterator[_ModelCall]:
    """Yield the calls that the client's messages cause, in their order."""
    is_recording, chunks = False, -1  # the first chunk is the file's header
    for number, message in enumerate(sent, 1):
        value = _value(message)
        match value.get("type"):
            case "start_recording":
                is_recording, chunks = True, -1
            case "audio_chunk" if is_recording and isinstance(value.get("audioData"), str | list):
                chunks += 1
                if chunks and chunks % PORTION == 0:
                    yield _ModelCall(is_final=False, after=number)
            case "stop_recording":
                is_recording = False
                if chunks > 0:
                    yield _ModelCall(is_final=True, after=number)


def _outcomes(served: Sequence[ServedMessage]) -> Iterator[_Outcome]:
    """Yield the outcomes of the legacy's calls, as they came. Each partial text contains those before it."""
    so_far = ""
    for each in served:
        value = _value(each["message"])
        kind = value.get("type")
        message = value.get("message")
        text = value.get("text")
        if kind == "recording_started":
            so_far = ""
        elif kind == "transcript" and isinstance(text, str):
            if value.get("isFinal") is True:
                yield _Outcome(True, text, each["after"])
            else:
                yield _Outcome(False, text.removeprefix(so_far).strip(), each["after"])
                so_far = text
        elif kind == "error" and message in (PARTIAL_FAULT, FINAL_FAULT):
            yield _Outcome(message == FINAL_FAULT, None, each["after"])


def _assigned(calls: Sequence[_ModelCall], outcomes: Sequence[_Outcome]) -> list[_Outcome | None]:
    """Return the outcome of each call, None for one without.

    Complete recordings have theirs in the order of the calls; no call is made after one without. Parts have theirs as
    late as the order allows, because earlier ones that could not be decoded have none.
    """
    result: list[_Outcome | None] = [None] * len(calls)
    ends = [each for each in outcomes if each.is_final]
    finals = [index for index, call in enumerate(calls) if call.is_final]
    for index, outcome in zip(finals, ends, strict=False):
        result[index] = outcome
    reached = finals[len(ends)] if len(finals) > len(ends) else len(calls)
    free = [index for index, call in enumerate(calls[:reached]) if not call.is_final]
    for outcome in reversed([each for each in outcomes if not each.is_final]):
        while free and calls[free[-1]].after > outcome.after:
            free.pop()
        if free:
            result[free.pop()] = outcome
    latest = _NEVER
    for index in reversed(range(len(result))):
        assigned = result[index]
        if assigned is not None and assigned.is_final:
            latest = min(latest, assigned.after)
        elif assigned is not None:
            result[index] = replace(assigned, after=min(latest, assigned.after))
    return result


def _value(message: str | bytes) -> Mapping[str, Any]:
    try:
        value = loads(message if isinstance(message, str) else message.decode(errors="replace"))
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}

"""An execution: the recording of legacy, and the results of playing it to the native app. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from proxy.fuzz.conversation import FuzzConversation, recorded_frames
from proxy.recordings.model import DEFAULT_VERSION, RecordedRequest, Scenario, Step
from proxy.recordings.report import Result, value_texts
from proxy.types import JSON
from proxy.wording import counted

Documents = Mapping[str, Sequence[JSON]]
"""Documents by collection, in relaxed MongoDB extended JSON."""

ABOUT: Final = "written by scribe-proxy fuzz"
"""The remark on a recording of a search."""

_WORD: Final = re.compile(r"[a-z][a-z-]*\Z")


@dataclass(frozen=True)
class Execution:
    """The recording of legacy, and all results of playing it to the native app.

    The scenario of a `conversation` has no steps. `handshake_status`: legacy's answer to the handshake, None if the
    connection ended instead. `received`: the frames that legacy sent.
    """

    scenario: Scenario
    results: tuple[Result, ...]
    conversation: FuzzConversation | None = None
    received: tuple[JSON, ...] = ()
    handshake_status: int | None = None

    @property
    def differing(self) -> tuple[Result, ...]:
        """Return the results with differences that no divergence declares."""
        return tuple(result for result in self.results if result.verdict == "differing")

    def describe(self) -> str:
        """Return the sequence with its answers and native's differences as text."""
        lines = [] if self.conversation is None else self.conversation.describe()
        lines.append(f"{counted(len(self.scenario.steps), 'request')}:")
        for step in self.scenario.steps:
            lines.append(f"  {step.name}: {_shown(step.request)}")
            lines.append(f"    legacy: {step.answer.outcome} {step.answer.status or ''} {step.answer.text[:300]}")
        for result in self.differing:
            lines.append(f"differs in {result.subject} {result.name} ({result.endpoint}):")
            lines += [
                f"    {one.location} {one.kind}: {' / '.join(map(repr, value_texts(one)))}"
                for one in result.unexplained
            ]
        return "\n".join(lines)

    def as_recording(self) -> JSON:
        """Return the scenario in the format of `http.json`."""
        return {
            "scenario": self.scenario.name,
            "about": self.scenario.about,
            "env": {},
            "before": {name: list(documents) for name, documents in self.scenario.before.items()},
            "steps": [_step_json(step) for step in self.scenario.steps],
            "store": {name: list(documents) for name, documents in self.scenario.store.items()},
            "calls": list(self.scenario.calls),
        }

    def as_conversation(self) -> JSON:
        """Return the conversation in the format of `ws.json`; None if a frame has no form there."""
        sent = None if self.conversation is None else recorded_frames(self.conversation.frames)
        if self.conversation is None or sent is None or self.conversation.headers:
            return None
        name = {"conversation": self.scenario.name, "path": self.conversation.target}
        return {**name, "sent": sent, "received": list(self.received)}

    @property
    def size(self) -> tuple[int, int]:
        """Return a sort key by which simpler executions are smaller."""
        if self.conversation is not None:
            return len(self.conversation.frames), len(repr(self.conversation))
        return len(self.scenario.steps), len(repr(self.as_recording()))


def name_of(steps: Sequence[Step]) -> str:
    """Return a scenario's name: `fuzz-` and the words of its paths, by which divergences of outside calls match."""
    segments = (segment for step in steps for segment in step.request.target.lower().partition("?")[0].split("/"))
    words = dict.fromkeys(segment for segment in segments if _WORD.match(segment))
    return "-".join(["fuzz", *words])[:150]


def _shown(request: RecordedRequest) -> str:
    version = "" if request.version == DEFAULT_VERSION else f"HTTP/{request.version} "
    return f"{request.method} {request.target} {version}{dict(request.headers)} {(request.body or b'')[:400]!r}"


def _step_json(step: Step) -> JSON:
    request, answer = step.request, step.answer
    sent: dict[str, JSON] = {"method": request.method, "path": request.target, "headers": _headers_json(request)}
    if request.body is not None:
        sent["content"] = list(request.body)
    if request.version != DEFAULT_VERSION:
        sent["version"] = request.version
    written: dict[str, JSON] = {"name": step.name, "request": sent, "outcome": answer.outcome}
    if answer.outcome == "response":
        written["response"] = {"status": answer.status, "headers": dict(answer.headers), "text": answer.text}
    return written


def _headers_json(request: RecordedRequest) -> dict[str, JSON]:
    """Return the headers by name; a name that comes twice has a list of its values."""
    values: dict[str, list[JSON]] = {}
    for name, value in request.headers:
        values.setdefault(name, []).append(value)
    return {name: several if len(several) > 1 else several[0] for name, several in values.items()}

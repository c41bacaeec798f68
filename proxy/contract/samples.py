"""Recorded exchanges by the operation that they are samples of."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from proxy.contract.divergences import covers
from proxy.contract.model import OTHERWISE, Contract, Operation
from proxy.gateway.patterns import WEBSOCKET, Parameter, Pattern, PatternError
from proxy.recordings.model import OPEN, RecordedAnswer, RecordedRequest, Recordings
from proxy.recordings.report import Endpoints
from proxy.types import JSON

METHODS: Final = ("GET", "PUT", "POST", "DELETE", "OPTIONS", "HEAD", "PATCH", "TRACE", WEBSOCKET)
_REFUSALS: Final = (401, 404, 405, 501)


@dataclass(frozen=True, slots=True)
class ObservedSample:
    """One recorded request and its answer."""

    request: RecordedRequest
    answer: RecordedAnswer
    place: str

    @property
    def status(self) -> str:
        """The status, or `hang` or `reset` where no answer came."""
        return str(self.answer.status) if self.answer.outcome == "response" else self.answer.outcome


@dataclass(slots=True)
class Observed:
    """All samples of one operation; a WebSocket's frames by direction, and how often it was opened."""

    operation: Operation
    samples: list[ObservedSample] = field(default_factory=list)
    frames: dict[str, list[JSON]] = field(default_factory=dict)
    opened: int = 0

    @property
    def answered(self) -> list[ObservedSample]:
        """Those that an answer came to."""
        return [sample for sample in self.samples if sample.answer.outcome == "response"]


def observe(recordings: Recordings, operations: Contract) -> list[Observed]:
    """Every recorded exchange under its operation; under `otherwise` what no operation takes.

    Only ids, methods and templates of `operations` count here.
    """
    found: dict[str, Observed] = {}
    for sample in samples(recordings):
        operation = _operation(operations, sample.request.method, sample.request.target)
        found.setdefault(operation.name, Observed(operation)).samples.append(sample)
    for conversation in recordings.conversations:
        seen = _socket(operations, conversation.target, found)
        seen.frames.setdefault("sent", []).extend(conversation.sent)
        seen.frames.setdefault("received", []).extend(conversation.received)
        seen.opened += 1
    for connection in recordings.connections:
        if connection.result == OPEN:
            _socket(operations, connection.target, found).opened += 1
    return list(found.values())


def samples(recordings: Recordings) -> Iterator[ObservedSample]:
    """Every recorded request with its answer."""
    for scenario in recordings.scenarios:
        for step in scenario.steps:
            yield ObservedSample(step.request, step.answer, f"{scenario.name} / {step.name}")


def routed(routes: Iterable[tuple[str, Pattern]]) -> Contract:
    """The operations that routes name. One path has one template: where routes call a parameter differently, `id`."""
    named = [(name, pattern) for name, pattern in routes if pattern.method in METHODS and not pattern.rest]
    templates = _templates([pattern for _, pattern in named])
    return Contract([Operation(name, pattern.method, templates[_shape(pattern)]) for name, pattern in named])


def learned(recordings: Recordings) -> Contract:
    """The operations that recordings show by themselves: ids are parameters.

    What was never answered but with a refusal, and preflights, show none: such paths need not exist.
    """
    endpoints, seen = Endpoints.learn(recordings), dict[str, set[int]]()
    for sample in samples(recordings):
        name = endpoints.name(sample.request.method, sample.request.target)
        seen.setdefault(name, set()).add(sample.answer.status)
    sockets = {f"WS {one.target.partition('?')[0]}" for one in recordings.connections if one.result == OPEN}
    sockets |= {f"WS {one.target.partition('?')[0]}" for one in recordings.conversations}
    served = [name for name, statuses in seen.items() if not statuses <= set(_REFUSALS)]
    widest = [name for name in served if not any(covers(other, name) for other in served if other != name)]
    return routed(_parsed([*widest, *sorted(sockets)]))


def joined(first: Contract, second: Contract) -> Contract:
    """The operations of both; where both have one, that of the first."""
    shapes = {Pattern.parse(operation.name).shape for operation in first.operations}
    new = [one for one in second.operations if Pattern.parse(one.name).shape not in shapes]
    return Contract([*first.operations, *new])


def _parsed(names: Sequence[str]) -> Iterator[tuple[str, Pattern]]:
    for name in names:
        method, _, path = name.partition(" ")
        numbered = "{id}".join(_numbered(path.split("{id}")))
        try:
            pattern = Pattern.parse(f"{method} {numbered}")
        except PatternError:
            continue
        if method != "OPTIONS":
            yield re.sub(r"[^a-z0-9]+", "-", f"{method} {numbered}".lower()).strip("-"), pattern


def _numbered(pieces: list[str]) -> Iterator[str]:
    """The text around the first `{id}`, with those after it called `{id2}`, `{id3}`."""
    if len(pieces) < 3:
        yield from pieces
        return
    yield pieces[0]
    yield pieces[1] + "".join(f"{{id{number}}}{piece}" for number, piece in enumerate(pieces[2:], 2))


def _templates(patterns: Sequence[Pattern]) -> dict[object, str]:
    found: dict[object, Pattern] = {}
    for pattern in patterns:
        known = found.setdefault(_shape(pattern), pattern)
        found[_shape(pattern)] = replace(known, segments=tuple(map(_common, known.segments, pattern.segments)))
    return {shape: pattern.path for shape, pattern in found.items()}


def _common(one: str | Parameter, other: str | Parameter) -> str | Parameter:
    return Parameter("id") if isinstance(one, Parameter) and one != other else one


def _shape(pattern: Pattern) -> object:
    return replace(pattern, method="GET").shape if pattern.method != WEBSOCKET else pattern.shape


def _operation(operations: Contract, method: str, target: str) -> Operation:
    found = operations.operation(method, target)
    if found is None or found.id == OTHERWISE:
        return Operation(OTHERWISE, "*", "/*")
    own = any(one.name == found.name for one in operations.operations)
    return found if own else replace(found, id=f"{found.id}.{method.lower()}")


def _socket(operations: Contract, target: str, found: dict[str, Observed]) -> Observed:
    operation = _operation(operations, WEBSOCKET, target)
    return found.setdefault(operation.name, Observed(operation))

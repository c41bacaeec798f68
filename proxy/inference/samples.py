"""Recorded exchanges, grouped by their operation."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from proxy.comparison.answers import DecodedAnswer
from proxy.contract.divergences import covers
from proxy.contract.model import OTHERWISE, Contract, Operation
from proxy.gateway.patterns import WEBSOCKET, Parameter, Pattern, PatternError
from proxy.recordings.model import OPEN, RecordedRequest, Recordings
from proxy.recordings.report import Endpoints
from proxy.types import JSON

METHODS: Final = ("GET", "PUT", "POST", "DELETE", "OPTIONS", "HEAD", "PATCH", "TRACE", WEBSOCKET)
_REFUSALS: Final = (401, 404, 405, 501)


@dataclass(frozen=True, slots=True)
class ObservedSample:
    """One recorded request and its answer."""

    request: RecordedRequest
    answer: DecodedAnswer
    location: str

    @property
    def status(self) -> str:
        """The status, or `hang` or `reset` if no answer came."""
        return str(self.answer.status) if self.answer.outcome == "response" else self.answer.outcome


@dataclass(slots=True)
class Observed:
    """All samples of one operation; a WebSocket's frames by direction, and the number of its openings."""

    operation: Operation
    samples: list[ObservedSample] = field(default_factory=list)
    frames: dict[str, list[JSON]] = field(default_factory=dict)
    opened: int = 0

    @property
    def answered(self) -> list[ObservedSample]:
        """The samples with an answer."""
        return [sample for sample in self.samples if sample.answer.outcome == "response"]


def observe(recordings: Recordings, operations: Contract) -> list[Observed]:
    """Return every recorded exchange by operation; exchanges without one are under `otherwise`.

    Only ids, methods and templates of `operations` are used.
    """
    result: dict[str, Observed] = {}
    for sample in samples(recordings):
        operation = _operation(operations, sample.request.method, sample.request.target)
        result.setdefault(operation.name, Observed(operation)).samples.append(sample)
    for conversation in recordings.conversations:
        socket = _socket(operations, conversation.target, result)
        socket.frames.setdefault("sent", []).extend(conversation.sent)
        socket.frames.setdefault("received", []).extend(conversation.received)
        socket.opened += 1
    for connection in recordings.connections:
        if connection.result == OPEN:
            _socket(operations, connection.target, result).opened += 1
    return list(result.values())


def samples(recordings: Recordings) -> Iterator[ObservedSample]:
    """Yield every recorded request with its answer."""
    for scenario in recordings.scenarios:
        for step in scenario.steps:
            yield ObservedSample(step.request, step.answer, f"{scenario.name} / {step.name}")


def routed(routes: Iterable[tuple[str, Pattern]]) -> Contract:
    """Return the operations that routes name.

    If routes name a parameter of one path differently, it becomes `id`.
    """
    named = [(name, pattern) for name, pattern in routes if pattern.method in METHODS and not pattern.rest]
    templates = _templates([pattern for _, pattern in named])
    return Contract([Operation(name, pattern.method, templates[_shape(pattern)]) for name, pattern in named])


def learned(recordings: Recordings) -> Contract:
    """Return the operations that follow from recordings alone; ids become parameters.

    Preflights, and paths that were only refused, are omitted, since such paths need not exist.
    """
    endpoints = Endpoints.learn(recordings)
    socket = dict[str, set[int]]()
    for sample in samples(recordings):
        name = endpoints.name(sample.request.method, sample.request.target)
        socket.setdefault(name, set()).add(sample.answer.status)
    sockets = {f"WS {one.target.partition('?')[0]}" for one in recordings.connections if one.result == OPEN}
    sockets |= {f"WS {one.target.partition('?')[0]}" for one in recordings.conversations}
    served = [name for name, statuses in socket.items() if not statuses <= set(_REFUSALS)]
    widest = [name for name in served if not any(covers(other, name) for other in served if other != name)]
    return routed(_parsed([*widest, *sorted(sockets)]))


def joined(first: Contract, second: Contract) -> Contract:
    """Return the operations of both contracts; the first one's if both have an operation."""
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
    """Yield the text around the first `{id}`, with later ones named `{id2}`, `{id3}`."""
    if len(pieces) < 3:
        yield from pieces
        return
    yield pieces[0]
    yield pieces[1] + "".join(f"{{id{number}}}{piece}" for number, piece in enumerate(pieces[2:], 2))


def _templates(patterns: Sequence[Pattern]) -> dict[object, str]:
    result: dict[object, Pattern] = {}
    for pattern in patterns:
        known = result.setdefault(_shape(pattern), pattern)
        result[_shape(pattern)] = replace(known, segments=tuple(map(_common, known.segments, pattern.segments)))
    return {shape: pattern.path for shape, pattern in result.items()}


def _common(one: str | Parameter, other: str | Parameter) -> str | Parameter:
    return Parameter("id") if isinstance(one, Parameter) and one != other else one


def _shape(pattern: Pattern) -> object:
    return replace(pattern, method="GET").shape if pattern.method != WEBSOCKET else pattern.shape


def _operation(operations: Contract, method: str, target: str) -> Operation:
    result = operations.operation(method, target)
    if result is None or result.id == OTHERWISE:
        return Operation(OTHERWISE, "*", "/*")
    own = any(one.name == result.name for one in operations.operations)
    return result if own else replace(result, id=f"{result.id}.{method.lower()}")


def _socket(operations: Contract, target: str, result: dict[str, Observed]) -> Observed:
    operation = _operation(operations, WEBSOCKET, target)
    return result.setdefault(operation.name, Observed(operation))

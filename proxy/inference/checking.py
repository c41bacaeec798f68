"""Check recordings against a contract: violations, and which operations and statuses have samples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from proxy.contract.model import OTHERWISE, Contract, Operation
from proxy.contract.payloads import media_type
from proxy.contract.values import ContractViolation
from proxy.gateway.patterns import WEBSOCKET
from proxy.inference.samples import ObservedSample, samples
from proxy.recordings.model import OPEN, Recordings
from proxy.types import JSON


@dataclass(frozen=True, slots=True)
class SampleViolation:
    """A violation in a recording, and its location there."""

    location: str
    operation: str
    violation: ContractViolation

    def __str__(self) -> str:
        path = ".".join(map(str, self.violation.path))
        return f"{self.location}  {self.operation}: {path} {self.violation.message}"


@dataclass(frozen=True, slots=True)
class CoverageRow:
    """Samples of one operation and status.

    `samples`: number of recorded ones. `declared`: the contract has the status. `media`: the content types of answers.
    `status`: a status code, `hang` or `reset` for requests without an answer, `open` for WebSockets. `live`: number of
    answers in live traffic, None if that was not read.
    """

    operation: Operation
    status: str
    samples: int
    declared: bool
    media: tuple[str, ...] = ()
    live: int | None = None

    def as_json(self) -> dict[str, JSON]:
        """Return the row as `contracts coverage --json` prints it."""
        return {
            "operation": self.operation.id,
            "method": self.operation.method,
            "path": self.operation.template,
            "status": self.status,
            "content_types": list(self.media),
            "samples": self.samples,
            "declared": self.declared,
            **({} if self.live is None else {"live": self.live}),
        }


@dataclass(slots=True)
class _RequestCount:
    samples: int = 0
    media: Counter[str] = field(default_factory=Counter)


def violations_of(contract: Contract, recordings: Recordings) -> Iterator[SampleViolation]:
    """Yield every violation in answers, accepted requests and frames, and every unknown operation."""
    for sample in samples(recordings):
        yield from _sample_violations(contract, sample)
    for conversation in recordings.conversations:
        operation = contract.operation(WEBSOCKET, conversation.target)
        if operation is None or operation.id == OTHERWISE:
            yield _unknown(conversation.name, f"WS {conversation.target}")
            continue
        for direction, frames in (("sent", conversation.sent), ("received", conversation.received)):
            for violation in (one for frame in frames for one in operation.frame_violations(direction, frame)):
                yield SampleViolation(f"{conversation.name} / {direction}", operation.name, violation)


def coverage(contract: Contract, recordings: Recordings) -> list[CoverageRow]:
    """Return a row for every operation and status that is declared or has samples, in the contract's order."""
    observed = _count_samples(contract, recordings)
    rows: list[CoverageRow] = []
    known = (*contract.operations, contract.otherwise) if contract.otherwise else contract.operations
    for operation in (*known, *_undeclared_operations(contract, observed)):
        statuses = _statuses(operation)
        shown = {status for name, status in observed if name == operation.name}
        for status in sorted({*statuses, *shown}, key=_status_order):
            count = observed.get((operation.name, status), _RequestCount())
            media = tuple(sorted(one for one in count.media if one))
            declared = status in statuses or (status.isdecimal() and operation.declared(int(status)) is not None)
            rows.append(CoverageRow(operation, status, count.samples, declared or not status.isdecimal(), media))
    return rows


@dataclass(frozen=True, slots=True)
class ObservedOperation:
    """Answers in live traffic, by the id of the contract's operation; `media` is None for answers without a body."""

    operation: str
    status: str
    media: str | None
    count: int


def with_live_counts(
    rows: list[CoverageRow], contract: Contract, observed: Iterable[ObservedOperation]
) -> list[CoverageRow]:
    """Return rows with counts of live traffic added; rows that only live traffic has come last."""
    matched: dict[tuple[str, str], list[ObservedOperation]] = {}
    for one in observed:
        matched.setdefault((one.operation, one.status), []).append(one)
    known = [_with(row, matched.pop((row.operation.id, row.status), [])) for row in rows]
    alone = ((contract.named(name), status, some) for (name, status), some in matched.items())
    return known + [_with(_undeclared(one, status), some) for one, status, some in alone if one is not None]


def _undeclared(operation: Operation, status: str) -> CoverageRow:
    return CoverageRow(
        operation, status, 0, declared=not status.isdecimal() or operation.declared(int(status)) is not None
    )


def _with(row: CoverageRow, observed: list[ObservedOperation]) -> CoverageRow:
    media = sorted({*row.media, *(one.media for one in observed if one.media)})
    return replace(row, media=tuple(media), live=sum(one.count for one in observed))


def _sample_violations(contract: Contract, sample: ObservedSample) -> Iterator[SampleViolation]:
    method, target, answer = sample.request.method, sample.request.target, sample.answer
    operation = contract.operation(method, target)
    if operation is None:
        yield _unknown(sample.location, f"{method} {target.partition('?')[0]}")
    elif answer.outcome == "response":
        matched = operation.violations(answer.status, answer.headers, answer.body)
        if answer.status < 400:
            content_type = dict(sample.request.headers).get("content-type", "")
            matched = (*matched, *operation.request_violations(content_type, sample.request.body or b""))
        yield from (SampleViolation(sample.location, operation.name, violation) for violation in matched)


def _unknown(location: str, request: str) -> SampleViolation:
    return SampleViolation(location, request, ContractViolation((), "operation", "is not an operation of the contract"))


def _count_samples(contract: Contract, recordings: Recordings) -> dict[tuple[str, str], _RequestCount]:
    observed: dict[tuple[str, str], _RequestCount] = {}
    for sample in samples(recordings):
        method, path = sample.request.method, sample.request.target.partition("?")[0]
        operation = contract.operation(method, path)
        count = observed.setdefault(
            (operation.name if operation else f"{method} {path}", sample.status), _RequestCount()
        )
        count.samples += 1
        count.media[media_type(sample.answer.headers.get("content-type", ""))] += 1
    targets = [one.target for one in recordings.conversations]
    for target in [*targets, *(one.target for one in recordings.connections if one.result == OPEN)]:
        operation = contract.operation(WEBSOCKET, target)
        name = operation.name if operation else f"WS {target.partition('?')[0]}"
        observed.setdefault((name, "101"), _RequestCount()).samples += 1
    return observed


def _undeclared_operations(contract: Contract, observed: dict[tuple[str, str], _RequestCount]) -> Iterator[Operation]:
    """Yield operations that only the recordings have, or that the contract has under another method (HEAD)."""
    known = {operation.name for operation in contract.operations}
    known |= {contract.otherwise.name} if contract.otherwise else set()
    for name in dict.fromkeys(name for name, _ in observed if name not in known):
        method, _, path = name.partition(" ")
        matched = contract.operation(method, path)
        yield matched if matched and matched.name == name else Operation(name, method, path)


def _statuses(operation: Operation) -> set[str]:
    return set(operation.answers)


def _status_order(status: str) -> tuple[bool, str]:
    return (not status[:1].isdecimal(), status)

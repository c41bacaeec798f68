"""Recordings held against a contract: what breaks it, and what of it has samples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from proxy.contract.model import OTHERWISE, Contract, Operation
from proxy.contract.payloads import media_type
from proxy.contract.samples import ObservedSample, samples
from proxy.contract.values import ContractViolation
from proxy.gateway.patterns import WEBSOCKET
from proxy.recordings.model import OPEN, Recordings
from proxy.types import JSON


@dataclass(frozen=True, slots=True)
class SampleViolation:
    """A recording that is not as the contract has it: where it stands, and how."""

    place: str
    operation: str
    violation: ContractViolation

    def __str__(self) -> str:
        path = ".".join(map(str, self.violation.path))
        return f"{self.place}  {self.operation}: {path} {self.violation.message}"


@dataclass(frozen=True, slots=True)
class CoverageRow:
    """One operation and status: `samples` recorded, whether the contract declares it, which content types came.

    `status` is a status, `hang` or `reset` for requests that no answer came to, `open` for WebSockets. `live` are
    answers in live traffic, None where nobody looked.
    """

    operation: Operation
    status: str
    samples: int
    declared: bool
    media: tuple[str, ...] = ()
    live: int | None = None

    def as_json(self) -> dict[str, JSON]:
        """As `contracts coverage --json` prints it."""
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


def breaches(contract: Contract, recordings: Recordings) -> Iterator[SampleViolation]:
    """Every breach: answers, the requests that were accepted, frames, and operations that are unknown."""
    for sample in samples(recordings):
        yield from _sample_breaches(contract, sample)
    for conversation in recordings.conversations:
        operation = contract.operation(WEBSOCKET, conversation.target)
        if operation is None or operation.id == OTHERWISE:
            yield _unknown(conversation.name, f"WS {conversation.target}")
            continue
        for direction, frames in (("sent", conversation.sent), ("received", conversation.received)):
            for violation in (one for frame in frames for one in operation.frame_violations(direction, frame)):
                yield SampleViolation(f"{conversation.name} / {direction}", operation.name, violation)


def coverage(contract: Contract, recordings: Recordings) -> list[CoverageRow]:
    """Every operation and status that is declared or has samples, in the contract's order."""
    seen = _counted(contract, recordings)
    rows: list[CoverageRow] = []
    known = (*contract.operations, contract.otherwise) if contract.otherwise else contract.operations
    for operation in (*known, *_strangers(contract, seen)):
        statuses = _statuses(operation)
        shown = {status for name, status in seen if name == operation.name}
        for status in sorted({*statuses, *shown}, key=_place):
            count = seen.get((operation.name, status), _RequestCount())
            media = tuple(sorted(one for one in count.media if one))
            declared = status in statuses or (status.isdecimal() and operation.declared(int(status)) is not None)
            rows.append(CoverageRow(operation, status, count.samples, declared or not status.isdecimal(), media))
    return rows


@dataclass(frozen=True, slots=True)
class ObservedOperation:
    """Answers in live traffic, by the id of the contract's operation. `media` is None where there was no body."""

    operation: str
    status: str
    media: str | None
    count: int


def beside(rows: list[CoverageRow], contract: Contract, seen: Iterable[ObservedOperation]) -> list[CoverageRow]:
    """Rows with what live traffic has shown; at the end those that it alone has shown."""
    found: dict[tuple[str, str], list[ObservedOperation]] = {}
    for one in seen:
        found.setdefault((one.operation, one.status), []).append(one)
    known = [_with(row, found.pop((row.operation.id, row.status), [])) for row in rows]
    alone = ((contract.named(name), status, some) for (name, status), some in found.items())
    return known + [_with(_undeclared(one, status), some) for one, status, some in alone if one is not None]


def _undeclared(operation: Operation, status: str) -> CoverageRow:
    return CoverageRow(
        operation, status, 0, declared=not status.isdecimal() or operation.declared(int(status)) is not None
    )


def _with(row: CoverageRow, seen: list[ObservedOperation]) -> CoverageRow:
    media = sorted({*row.media, *(one.media for one in seen if one.media)})
    return replace(row, media=tuple(media), live=sum(one.count for one in seen))


def _sample_breaches(contract: Contract, sample: ObservedSample) -> Iterator[SampleViolation]:
    method, target, answer = sample.request.method, sample.request.target, sample.answer
    operation = contract.operation(method, target)
    if operation is None:
        yield _unknown(sample.place, f"{method} {target.partition('?')[0]}")
    elif answer.outcome == "response":
        found = operation.violations(answer.status, answer.headers, answer.body)
        if answer.status < 400:
            content_type = dict(sample.request.headers).get("content-type", "")
            found = (*found, *operation.request_violations(content_type, sample.request.body or b""))
        yield from (SampleViolation(sample.place, operation.name, violation) for violation in found)


def _unknown(place: str, request: str) -> SampleViolation:
    return SampleViolation(place, request, ContractViolation((), "operation", "is no operation of the contract"))


def _counted(contract: Contract, recordings: Recordings) -> dict[tuple[str, str], _RequestCount]:
    seen: dict[tuple[str, str], _RequestCount] = {}
    for sample in samples(recordings):
        method, path = sample.request.method, sample.request.target.partition("?")[0]
        operation = contract.operation(method, path)
        count = seen.setdefault((operation.name if operation else f"{method} {path}", sample.status), _RequestCount())
        count.samples += 1
        count.media[media_type(sample.answer.headers.get("content-type", ""))] += 1
    targets = [one.target for one in recordings.conversations]
    for target in [*targets, *(one.target for one in recordings.connections if one.result == OPEN)]:
        operation = contract.operation(WEBSOCKET, target)
        name = operation.name if operation else f"WS {target.partition('?')[0]}"
        seen.setdefault((name, "101"), _RequestCount()).samples += 1
    return seen


def _strangers(contract: Contract, seen: dict[tuple[str, str], _RequestCount]) -> Iterator[Operation]:
    """Operations that only the recordings have, or that the contract has under another method (HEAD)."""
    known = {operation.name for operation in contract.operations}
    known |= {contract.otherwise.name} if contract.otherwise else set()
    for name in dict.fromkeys(name for name, _ in seen if name not in known):
        method, _, path = name.partition(" ")
        found = contract.operation(method, path)
        yield found if found and found.name == name else Operation(name, method, path)


def _statuses(operation: Operation) -> set[str]:
    return set(operation.answers)


def _place(status: str) -> tuple[bool, str]:
    return (not status[:1].isdecimal(), status)

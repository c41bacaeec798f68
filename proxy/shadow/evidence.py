"""Evidence that a difference is a fault of native, and not a write of another client between the two answers. Pure.

Two answers of one backend, before and after the other's answer, show at which paths the documents changed in between:

    legacy ── native ── legacy      legacy's are equal at a path, native's differs: evidence of a fault
                                    legacy's are equal at a path, native's too: evidence of another writer
                                    legacy's differ at a path: no evidence

A write runs on legacy only once. Its dry runs before and after it take the part of the outer answers:

    native ── legacy ── native      native's are equal at a path, legacy's differs: evidence of a fault

A dry run after the write also sees what the write itself has stored. Where native's two answers differ, there is
evidence of a fault only if legacy's value is one that the request contains, or if the documents stay as they are
afterwards and no other dry run was running. The former is weak while other clients are known to write, who may have
sent the same value (`is_calm`). The latter is weak, except after a write that cannot succeed twice, such as a deletion,
while none is known to write.

Another client may set a value and set it back between two answers. A difference therefore counts as a fault only if
there is enough evidence of it, and at least `MIN_RATIO` times as much as there is of other writers.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

from proxy.comparison.bodies import read
from proxy.comparison.exchange import Exchange
from proxy.comparison.headers import joined
from proxy.comparison.verdicts import Difference, Verdict
from proxy.reports.events import ComparisonEvent
from proxy.types import JSON, Backend, DifferenceKind, ValuePath

DECISIVE: Final = 8
"""Evidence that makes a difference a fault; two equal answers around a different one count as 1."""
WEAK: Final = 3
"""Evidence of a dry run that differs from the one after the write, if other clients do not write, or write the same."""
MIN_RATIO: Final = DECISIVE
MIN_SHARE: Final = 0.05
"""Minimum share of a route's dry runs in which a difference with weak evidence only is a fault."""
MIN_SINGLE_SHARE: Final = 0.9
"""The same share if the write cannot succeed twice, such as a deletion, so that later dry runs show nothing."""
EVIDENCE_TTL: Final = 60.0
"""Seconds for which evidence is added up, from the first, at least."""
MIN_DRY_RUNS: Final = 64
"""Dry runs of a route over which evidence is added up, however long they take."""
CALM: Final = 60.0
"""Seconds without a change by another client after which none is expected between two answers."""
MAX_KEYS: Final = 10_000
"""Maximum number of differences for which there is evidence."""

_STRUCTURAL: Final = frozenset[DifferenceKind](("missing", "extra", "type", "format"))
"""Kinds that a change of a field's value does not cause."""
_WHOLE: Final = frozenset[DifferenceKind](("status", "outcome"))
"""Kinds that concern all of an answer."""

DifferenceKey: TypeAlias = tuple[str, str | None, ValuePath, DifferenceKind]
"""Route, operation, path in the answer and kind of difference."""


def difference_key(event: ComparisonEvent, difference: Difference) -> DifferenceKey:
    """Return what identifies a difference in later comparisons of the route."""
    operation = event.operation.id if event.operation is not None else None
    return event.route, operation, difference.path, difference.kind


def is_stable(difference: Difference, changes: Collection[Difference]) -> bool:
    """Return whether the changes between two answers of one backend cannot have caused a difference."""
    return not any(_concerns(change, difference) for change in changes)


def _concerns(change: Difference, difference: Difference) -> bool:
    path, changed = difference.path, change.path
    if change.kind in _WHOLE:
        return True
    if changed == path:
        return difference.kind not in _STRUCTURAL or change.kind in _STRUCTURAL
    if len(changed) < len(path):
        return path[: len(changed)] == changed
    return path[-1] == "*" and changed[: len(path)] == path  # elements may be paired differently


@dataclass(slots=True)
class FaultEvidence:
    """Amounts of evidence: `decisive`, `weak` and `single` for a fault, `against` it.

    `single`: of writes that cannot succeed twice. `dry_runs`: those of the route before the first evidence. `since` is
    the time of that in monotonic seconds.
    """

    since: float
    dry_runs: int = 0
    decisive: int = 0
    weak: int = 0
    single: int = 0
    against: int = 0

    def is_fault(self, dry_runs: int) -> bool:
        """Return whether it shows a fault; `dry_runs` are those of the route so far."""
        total = self.decisive + self.weak + self.single
        compared = dry_runs - self.dry_runs
        if total < DECISIVE or total < MIN_RATIO * self.against:
            return False
        if self.decisive:
            return True
        return self.weak >= WEAK * MIN_SHARE * compared if self.weak else self.single >= MIN_SINGLE_SHARE * compared


class EvidenceLedger:
    """Evidence of the last `EVIDENCE_TTL` seconds by difference."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._evidence: dict[DifferenceKey, FaultEvidence] = {}
        self._dry_runs: Counter[str] = Counter()
        self._changed_at: float | None = None

    @property
    def is_calm(self) -> bool:
        """Return whether no answers of the last `CALM` seconds show a write of another client."""
        return self._changed_at is None or self._clock() - self._changed_at > CALM

    def record_change(self) -> None:
        """Record that two answers of one backend show a write of another client."""
        self._changed_at = self._clock()

    def count_dry_run(self, route: str) -> None:
        """Count a dry run of a route."""
        self._dry_runs[route] += 1

    def entry(self, key: DifferenceKey) -> FaultEvidence:
        """Return the evidence about a difference, to be added to."""
        now = self._clock()
        if len(self._evidence) > MAX_KEYS:
            self._evidence.clear()
        known = self._evidence.get(key)
        if known is None or self._is_outdated(known, self._dry_runs[key[0]], now):
            known = self._evidence[key] = FaultEvidence(now, self._dry_runs[key[0]] - 1)
        return known

    def _is_outdated(self, known: FaultEvidence, dry_runs: int, now: float) -> bool:
        """Return whether to begin again; a route without dry runs has only reads, each decided by itself."""
        is_old = now - known.since > EVIDENCE_TTL
        return is_old and (not dry_runs or dry_runs - known.dry_runs > MIN_DRY_RUNS)

    def faults(self, event: ComparisonEvent) -> tuple[Difference, ...]:
        """Return the differences of an event that the evidence shows to be faults."""
        return tuple(
            one for one in event.verdict.unexplained if self._is_fault(event.route, difference_key(event, one))
        )

    def _is_fault(self, route: str, key: DifferenceKey) -> bool:
        known = self._evidence.get(key)
        return known is not None and known.is_fault(self._dry_runs[route])

    def add_read(self, event: ComparisonEvent, votes: ReadVotes, agreed: Exchange | None) -> None:
        """Add the evidence of a repeated read about the differences of an event.

        `agreed` is an answer that both backends gave to a repetition: evidence against a fault, instead of the votes,
        if it could have shown the difference.
        """
        if agreed is not None or votes.has_changes:
            self.record_change()
        for index, one in enumerate(event.verdict.unexplained):
            evidence = self.entry(difference_key(event, one))
            if agreed is not None and is_shown(one, event, agreed):
                evidence.against += 1
            elif votes.is_of_native(index):
                evidence.decisive += DECISIVE
            else:
                evidence.decisive += votes.present[index]
                evidence.against += votes.absent[index]

    def add_dry_runs(
        self, event: ComparisonEvent, repetitions: Sequence[DryRunRepetition], *, overlapped: bool
    ) -> None:
        """Add the evidence of dry runs after a write about the differences of an event.

        `overlapped`: another dry run took place between the first one and legacy's answer.
        """
        sent = set(_sent_fields(event.legacy))
        if overlapped or any(each.changes for each in repetitions[1:]):
            self.record_change()
        is_calm = self.is_calm
        for one in event.verdict.unexplained:
            evidence = self.entry(difference_key(event, one))
            was_stable = is_stable(one, repetitions[0].changes)
            is_still = all(is_stable(one, each.changes) for each in repetitions[1:])
            is_sent = _is_sent(event, one, sent)
            if (was_stable and is_still) or (is_sent and is_calm):
                evidence.decisive += DECISIVE
            elif is_sent:
                evidence.weak += WEAK
            elif is_still and not overlapped and any(each.kind in _WHOLE for each in repetitions[0].changes):
                evidence.single += DECISIVE if is_calm else 1
            elif is_still and not overlapped:
                evidence.weak += WEAK
            else:
                evidence.decisive += was_stable
                evidence.against += any(
                    (one.path, one.kind) not in each.present and is_shown(one, event, each.answer)
                    for each in repetitions
                )


class ReadVotes:
    """Numbers of answers to a read that were equal around one of the other backend, by the index of a difference.

    `present`: the one in between differed. `absent`: it did not. `has_changes`: some were not equal.
    """

    def __init__(self, event: ComparisonEvent) -> None:
        self._event = event
        self.present, self.absent = Counter[int](), Counter[int]()
        self.has_changes = False
        self._legacy_changes: list[Difference] = []

    def is_of_native(self, index: int) -> bool:
        """Return whether all of legacy's answers were equal at a difference, and native's always others: a new id."""
        one = self._event.verdict.unexplained[index]
        return self.present[index] > 1 and not self.absent[index] and is_stable(one, self._legacy_changes)

    def add(
        self, backend: Backend, pair: tuple[Exchange, Exchange], verdict: Verdict, changes: Collection[Difference]
    ) -> None:
        """Add three answers in turn: the first two with their verdict, and the changes from the first to the third.

        `backend` gave the first and the third.
        """
        self.has_changes |= bool(changes)
        if backend == "legacy":
            self._legacy_changes += changes
        present = verdict.unexplained_keys
        for index, one in enumerate(self._event.verdict.unexplained):
            if is_stable(one, changes):
                if (one.path, one.kind) in present:
                    self.present[index] += 1
                elif all(is_shown(one, self._event, answer) for answer in pair):
                    self.absent[index] += 1


def is_shown(difference: Difference, event: ComparisonEvent, answer: Exchange) -> bool:
    """Return whether another answer to an event's request could show a difference: after a deletion, it has no body."""
    return difference.kind in _WHOLE or answer.status == event.legacy.status


class DryRunRepetition(NamedTuple):
    """A dry run after a write: its differences from the dry run before it, and those from legacy's answer by key."""

    answer: Exchange
    changes: Collection[Difference]
    present: Collection[tuple[ValuePath, DifferenceKind]]

    def is_still(self, differences: Collection[Difference]) -> bool:
        """Return whether any of some differences is stable since the dry run before it."""
        return any(is_stable(one, self.changes) for one in differences)


def _is_sent(event: ComparisonEvent, difference: Difference, sent: set[tuple[str, str]]) -> bool:
    """Return True if legacy's side of a difference is a field of the request.

    Native then answered with the state before the write, unless another client has sent the same value.
    """
    if event.legacy.status != event.native.status or difference.legacy is None or difference.path[0] != "body":
        return False
    names = [step for step in difference.legacy.path if isinstance(step, str)]
    return (names[-1], repr(difference.legacy.value)) in sent


def _sent_fields(exchange: Exchange) -> Iterator[tuple[str, str]]:
    """Yield the name and the value of every field of a request's body."""
    headers = tuple((name.lower(), value) for name, value in exchange.request_headers)
    content = read(exchange.request_body.data, joined(headers).get("content-type", ""))
    waiting: list[tuple[str, JSON]] = [("", content.as_json)]
    while waiting:
        name, value = waiting.pop()
        if isinstance(value, dict):
            waiting += value.items()
        elif isinstance(value, list):
            waiting += [(name, item) for item in value]
        elif name:
            yield name, repr(value)

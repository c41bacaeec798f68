"""How long evidence of a fault lasts."""

from __future__ import annotations

import pytest

from proxy.comparison.exchanges import compare
from proxy.comparison.modes import DRY_RUN
from proxy.comparison.verdicts import Difference
from proxy.reports.events import ComparisonEvent
from proxy.shadow.evidence import (
    CALM,
    EVIDENCE_TTL,
    MIN_DRY_RUNS,
    DifferenceKey,
    DryRunRepetition,
    EvidenceLedger,
    is_stable,
)
from proxy.types import DifferenceKind
from tests.support.clock import Clock
from tests.support.exchanges import answered

KEY: DifferenceKey = ("r", None, ("body", "count"), "value")


def test_evidence_of_a_quiet_route_lasts_for_many_dry_runs() -> None:
    clock = Clock()
    ledger = EvidenceLedger(clock)
    ledger.count_dry_run("r")
    ledger.entry(KEY).weak += 1
    for _ in range(MIN_DRY_RUNS - 1):
        clock.now += EVIDENCE_TTL
        ledger.count_dry_run("r")
    assert ledger.entry(KEY).weak == 1
    ledger.count_dry_run("r")
    assert ledger.entry(KEY).weak == 0


def test_evidence_of_a_busy_route_lasts_for_a_minute() -> None:
    clock = Clock()
    ledger = EvidenceLedger(clock)
    ledger.entry(KEY).weak += 1
    for _ in range(2 * MIN_DRY_RUNS):
        ledger.count_dry_run("r")
    clock.now += EVIDENCE_TTL
    assert ledger.entry(KEY).weak == 1
    clock.now += 1
    assert ledger.entry(KEY).weak == 0


def test_evidence_of_reads_lasts_for_a_minute() -> None:
    clock = Clock()
    ledger = EvidenceLedger(clock)
    ledger.entry(KEY).decisive += 1
    clock.now += EVIDENCE_TTL
    assert ledger.entry(KEY).decisive == 1
    clock.now += 1
    assert ledger.entry(KEY).decisive == 0


def test_route_is_calm_a_minute_after_a_change() -> None:
    clock = Clock()
    ledger = EvidenceLedger(clock)
    calm = [ledger.is_calm]
    ledger.record_change()
    for seconds in (0, CALM, 1):
        clock.now += seconds
        calm.append(ledger.is_calm)
    assert calm == [True, False, False, True]


@pytest.mark.parametrize("overlapped", [False, True])
def test_dry_run_beside_another_one_ends_the_calm(overlapped: bool) -> None:
    legacy, native = answered({"count": 1}, method="POST"), answered({"count": 2}, method="POST")
    event = ComparisonEvent("r", None, "legacy", compare(legacy, native, mode=DRY_RUN), legacy, native)
    ledger = EvidenceLedger(Clock())
    repetition = DryRunRepetition(native, (), event.verdict.unexplained_keys)
    ledger.add_dry_runs(event, [repetition, repetition], overlapped=overlapped)
    assert ledger.is_calm is not overlapped


def difference(path: str, kind: DifferenceKind) -> Difference:
    return Difference(tuple(path.split(".")), kind, "major")


@pytest.mark.parametrize(
    ("path", "kind", "changed", "change", "stable"),
    [
        ("body.count", "value", "body.count", "value", False),
        ("body.count", "value", "body.total", "value", True),
        ("body.count", "value", "body", "value", False),
        ("body.count", "value", "status", "status", False),
        ("body.count", "missing", "outcome", "outcome", False),
        ("body.count", "missing", "body.count", "value", True),
        ("body.count", "missing", "body.count", "extra", False),
        ("body.note", "type", "body.note.title", "value", True),
        ("body.notes.*", "missing", "body.notes.*.title", "value", False),
        ("body.notes.*", "missing", "body.notes.*.tags.*", "extra", False),
        ("body.notes.*", "missing", "body.others.*.title", "value", True),
        ("body.notes.*.title", "value", "body.notes.*", "extra", False),
    ],
)
def test_change_concerns_its_field_and_those_below(
    path: str, kind: DifferenceKind, changed: str, change: DifferenceKind, stable: bool
) -> None:
    assert is_stable(difference(path, kind), [difference(changed, change)]) is stable

"""Every comparison names each fault of the table, by kind and path, and names nothing else.

The table goes through the engine as the shadow and `verify` call it, for reads and for writes.
tests/test_planted_faults_live.py has it through a gateway and its shadow process, a part of it is in
tests/test_planted_faults_end_to_end.py on the demo's legacy and the native app.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from proxy.comparison.answers import DecodedAnswer
from proxy.comparison.correspondence import Correspondence
from proxy.comparison.exchange import Exchange
from proxy.comparison.exchanges import compare
from proxy.comparison.headers import entity_tag
from proxy.comparison.modes import DRY_RUN, READ
from proxy.comparison.verdicts import Difference
from proxy.recordings.comparing import compare_answers
from tests.support.exchanges import NOW, exchange, object_id
from tests.support.planted_faults import (
    Answer,
    PlantedFault,
    compact,
    note,
    planted_faults,
    sound,
    with_generated,
)

FAULTS = list(planted_faults())


def made_by(answer: Answer, serial: int, second: int) -> Answer:
    """Add the values that a write generates, by the clock of these exchanges."""
    return with_generated(answer, object_id(serial), f"2026-11-22T19:41:09.{second:03d}Z")


def exchanged(answer: Answer) -> Exchange:
    body = answer.written()
    headers = [*({"etag": entity_tag(body)} | answer.headers).items(), ("content-length", str(len(body)))]
    date = ("date", "Sun, 22 Nov 2026 19:41:09 GMT")
    return exchange(body, "", status=answer.status, headers=[*headers, date], method="PATCH")


def differences(reported: Iterable[Difference]) -> set[tuple[str, str]]:
    return {(one.field, one.kind) for one in reported}


Comparison = Callable[[Answer, Answer], set[tuple[str, str]]]


def in_reads(legacy: Answer, native: Answer) -> set[tuple[str, str]]:
    return differences(compare(exchanged(legacy), exchanged(native), mode=READ).differences)


def in_dry_runs(legacy: Answer, native: Answer) -> set[tuple[str, str]]:
    return differences(compare(exchanged(legacy), exchanged(native), mode=DRY_RUN).differences)


def in_recordings(expected: Answer, actual: Answer) -> set[tuple[str, str]]:
    one, other = (DecodedAnswer.of(exchanged(each)) for each in (expected, actual))
    return differences(compare_answers(one, other, Correspondence(NOW * 1000, NOW * 1000)))


EXPECTED = {fault.name: set(fault.expected) for fault in FAULTS}


@pytest.mark.parametrize("differences_in", [in_reads, in_recordings, in_dry_runs])
def test_planted_faults_are_named_in_every_comparison(differences_in: Comparison) -> None:
    assert {fault.name: differences_in(*planted(fault, sound, sound)) for fault in FAULTS} == EXPECTED


@pytest.mark.parametrize("differences_in", [in_recordings, in_dry_runs])
def test_planted_faults_are_named_beside_generated_values(differences_in: Comparison) -> None:
    def by_legacy(kind: str) -> Answer:
        return made_by(sound(kind), 1, 100)

    def by_native(kind: str) -> Answer:
        return made_by(sound(kind), 2, 120)

    assert {fault.name: differences_in(*planted(fault, by_legacy, by_native)) for fault in FAULTS} == EXPECTED


def planted(
    fault: PlantedFault, by_legacy: Callable[[str], Answer], by_native: Callable[[str], Answer]
) -> tuple[Answer, Answer]:
    """Return legacy's answer of the fault's kind, and native's with the fault."""
    native = by_native(fault.answer)
    fault.plant(native)
    return by_legacy(fault.answer), native


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        (("data", "_id"), object_id(9), ("body.data._id", "value")),
        (("data", "notes", 0, "_id"), object_id(9), ("body.data.notes.*._id", "value")),
        (("data", "created_at"), "2026-11-22T19:41:09.120Z", ("body.data.created_at", "value")),
        (("made", "_id"), object_id(9, NOW - 3600), ("body.made._id", "value")),
        (("made", "at"), "2026-11-22T18:41:09.120Z", ("body.made.at", "value")),
        (("made", "at"), "2026-11-22T19:41:09.120000+00:00", ("body.made.at", "format")),
        (("made", "at"), "2026-11-22T19:41:09.120", ("body.made.at", "format")),
        (("log",), f"created {object_id(9)} at 2026-11-22T19:41:09.120Z", ("body.log", "value")),
    ],
)
def test_stored_and_generated_values_are_distinguished_in_writes(
    path: tuple[Any, ...], value: str, expected: tuple[str, str]
) -> None:
    legacy, native = (made_by(sound("note"), *made) for made in ((1, 100), (2, 120)))
    target = native.value
    for step in path[:-1]:
        target = target[step]
    target[path[-1]] = value
    assert in_dry_runs(legacy, native) == {expected}


def test_valid_answers_have_no_differences() -> None:
    for kind in ("note", "page", "error"):
        assert in_reads(sound(kind), sound(kind)) == in_recordings(sound(kind), sound(kind)) == set()
    legacy, native = (made_by(sound("note"), *made) for made in ((1, 100), (2, 120)))
    assert in_dry_runs(legacy, native) == in_recordings(legacy, native) == set()
    assert in_reads(legacy, native) == {("body.made._id", "value"), ("body.made.at", "value"), ("body.log", "value")}


def test_planted_faults_leave_the_original_unchanged() -> None:
    before = copy.deepcopy(note())
    assert json.loads(compact(note())) == before
    assert len(EXPECTED) == len(FAULTS) >= 45

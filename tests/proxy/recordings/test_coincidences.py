"""A difference between dates counts if all plays show it, any other if one does."""

from __future__ import annotations

import pytest

from proxy.comparison.verdicts import Difference, LocatedValue
from proxy.recordings.coincidences import confirm, may_coincide
from proxy.recordings.report import Result
from proxy.types import JSON, DifferenceKind

EARLY, LATE = "2026-11-22T19:41:09.000Z", "2026-11-22T19:41:09.001Z"
ID, OTHER_ID = "6a1b2c3d0000000000000001", "6a1b2c3d0000000000000002"


def differing(path: str, legacy: JSON, native: JSON, kind: DifferenceKind = "value") -> Difference:
    return Difference((path,), kind, "major", LocatedValue((path,), legacy), LocatedValue((path,), native))


def result(*differences: Difference, declared: bool = False) -> Result:
    return Result("step", "s", "one", "GET /", "/", differences, (), () if declared else differences)


DATED = differing("at", EARLY, LATE)
CHANGED = differing("status", 200, 404, "status")


@pytest.mark.parametrize(
    ("difference", "is_date"),
    [
        (DATED, True),
        (differing("file", f"{ID}-1795376469000.webm", f"{OTHER_ID}-1795376469001.webm"), True),
        (differing("at", EARLY, "2026-11-22T19:41:09Z"), False),
        (differing("at", EARLY, LATE, "format"), False),
        (differing("at", EARLY, "never"), False),
        (differing("at", EARLY, None), False),
        (differing("_id", ID, OTHER_ID), False),
        (CHANGED, False),
        (Difference(("at",), "missing", "breaking", LocatedValue(("at",), EARLY), None), False),
    ],
)
def test_only_dates_of_one_spelling_may_coincide(difference: Difference, is_date: bool) -> None:
    assert may_coincide(result(difference)) is is_date
    assert not may_coincide(result(difference, declared=True))
    (left,) = confirm([result(difference)], [result()])
    assert left.differences == left.unexplained == (() if is_date else (difference,))


def test_difference_of_all_plays_stays() -> None:
    again = differing("at", LATE, EARLY)
    assert confirm([result(DATED, CHANGED)], [result(again)]) == [result(DATED, CHANGED)]
    assert confirm([result(DATED)], [result(differing("created_at", EARLY, LATE))]) == [result()]

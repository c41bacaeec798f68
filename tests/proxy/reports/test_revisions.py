"""How the differences of a route changed from one revision of native to another."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.reports.models import FieldSummary, RevisionSummary
from proxy.reports.revisions import compare_releases
from proxy.types import DifferenceKind

KINDS: tuple[DifferenceKind, ...] = ("value", "type")
counts = st.dictionaries(st.tuples(st.sampled_from("abc"), st.sampled_from(KINDS)), st.integers(1, 9))


def revision(compared: int) -> RevisionSummary:
    return RevisionSummary("one", compared, 0, 0, 0, 0, 1.0, 2.0)


def summary(field: str, count: int, kind: DifferenceKind = "value", declared: int = 0) -> FieldSummary:
    return FieldSummary("notes", field, kind, "major", count + declared, declared, 0, 0, 1.0, 2.0)


@pytest.mark.parametrize(
    ("before", "after", "change"),
    [
        ((0, 100), (1, 100), "new"),
        ((1, 100), (0, 100), "gone"),
        ((1, 100), (0, 0), "same"),  # nothing was compared since
        ((10, 100), (15, 100), "same"),
        ((10, 100), (16, 100), "more"),
        ((15, 100), (10, 100), "same"),
        ((16, 100), (10, 100), "less"),
        ((10, 100), (10, 50), "more"),
        ((10, 100), (20, 200), "same"),
        ((10, 100), (10, 200), "less"),
    ],
)
def test_change_is_named_by_the_rate(before: tuple[int, int], after: tuple[int, int], change: str) -> None:
    fields = [[summary("a", count)] if count else [] for count, _ in (before, after)]
    compared = compare_releases(revision(before[1]), revision(after[1]), *fields)
    [one] = compared.fields
    assert (one.before, one.after, one.change) == (before[0], after[0], change)


def test_declared_differences_are_not_compared() -> None:
    fields = [summary("a", 0, declared=3)], [summary("a", 2, declared=3), summary("b", 0, declared=1)]
    [one] = compare_releases(revision(9), revision(9), *fields).fields
    assert (one.field, one.before, one.after, one.change) == ("a", 0, 2, "new")


@given(counts, counts)
def test_worst_changes_are_first(
    before: dict[tuple[str, DifferenceKind], int], after: dict[tuple[str, DifferenceKind], int]
) -> None:
    fields = [[summary(field, count, kind) for (field, kind), count in each.items()] for each in (before, after)]
    changes = compare_releases(revision(10), revision(10), *fields).fields
    assert {(one.field, one.kind) for one in changes} == before.keys() | after.keys()
    ranks = ["new", "more", "same", "less", "gone"]
    for one, following in pairwise(changes):
        assert ranks.index(one.change) <= ranks.index(following.change)
        if one.change == following.change:
            assert (one.after, one.before) >= (following.after, following.before)
            if (one.after, one.before) == (following.after, following.before):
                assert (one.field, one.kind) < (following.field, following.kind)

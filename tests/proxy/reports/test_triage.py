"""States of differences, from new to returned, and observations that are not a return."""

from __future__ import annotations

from dataclasses import replace

import bson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.reports import triage
from proxy.reports.triage import InvalidMark, Mark, Observation, TrackedDifference, difference_id

BY = Mark("new", 100.0, "Ada")


def observed(at: float, revision: str | None = None) -> Observation:
    return Observation("notes.list", "body.notes.*.title", "value", at, revision)


def fixed(revision: str | None, *before: str | None) -> TrackedDifference:
    """Return a difference that was observed in releases and is marked as fixed at 100."""
    difference = triage.begin(observed(1.0, before[0] if before else None))
    for at, one in enumerate(before[1:], 2):
        difference = triage.observe(difference, observed(at, one))
    return triage.mark(difference, "fixed", replace(BY, revision=revision))


def test_id_depends_on_route_field_and_kind() -> None:
    ids = {
        difference_id("a", "b", "value"),
        difference_id("a", "b", "type"),
        difference_id("a", "c", "value"),
        difference_id("ab", "", "value"),
        difference_id("", "ab", "value"),
    }
    assert len(ids) == 5


def test_difference_passes_through_all_states() -> None:
    new = triage.begin(observed(1.0, "one"))
    known = triage.mark(new, "known", replace(BY, reason="dates differ", ticket="QA-7"))
    mended = triage.mark(known, "fixed", replace(BY, revision="two"))
    returned = triage.observe(mended, observed(200.0, "two"))
    assert [one.state for one in (new, known, mended, returned)] == ["new", "known", "fixed", "returned"]
    assert [mark.state for mark in returned.history] == ["new", "known", "fixed"]
    assert (returned.mark.revision, returned.mark.at, returned.version) == ("two", 200.0, 3)
    assert triage.mark(returned, "new", BY).fixed_after == ()


@pytest.mark.parametrize(
    ("revision", "before", "observed_in", "state"),
    [
        ("two", ["one"], "one", "fixed"),  # the old release still runs
        ("two", ["one"], "two", "returned"),
        ("two", ["one"], "three", "returned"),
        ("two", ["zero", "one"], "zero", "fixed"),
        ("one", ["one"], "one", "returned"),  # fixed in the release that runs
        (None, ["one"], "one", "fixed"),
        (None, ["one"], "two", "returned"),
        (None, [None], None, "returned"),  # no revisions at all: the time decides
    ],
)
def test_fixed_difference_returns_in_later_releases_only(
    revision: str | None, before: list[str | None], observed_in: str | None, state: str
) -> None:
    assert triage.observe(fixed(revision, *before), observed(200.0, observed_in)).state == state


def test_observation_before_the_mark_is_not_a_return() -> None:
    assert triage.observe(fixed("two", "one"), observed(99.0, "two")).state == "fixed"


def test_known_difference_stays_known() -> None:
    known = triage.mark(triage.begin(observed(1.0)), "known", replace(BY, reason="dates differ"))
    again = triage.observe(known, observed(200.0, "later"))
    assert (again.state, again.last, again.version) == ("known", 200.0, known.version)


@pytest.mark.parametrize(
    ("state", "given", "message"),
    [
        ("known", BY, "needs a reason"),
        ("fixed", replace(BY, actor=""), "name of the person is required"),
        ("returned", BY, "one of new, known, fixed"),
        ("known", replace(BY, reason="x" * 501), "at most 500"),
        ("known", replace(BY, reason="two\nlines"), "one line"),
        ("fixed", replace(BY, revision="x" * 101), "the revision"),
    ],
)
def test_invalid_mark_is_refused(state: triage.State, given: Mark, message: str) -> None:
    with pytest.raises(InvalidMark, match=message):
        triage.mark(triage.begin(observed(1.0)), state, given)


texts = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=10)
revisions = st.none() | texts
steps = st.lists(
    st.tuples(st.sampled_from(["observe", "known", "fixed", "new"]), st.floats(2, 1e9), revisions), max_size=20
)


@given(revisions, steps)
def test_stored_difference_reads_back(revision: str | None, story: list[tuple[str, float, str | None]]) -> None:
    difference = triage.begin(observed(1.0, revision))
    for step, at, where in story:
        if step == "observe":
            difference = triage.observe(difference, observed(at, where))
        else:
            given = Mark("new", at, "Ada", "because", "QA-1", where)
            difference = triage.mark(difference, step, given)  # type: ignore[arg-type]
        assert difference.first == 1.0
        assert difference.last >= difference.first
    assert triage.from_document(bson.decode(bson.encode(triage.to_document(difference)))) == difference

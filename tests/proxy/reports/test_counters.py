"""Counts in memory: nothing is lost or counted twice, and the number of different fields stays within bounds."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from proxy.reports.counters import MAX_FIELDS, MAX_UNKNOWN_NAMES, OTHER_FIELDS, CounterBatch, Fields, key
from proxy.reports.models import HOUR, MINUTE

ROUTES = st.sampled_from(["one", "other"])
MOMENTS = st.floats(0, 5 * HOUR, allow_nan=False)


@given(st.lists(st.tuples(ROUTES, MOMENTS)))
def test_additions_are_counted_in_one_slice(added: list[tuple[str, float]]) -> None:
    tally = CounterBatch()
    for route, at in added:
        tally.add(key("dropped", route=route), at)
    for seconds in (MINUTE, HOUR):
        for route in ("one", "other"):
            counts = [
                (slice_, count) for entry_key, slice_, count in tally.by(seconds) if dict(entry_key)["route"] == route
            ]
            moments = [at for name, at in added if name == route]
            assert sum(count.number for _, count in counts) == len(moments)
            assert min((count.first for _, count in counts), default=0) == min(moments, default=0)
            assert max((count.last for _, count in counts), default=0) == max(moments, default=0)
            assert all(slice_ <= count.first <= count.last < slice_ + seconds for slice_, count in counts)


def test_field_keeps_its_name_within_the_hour() -> None:
    fields = Fields()
    assert fields.admit("r", "body.a", 0) == "body.a"
    assert fields.admit("r", "body.a", 10) == "body.a"


def test_fields_over_the_bound_share_a_name_until_the_hour_ends() -> None:
    fields = Fields()
    names = {fields.admit("r", f"body.{number}", 0) for number in range(MAX_FIELDS + 50)}
    assert len(names) == MAX_FIELDS + 1
    assert OTHER_FIELDS in names
    assert fields.admit("r", "body.0", 1) == "body.0"
    assert fields.admit("other", "body.new", 1) == "body.new"
    assert fields.admit("r", "body.new", HOUR) == "body.new"


def test_unknown_names_at_one_path_differ_up_to_a_bound() -> None:
    fields = Fields()
    names = [fields.admit("r", f"body.~{'b' * number}.age", 0) for number in range(1, 30)]
    assert len(set(names)) == MAX_UNKNOWN_NAMES + 1
    assert names[-1] == "body.~.age"
    assert fields.admit("r", "body.~b.name", 0) == "body.~b.name"

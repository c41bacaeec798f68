"""Two answers as one table: every place once, and each difference marked where it stands."""

from __future__ import annotations

from dataclasses import replace

from proxy.comparison.exchange import Exchange
from proxy.comparison.exchanges import compare
from proxy.ops.side_by_side import SideBySideRow, only_near, rows
from proxy.reports import samples
from proxy.reports.events import ComparisonEvent
from proxy.reports.models import Sample
from proxy.reports.redaction import Redactor
from proxy.types import JSON
from tests.support.exchanges import NOW, answered, operation, properties

TAG = properties(name={"type": "string"}, text={"type": "string"})
TAGS: JSON = {"type": "array", "x-compare": {"key": "name"}, "items": TAG}
CONTRACT = operation(properties(name={"type": "string"}, tags=TAGS))


def sample(legacy: Exchange, native: Exchange) -> Sample:
    """What is kept of two answers, read again."""
    comparison = ComparisonEvent("a", CONTRACT, "legacy", compare(legacy, native, CONTRACT), legacy, native)
    kept = samples.document(comparison, [("body", "value")], Redactor(b"0123456789abcdef", CONTRACT), NOW)
    return samples.sample(kept, set())


def told(found: tuple[SideBySideRow, ...]) -> list[tuple[str, int, str, str]]:
    return [(row.name, row.depth, row.legacy.mark, row.native.mark) for row in found]


def test_a_field_that_one_side_lacks_has_a_row_and_a_mark_on_the_other() -> None:
    legacy: JSON = {"name": "a", "tags": []}
    found = rows(sample(answered(legacy), answered({"tags": [], "more": 1})))
    assert [row[:2] for row in told(found)][:4] == [("outcome", 0), ("status", 0), ("content-type", 0), ("body", 0)]
    name, tags, more = found[4:]
    assert (name.name, name.legacy.kind, name.native) == ("name", "missing", replace(name.native, value=None, mark=""))
    assert not tags.marked
    assert (more.legacy.value, more.native.mark, more.native.kind) == (None, "different", "extra")


def test_what_stands_elsewhere_is_marked_where_it_stands_on_either_side() -> None:
    """Tags are told apart by their name, so their order says nothing."""
    legacy: JSON = {"tags": [{"name": "a", "text": "1"}, {"name": "b", "text": "2"}]}
    native: JSON = {"tags": [{"name": "b", "text": "another"}, {"name": "a", "text": "1"}]}
    found = rows(sample(answered(legacy), answered(native)))
    assert [row[2:] for row in told(found) if row[0] == "text"] == [("", "different"), ("different", "")]


def test_a_header_that_differs_is_marked() -> None:
    one, other = answered({}, headers=[("location", "/a")]), answered({}, headers=[("location", "/b")])
    marked = [row for row in rows(sample(one, other)) if row.marked]
    assert [(row.name, row.legacy.mark, row.native.mark) for row in marked] == [("location", "different", "different")]


def test_only_what_is_near_a_difference_can_be_shown() -> None:
    legacy: JSON = {"name": "a", "tags": [str(number) for number in range(40)]}
    native: JSON = {"name": "a", "tags": [*(str(number) for number in range(39)), "x"]}
    found = rows(sample(answered(legacy), answered(native)))
    near = only_near(found)
    assert [(row.name, row.skipped) for row in near] == [("body", 3), ("tags", 1), ("38", 38), ("39", 0)]
    assert near[-1].marked
    assert only_near(rows(sample(answered(legacy), answered(legacy)))) == ()


def test_an_answer_that_never_came_has_no_body() -> None:
    whole = sample(answered({"name": "a"}), answered({"name": "b"}))
    nothing = replace(whole.native, outcome="hang", status=0, headers=(), body=replace(whole.native.body, content=None))
    found = rows(replace(whole, native=nothing))
    assert all(row.native.value is None for row in found[2:])
    both = rows(replace(whole, legacy=nothing, native=nothing))
    assert [row.name for row in both] == ["outcome", "status"]

"""Two answers as one table: each field once, with each difference marked in its row."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from proxy.comparison.exchange import Exchange
from proxy.comparison.exchanges import compare
from proxy.reports import samples
from proxy.reports.alignment import pair_fields, pair_items
from proxy.reports.events import ComparisonEvent
from proxy.reports.models import Sample
from proxy.reports.redaction import Redactor
from proxy.reports.side_by_side import SideBySideRow, only_near, rows
from proxy.types import JSON
from tests.support.exchanges import NOW, answered, operation, properties

TAG = properties(name={"type": "string"}, text={"type": "string"})
TAGS: JSON = {"type": "array", "x-compare": {"key": "name"}, "items": TAG}
CONTRACT = operation(properties(name={"type": "string"}, tags=TAGS))


def sample(legacy: Exchange, native: Exchange) -> Sample:
    """Return a sample of two answers as it is stored and read."""
    comparison = ComparisonEvent("a", CONTRACT, "legacy", compare(legacy, native, CONTRACT), legacy, native)
    document = samples.document(comparison, [("body", "value")], Redactor(b"0123456789abcdef", CONTRACT), NOW)
    return samples.sample(document, set())


def marks_of(shown: tuple[SideBySideRow, ...]) -> list[tuple[str, int, str, str]]:
    return [(row.name, row.depth, row.legacy.mark, row.native.mark) for row in shown]


def test_missing_field_has_a_marked_row() -> None:
    legacy: JSON = {"name": "a", "tags": []}
    result = rows(sample(answered(legacy), answered({"tags": [], "more": 1})))
    assert [row[:2] for row in marks_of(result)][:4] == [
        ("outcome", 0),
        ("status", 0),
        ("content-type", 0),
        ("body", 0),
    ]
    name, tags, more = result[4:]
    assert (name.name, name.legacy.kind, name.native) == ("name", "missing", replace(name.native, value=None, mark=""))
    assert not tags.marked
    assert (more.legacy.value, more.native.mark, more.native.kind) == (None, "different", "extra")


def test_items_are_paired_by_their_key_and_content() -> None:
    # Tags have a key, so their order is not a difference.
    legacy: JSON = {"tags": [{"name": "a", "text": "1"}, {"name": "b", "text": "2"}]}
    native: JSON = {"tags": [{"name": "b", "text": "another"}, {"name": "a", "text": "1"}]}
    result = rows(sample(answered(legacy), answered(native)))
    assert [(row.name, row.other_name, row.relation) for row in result if row.relation] == [
        ("0", "1", "moved"),
        ("1", "0", "moved"),
    ]
    assert [row[2:] for row in marks_of(result) if row[0] == "text"] == [("", ""), ("different", "different")]
    assert not any(row.marked for row in result if row.relation)


def test_reordered_array_marks_the_moved_items() -> None:
    legacy: JSON = {"list": ["a", "b", "c", "d"]}
    result = rows(sample(answered(legacy), answered({"list": ["a", "c", "b", "d"]})))
    moved = [(row.name, row.other_name) for row in result if row.relation == "moved"]
    assert moved == [("1", "2"), ("2", "1")]


def test_moved_item_with_a_renamed_field_is_matched_by_id() -> None:
    ids = "600400000000000000000000", "600400000000000000000001"
    legacy: JSON = {"notes": [{"_id": ids[0], "body": "a text"}, {"_id": ids[1], "body": "another"}]}
    native: JSON = {"notes": [{"_id": ids[1], "text": "another"}, {"_id": ids[0], "text": "a text"}]}
    related_rows = [row for row in rows(sample(answered(legacy), answered(native))) if row.relation]
    related = [(row.other_name, row.relation) for row in related_rows]
    assert related == [("1", "moved"), ("text", "renamed"), ("0", "moved"), ("text", "renamed")]


def test_renamed_field_is_one_row() -> None:
    legacy: JSON = {"name": "Agnes", "tags": [], "flag": True}
    [renamed] = [
        row
        for row in rows(sample(answered(legacy), answered({"tags": [], "label": "Agnes", "mark": True})))
        if row.relation
    ]
    assert renamed.relation == "renamed"
    assert renamed.name == "name"
    assert (renamed.legacy.kind, renamed.native.kind) == ("missing", "extra")
    twice = rows(sample(answered({"name": "Agnes"}), answered({"one": "Agnes", "two": "Agnes"})))
    assert not any(row.relation for row in twice)


trees = st.recursive(
    st.sampled_from("abc").map(lambda digest: {"type": "string", "digest": digest}) | st.just({"type": "boolean"}),
    lambda inner: (
        st.lists(inner, max_size=4).map(lambda items: {"type": "array", "length": len(items), "items": items})
        | st.dictionaries(st.sampled_from("xyz"), inner, max_size=3).map(
            lambda fields: {"type": "object", "length": len(fields), "fields": [list(pair) for pair in fields.items()]}
        )
    ),
    max_leaves=12,
)


@given(trees, trees, st.dictionaries(st.integers(0, 4), st.integers(0, 4)))
def test_entries_are_one_row_each(legacy: Any, native: Any, hints: dict[int, int]) -> None:
    for pairs, entries in ((pair_fields(legacy, native), "fields"), (pair_items(legacy, native, hints), "items")):
        for side, tree in (("legacy_step", legacy), ("native_step", native)):
            steps = [getattr(pair, side) for pair in pairs if getattr(pair, side) is not None]
            assert len(steps) == len(set(steps)) == len(tree.get(entries, ()))


def test_header_that_differs_is_marked() -> None:
    one, other = answered({}, headers=[("location", "/a")]), answered({}, headers=[("location", "/b")])
    marked = [row for row in rows(sample(one, other)) if row.marked]
    assert [(row.name, row.legacy.mark, row.native.mark) for row in marked] == [("location", "different", "different")]


def test_rows_far_from_a_difference_are_folded() -> None:
    legacy: JSON = {"name": "a", "tags": [str(number) for number in range(40)]}
    native: JSON = {"name": "a", "tags": [*(str(number) for number in range(39)), "x"]}
    result = rows(sample(answered(legacy), answered(native)))
    near = only_near(result)
    assert [(row.name, row.skipped) for row in near] == [("body", 3), ("tags", 1), ("38", 38), ("39", 0)]
    assert near[-1].marked
    assert only_near(rows(sample(answered(legacy), answered(legacy)))) == ()


def test_missing_answer_has_no_body() -> None:
    whole = sample(answered({"name": "a"}), answered({"name": "b"}))
    nothing = replace(whole.native, outcome="hang", status=0, headers=(), body=replace(whole.native.body, content=None))
    result = rows(replace(whole, native=nothing))
    assert all(row.native.value is None for row in result[2:])
    both = rows(replace(whole, legacy=nothing, native=nothing))
    assert [row.name for row in both] == ["outcome", "status"]

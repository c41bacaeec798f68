"""Laws of comparing two JSON answers, and each kind of difference."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import cast

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from proxy.comparison.exchanges import compare
from proxy.comparison.modes import DRY_RUN, READ, Mode
from proxy.comparison.verdicts import Difference, Verdict
from proxy.types import JSON
from tests.support.exchanges import NOW, answered, object_id, operation, properties
from tests.support.volatile_content import timestamps

ids = st.integers(0, 6).map(object_id)
words = st.text(max_size=6).filter(lambda text: not timestamps(text))
numbers = st.integers(-9, 9) | st.floats(allow_nan=False, allow_infinity=False)
scalars = st.none() | st.booleans() | numbers | words | ids | st.tuples(words, ids).map(" ".join)


def nested(inner: st.SearchStrategy[JSON]) -> st.SearchStrategy[JSON]:
    objects = st.dictionaries(words | ids, inner, max_size=4)
    return cast("st.SearchStrategy[JSON]", st.lists(inner, max_size=4) | objects)


values: st.SearchStrategy[JSON] = st.recursive(cast("st.SearchStrategy[JSON]", scalars), nested, max_leaves=20)


def renamed(value: JSON, rename: Callable[[str], str]) -> JSON:
    if isinstance(value, dict):
        return {rename(name): renamed(each, rename) for name, each in value.items()}
    if isinstance(value, list):
        return [renamed(each, rename) for each in value]
    return rename(value) if isinstance(value, str) else value


def rename_id(text: str) -> str:
    """Return a different id for each id, computed from its serial number."""
    head, separator, last = text.rpartition(" ")
    if not timestamps(text):
        return text
    return f"{head}{separator}{object_id(1000 + int(last[8:], 16) * 5 % 7)}"


def verdict_on(legacy: JSON, native: JSON, mode: Mode = READ, **more: JSON) -> Verdict:
    contract = operation(properties(**more)) if more else None
    return compare(answered(legacy), answered(native), contract, mode=mode)


def kinds(legacy: JSON, native: JSON, mode: Mode = READ, **more: JSON) -> list[tuple[str, str]]:
    return [(one.field, one.kind) for one in verdict_on(legacy, native, mode, **more).differences]


def tallied(differences: tuple[Difference, ...]) -> Counter[object]:
    return Counter((one.path, one.kind, one.severity) for one in differences)


@given(values)
def test_value_matches_itself(value: JSON) -> None:
    assert verdict_on(value, value) == Verdict("match")
    assert verdict_on({"value": value, "n": 1}, {"n": 1, "value": value}).differences[0].kind == "order"


@given(values)
def test_consistent_renaming_matches_by_role_only(value: JSON) -> None:
    other = renamed(value, rename_id)
    assert verdict_on(value, other, DRY_RUN) == Verdict("match")
    assert verdict_on(value, other).name == ("match" if value == other else "mismatch")


@given(st.lists(ids, min_size=2, max_size=6), st.data())
def test_inconsistent_renaming_is_a_difference(legacy: list[str], data: st.DataObject) -> None:
    position = data.draw(st.integers(0, len(legacy) - 1))
    assume(legacy.count(legacy[position]) > 1)
    native = [rename_id(one) for one in legacy]
    native[position] = data.draw(st.sampled_from([object_id(9999), legacy[position]]))
    one, other = ({str(index): each for index, each in enumerate(side)} for side in (legacy, native))
    assert verdict_on(dict(one), dict(other), DRY_RUN).name == "mismatch"


@pytest.mark.parametrize("mode", [READ, DRY_RUN])
@given(one=values, other=values)
def test_swapping_the_sides_mirrors_the_verdict(mode: Mode, one: JSON, other: JSON) -> None:
    there, back = verdict_on(one, other, mode), verdict_on(other, one, mode)
    assert there.name == back.name
    assert tallied(tuple(each.mirrored() for each in there.differences)) == tallied(back.differences)


@given(values, values)
def test_matching_values_are_equal_except_for_ids(one: JSON, other: JSON) -> None:
    if verdict_on(one, other).name == "match":
        same = json.dumps(renamed(one, lambda text: text[:-24] if timestamps(text) else text))
        assert same == json.dumps(renamed(other, lambda text: text[:-24] if timestamps(text) else text))


@given(st.lists(st.integers(0, 4), max_size=8), st.randoms(use_true_random=False))
def test_unordered_array_matches_in_any_order(items: list[int], random: object) -> None:
    shuffled = list(items)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    schema: JSON = {"type": "array", "x-compare": "unordered"}
    one, other = (cast(JSON, {"a": each, "b": 1}) for each in (items, shuffled))
    assert verdict_on(one, other, a=schema).name == "match"
    assert verdict_on(one, other).name == ("match" if items == shuffled else "mismatch")
    assert set(kinds(one, other)) <= {("body.a", "order")}


@pytest.mark.parametrize(
    ("legacy", "native", "expected"),
    [
        ({"a": 1}, {}, ("body.a", "missing", "breaking")),
        ({}, {"a": 1}, ("body.a", "extra", "minor")),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, ("body", "order", "minor")),
        ([1], [1, 2], ("body.*", "extra", "minor")),
        ([1, 2], [1], ("body.*", "missing", "breaking")),
        ([1, 2, 3], [3, 2, 1], ("body", "order", "major")),
        ([1, 2, 3], [1, 2, 4], ("body.*", "value", "major")),
        ({"a": 1}, {"a": "1"}, ("body.a", "type", "breaking")),
        ({"a": 1}, {"a": True}, ("body.a", "type", "breaking")),
        ({"a": 1}, {"a": 1.0}, ("body.a", "format", "major")),
        ({"a": 0}, {"a": False}, ("body.a", "type", "breaking")),
        ({"a": None}, {"a": ""}, ("body.a", "type", "breaking")),
        ({"a": "x"}, {"a": "y"}, ("body.a", "value", "major")),
        ({"a": 1.5}, {"a": 2.5}, ("body.a", "value", "major")),
        ({"a": True}, {"a": False}, ("body.a", "value", "major")),
        ({"a": object_id(1)}, {"a": "x"}, ("body.a", "type", "breaking")),
        ({"a": [{"b": [1]}]}, {"a": [{"b": ["1"]}]}, ("body.a.*.b.*", "type", "breaking")),
    ],
)
def test_each_kind_of_difference_is_named(legacy: JSON, native: JSON, expected: tuple[str, str, str]) -> None:
    differences = verdict_on(legacy, native).differences
    assert [(one.field, one.kind, one.severity) for one in differences] == [expected]


def test_difference_has_the_path_on_both_sides() -> None:
    items: list[JSON] = [{"_id": "a", "n": 1}, {"_id": "b", "n": 2}]
    moved: list[JSON] = [{"_id": "b", "n": 3}, {"_id": "a", "n": 1}]
    changed = next(one for one in verdict_on(items, moved).differences if one.kind == "value")
    assert changed.legacy is not None
    assert changed.native is not None
    assert (changed.legacy.path, changed.legacy.value) == (("body", 1, "n"), 2)
    assert (changed.native.path, changed.native.value) == (("body", 0, "n"), 3)
    assert (changed.location, changed.field) == ("body.1.n", "body.*.n")


def test_id_as_a_key_is_one_shared_field_name() -> None:
    one: JSON = {object_id(1): {"n": 1}, object_id(2): {"n": 1}}
    other: JSON = {object_id(11): {"n": 1}, object_id(12): {"n": 2}}
    assert kinds(one, other, DRY_RUN) == [("body.<id>.n", "value")]
    assert set(kinds(one, other)) == {("body.<id>", "missing"), ("body.<id>", "extra")}


def test_old_ids_as_keys_must_be_equal() -> None:
    one: JSON = {object_id(1, NOW - 9999): 1}
    other: JSON = {object_id(2, NOW - 9999): 1}
    for mode in (READ, DRY_RUN):
        assert kinds(one, other, mode) == [("body.<id>", "missing"), ("body.<id>", "extra")]


def test_id_mapped_and_equal_is_a_difference() -> None:
    a, b = object_id(1), object_id(2)
    assert kinds({"x": a, "y": a}, {"x": b, "y": a}, DRY_RUN) == [("body.y", "value")]
    text: JSON = f"note {a} is gone"
    assert kinds({"x": a, "y": text}, {"x": b, "y": text}, DRY_RUN) == [("body.y", "value")]
    assert kinds({"x": a, "y": {a: 1}}, {"x": b, "y": {a: 1}}, DRY_RUN) == [("body.y.<id>", "value")]


def test_ids_of_separate_requests_are_compared_separately() -> None:
    first = verdict_on({"x": object_id(1)}, {"x": object_id(2)}, DRY_RUN)
    assert first == verdict_on({"x": object_id(1)}, {"x": object_id(3)}, DRY_RUN) == Verdict("match")


def test_milliseconds_since_the_epoch_are_dates() -> None:
    assert not kinds({"at": NOW * 1000}, {"at": NOW * 1000 + 9}, DRY_RUN)
    assert kinds({"at": NOW * 1000}, {"at": NOW * 1000 + 9}) == [("body.at", "value")]
    assert kinds({"at": 1_500_000_000_000}, {"at": 1_500_000_000_001}, DRY_RUN) == [("body.at", "value")]


def test_new_dates_may_differ_by_the_length_of_the_exchange() -> None:
    together: JSON = {"a": "2026-11-22T19:41:09.000Z", "b": "2026-11-22T19:41:09.000Z"}
    apart: JSON = {"a": "2026-11-22T19:41:09.000Z", "b": "2026-11-22T19:41:09.400Z"}
    assert compare(answered(together, total=1.0), answered(apart), mode=DRY_RUN).name == "match"
    assert compare(answered(together), answered(apart), mode=DRY_RUN).name == "mismatch"


@pytest.mark.parametrize(
    ("schema", "legacy", "native", "expected"),
    [
        ({"x-compare": "ignore"}, 1, "x", []),
        ({"x-compare": "instant"}, "2026-11-22T19:41:09.120Z", "2026-11-22T20:41:09.120000+01:00", []),
        ({"x-compare": "instant"}, "2026-11-22T19:41:09Z", "2026-11-22T19:41:10Z", [("body.a", "value")]),
        ({"x-compare": "generated"}, object_id(1), object_id(2), []),
        ({"x-compare": "generated"}, object_id(1), object_id(2, NOW - 9999), [("body.a", "value")]),
        ({"x-compare": "literal"}, object_id(1), object_id(2), [("body.a", "value")]),
        ({"x-compare": "text"}, " a\n b ", "a b", []),
        ({"x-compare": "text"}, "a b", "a c", [("body.a", "value")]),
        ({"x-compare": "unordered"}, [1, 2], [2, 2], [("body.a.*", "value")]),
        ({"x-compare": "unordered"}, {"x": 1, "y": 2}, {"y": 2, "x": 1}, []),
        ({"x-compare": {"key": "k"}}, [{"k": 1, "v": 1}, {"k": 2, "v": 2}], [{"k": 2, "v": 2}, {"k": 1, "v": 1}], []),
        (
            {"x-compare": {"key": "k"}},
            [{"k": 1, "v": 1}, {"k": 2, "v": 2}],
            [{"k": 2, "v": 9}, {"k": 1, "v": 1}],
            [("body.a.*.v", "value")],
        ),
        ({"items": {"properties": {"v": {"x-compare": "ignore"}}}}, [{"v": 1}, {"w": 1}], [{"v": 2}, {"w": 1}], []),
    ],
)
def test_contract_rule_compares_a_field(
    schema: JSON, legacy: JSON, native: JSON, expected: list[tuple[str, str]]
) -> None:
    assert kinds({"a": legacy, "b": 1}, {"a": native, "b": 1}, a=schema) == expected

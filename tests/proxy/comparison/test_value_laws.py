"""The comparison's short cuts have the same result as its walk of every node."""

from __future__ import annotations

from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.comparison.bodies import MAX_DEPTH
from proxy.comparison.fields import is_fully_ignored
from proxy.comparison.values import TooDeepError, compare_values
from proxy.contract.values import Hints
from proxy.types import JSON, ValuePath

TEXTS: Final = st.sampled_from(
    [
        *("", "a", "64b7f0f0f0f0f0f0f0f0f0f0", "64b7f0f0f0f0f0f0f0f0f0f1", "64B7F0F0F0F0F0F0F0F0F0F0", "1795376469000"),
        *("2026-11-22T19:41:05.123Z", "2026-11-22T19:41:05.123000+00:00", "2026-11-22T19:41:05Z", "2026-11-22"),
        *("é", "e\u0301", "Sun, 22 Nov 2026 19:41:05 GMT", "eyJhbGciOiJIUzI1NiJ9.e30.x", "two words"),
    ]
)
NAMES: Final = st.sampled_from(["_id", "name", "at", "1", "64b7f0f0f0f0f0f0f0f0f0f0", "a very long member name"])
SCALARS: Final = TEXTS | st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from([1.0, 0.5])
VALUES: Final[st.SearchStrategy[Any]] = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4), max_leaves=15
)


@st.composite
def changed(draw: st.DrawFn, value: JSON) -> JSON:
    """Return a value of the same shape with some scalars replaced."""
    if isinstance(value, dict):
        return {name: draw(changed(item)) for name, item in value.items()}
    if isinstance(value, list):
        return [draw(changed(item)) for item in value]
    return draw(SCALARS) if draw(st.booleans()) else value


@given(VALUES.flatmap(lambda value: st.tuples(st.just(value), changed(value) | VALUES)))
def test_literal_fast_path_changes_no_result(pair: tuple[JSON, JSON]) -> None:
    short = compare_values(*pair)
    assert short == compare_values(*pair, hints=lambda path: Hints())
    assert short == compare_values(*pair, hints=lambda path: Hints(compare="literal"))


@given(VALUES.flatmap(lambda value: st.tuples(st.just(value), changed(value))))
def test_changed_texts_are_one_difference_each(pair: tuple[JSON, JSON]) -> None:
    if not isinstance(pair[0], dict) or any(isinstance(item, list | dict) for item in pair[0].values()):
        return
    names = [name for name, item in pair[0].items() if item != pair[1][name] or type(item) is not type(pair[1][name])]  # type: ignore[index,call-overload]
    assert [one.location for one in compare_values(*pair).differences] == [f"body.{name}" for name in names]


@pytest.mark.parametrize(
    ("value", "ignored", "expected"),
    [
        ({"a": 1}, {("body",)}, True),
        ({"a": 1}, {("body", "a")}, True),
        ({"a": {"b": [1, 2]}}, {("body", "a", "b")}, True),
        ({"a": {"b": [1, 2]}}, {("body", "a", "b", 0)}, True),
        ({"a": 1, "b": 2}, {("body", "a"), ("body", "b")}, True),
        ({"a": 1, "b": 2}, {("body", "a")}, False),
        ({"a": 1, "b": 2}, {("body", "b")}, False),
        ({"a": {}}, {("body", "b")}, False),
        ({"a": []}, {("body", "a", 0)}, False),
        ({}, {("body", "a")}, False),
        ("text", {("body", "a")}, False),
    ],
)
def test_value_is_ignored_where_rules_cover_all_of_it(value: JSON, ignored: set[ValuePath], expected: bool) -> None:
    assert is_fully_ignored(value, lambda path: Hints("ignore") if path in ignored else Hints()) is expected


@pytest.mark.parametrize(("native", "hidden"), [(1, []), (2, [("body", "a")])])
@pytest.mark.parametrize("by_role", [False, True])
def test_ignored_field_is_hidden_only_where_it_differs(native: int, hidden: list[ValuePath], by_role: bool) -> None:
    def hints(path: ValuePath) -> Hints:
        return Hints("ignore" if path[1:] else None)

    comparison = compare_values({"a": [1]}, {"a": [native]}, hints=hints, by_role=by_role)
    assert (comparison.differences, comparison.hidden) == ([], hidden)


@pytest.mark.parametrize("rule", ["unordered", None])
def test_rule_for_arrays_leaves_a_text_to_the_mode(rule: Any) -> None:
    legacy: JSON = {"a": "64b7f0f0f0f0f0f0f0f0f0f0"}
    native: JSON = {"a": "64b7f0f0f0f0f0f0f0f0f0f1"}
    comparison = compare_values(legacy, native, hints=lambda path: Hints(rule), by_role=True)
    assert not comparison.differences


RULES: Final[dict[ValuePath, Hints]] = {
    ("body", "hidden"): Hints("ignore"),
    ("body", "items"): Hints(key="k"),
    ("body", "free"): Hints("unordered"),
}


@pytest.mark.parametrize(
    ("legacy", "native", "expected"),
    [
        ({"hidden": 1, "b": 1}, {"hidden": 2}, [("body.b", "missing")]),
        ({"b": 1, "hidden": 1}, {"hidden": 2, "b": 1}, [("body", "order")]),
        ({"b": 1}, {"b": 1, "hidden": 2}, []),
        ({"b": 1, "hidden": 2}, {"b": 1}, []),
        ({"a": {"x": 1, "y": 2}}, {"a": {"y": 2, "x": 1}}, [("body.a", "order")]),
        ({"free": {"x": 1, "y": 2}}, {"free": {"y": 2, "x": 1}}, []),
        (
            {"items": [{"k": 1, "v": 1}, {"k": 2, "v": 2}]},
            {"items": [{"k": 1, "v": 2}, {"k": 2, "v": 1}]},
            [("body.items.*.v", "value"), ("body.items.*.v", "value")],
        ),
    ],
)
def test_rule_holds_beside_other_names_and_orders(legacy: JSON, native: JSON, expected: list[tuple[str, str]]) -> None:
    comparison = compare_values(legacy, native, hints=lambda path: RULES.get(path, Hints()))
    assert [(one.field, one.kind) for one in comparison.differences] == expected
    assert (("body", "hidden") in comparison.hidden) is ("hidden" in str((legacy, native)))


@pytest.mark.parametrize("by_role", [False, True])
def test_each_difference_has_its_paths_on_both_sides(by_role: bool) -> None:
    legacy: JSON = {"a": {"b": 1, "c": [{"d": 1}, 2]}, "e": "x", "f": [[1]]}
    native: JSON = {"a": {"b": 2, "c": [{"d": 2}, 3]}, "e": "y", "f": [[2]]}
    comparison = compare_values(legacy, native, by_role=by_role)
    paths = [("body", *rest) for rest in (("a", "b"), ("a", "c", 0, "d"), ("a", "c", 1), ("e",), ("f", 0, 0))]
    assert [one.legacy and one.legacy.path for one in comparison.differences] == paths
    assert [one.native and one.native.path for one in comparison.differences] == paths


def test_lone_value_has_a_path_on_its_own_side() -> None:
    legacy: JSON = [{"k": "a"}, {"k": "b", "gone": 1, "n": 1}]
    native: JSON = [{"k": "b", "new": 2, "n": 2}, {"k": "a"}]
    hints: dict[ValuePath, Hints] = {("body",): Hints(key="k")}
    differences = compare_values(legacy, native, hints=lambda path: hints.get(path, Hints())).differences
    sides = [(one.kind, one.legacy and one.legacy.path, one.native and one.native.path) for one in differences]
    assert sides == [
        ("missing", ("body", 1, "gone"), None),
        ("value", ("body", 1, "n"), ("body", 0, "n")),
        ("extra", None, ("body", 0, "new")),
    ]


def test_literal_text_keeps_its_white_space() -> None:
    comparison = compare_values({"a": "x y"}, {"a": "x  y"}, hints=lambda path: Hints("literal" if path[1:] else None))
    assert [(one.field, one.kind) for one in comparison.differences] == [("body.a", "value")]


@pytest.mark.parametrize(("native", "is_lenient"), [("two  words of text", True), ("two words of text", False)])
def test_rule_is_lenient_only_for_unequal_texts(native: str, is_lenient: bool) -> None:
    comparison = compare_values(
        {"a": "two words of text"}, {"a": native}, hints=lambda path: Hints("text"), by_role=True
    )
    assert (comparison.differences, comparison.lenient) == ([], is_lenient)


@pytest.mark.parametrize("by_role", [False, True])
def test_values_are_compared_down_to_the_maximum_depth(by_role: bool) -> None:
    def nested(levels: int, leaf: JSON) -> JSON:
        return [nested(levels - 1, leaf)] if levels else leaf

    [difference] = compare_values(nested(MAX_DEPTH - 1, 1), nested(MAX_DEPTH - 1, 2), by_role=by_role).differences
    assert difference.kind == "value"
    with pytest.raises(TooDeepError):
        compare_values(nested(MAX_DEPTH, 1), nested(MAX_DEPTH, 2), by_role=by_role)

"""The comparison's short cuts have the same result as its walk of every node."""

from __future__ import annotations

from typing import Any, Final

from hypothesis import given
from hypothesis import strategies as st

from proxy.comparison.values import compare_values
from proxy.contract.values import Hints
from proxy.types import JSON

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

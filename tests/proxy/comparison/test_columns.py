"""Arrays of objects have the same differences by column as one object after the other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.comparison.columns import MAX_ROWS
from proxy.comparison.correspondence import FRESH, Correspondence
from proxy.comparison.values import MAX_DIFFERENCES, compare_values
from proxy.comparison.verdicts import Difference, LocatedValue
from proxy.comparison.volatile import kind_of_all
from proxy.contract.values import Hints
from proxy.types import JSON, ValuePath

RULES: Final[dict[ValuePath, Hints]] = {
    ("body", 0, "hidden"): Hints("ignore"),
    ("body", 0, "made"): Hints("generated"),
    ("body", 0, "nested", "words"): Hints("text"),
}
IDS: Final = [f"64b7f0f{digit}f0f0f0f0f0f0f0f0" for digit in "0123"]
NOW: Final = 0x64B7F0F0
"""A time in seconds since the epoch."""
TEXTS: Final = [*IDS, "2026-11-22T19:41:05.123Z", "2026-11-22T19:41:05.153Z", "two words", "two  words", "a", "é"]
SCALARS: Final = st.sampled_from([*TEXTS, None, True, 1, 1.0, 0.0, 2])
ROWS: Final = st.fixed_dictionaries(
    {
        "made": st.sampled_from(IDS),
        "at": st.sampled_from(TEXTS),
        "nested": st.fixed_dictionaries({"words": st.sampled_from(TEXTS), "n": SCALARS}),
        "notes": st.lists(st.fixed_dictionaries({"by": st.sampled_from(IDS)}), min_size=1, max_size=2),
        "status": st.just("active"),
    },
    optional={"hidden": SCALARS, IDS[0]: SCALARS},
)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[list[Any], list[Any]]:
    """Return two arrays of objects, of which a few are different and the others are equal or have other ids."""
    legacy = draw(st.lists(ROWS, min_size=3, max_size=7))
    native = [draw(st.just(row) | renamed(row) | ROWS) for row in legacy]
    for index, row in enumerate(legacy):
        legacy[index] = {"_id": index, **row}
        native[index] = {"_id": index, **native[index]}
    return legacy, native


@st.composite
def renamed(draw: st.DrawFn, value: Any) -> Any:
    """Return a value with some of its texts replaced, and some others by equal ones: of another type or order."""
    if isinstance(value, dict):
        names = reversed(value) if draw(st.integers(0, 9)) == 0 else value
        return {name: draw(renamed(value[name])) for name in names}
    if isinstance(value, list):
        return [draw(renamed(item)) for item in value]
    if isinstance(value, int | float) and draw(st.booleans()):
        return draw(st.sampled_from([one for one in (False, 0, 0.0, True, 1, 1.0) if one == value] or [value]))
    return draw(st.sampled_from(TEXTS)) if isinstance(value, str) and draw(st.booleans()) else value


def one_by_one(legacy: list[JSON], native: list[JSON], names: Correspondence, **options: Any) -> Iterator[Difference]:
    for index, pair in enumerate(zip(legacy, native, strict=True)):
        one, other = ([item] for item in pair)
        for difference in compare_values(one, other, lambda: names, **options).differences:
            spots = (spot and at_row(spot, index) for spot in (difference.legacy, difference.native))
            yield Difference(*difference[:3], *spots)


def at_row(spot: LocatedValue, index: int) -> LocatedValue:
    root, _, *rest = spot.path
    return LocatedValue((root, index, *rest), spot.value)


@pytest.mark.parametrize("by_role", [False, True])
@pytest.mark.parametrize("rules", [None, RULES])
@given(pair=pairs())
def test_differences_are_those_of_each_object(
    pair: tuple[list[Any], list[Any]], rules: dict[ValuePath, Hints] | None, by_role: bool
) -> None:
    def hints(path: ValuePath) -> Hints:
        general = tuple([0 if isinstance(step, int) else step for step in path])
        return Hints() if rules is None else rules.get(general, Hints())

    names, expected_names = Correspondence(), Correspondence()
    differences = compare_values(*pair, lambda: names, hints, by_role=by_role).differences
    expected = list(one_by_one(*pair, expected_names, hints=hints, by_role=by_role))
    if by_role and has_contradiction(differences) and has_contradiction(expected):
        return  # which of two contradicting ids is named depends on the order
    assert differences == expected
    assert [names.counterpart(one) for one in IDS] == [expected_names.counterpart(one) for one in IDS]


def has_contradiction(differences: list[Difference]) -> bool:
    """Return whether two ids differ, which by role is a contradiction."""
    return any(
        each.legacy and each.native and each.legacy.value in IDS and each.native.value in IDS for each in differences
    )


few_ids = st.builds("{:08x}{:016x}".format, st.sampled_from((NOW, NOW - 2 * FRESH)), st.integers(0, 4))
id_pairs = st.lists(st.tuples(few_ids, few_ids), max_size=6)


@given(known=id_pairs, pairs=id_pairs, order=st.permutations(range(6)))
def test_ids_of_a_column_are_learned_if_each_pair_corresponds(
    known: list[tuple[str, str]], pairs: list[tuple[str, str]], order: list[int]
) -> None:
    one_by_one, at_once, untouched = (Correspondence(NOW * 1000, NOW * 1000) for _ in range(3))
    for correspondence in (one_by_one, at_once, untouched):
        for legacy, native in known:
            correspondence.compare_text(legacy, native)
    shuffled = [pairs[index] for index in order if index < len(pairs)]
    correspond = not [pair for pair in shuffled if one_by_one.compare_text(*pair)]
    assert at_once.learn_ids([legacy for legacy, _ in pairs], [native for _, native in pairs]) is correspond
    assert at_once == (one_by_one if correspond else untouched)


def test_difference_far_down_an_array_has_its_index() -> None:
    legacy: list[JSON] = [{"_id": index, "name": "a", "n": 1} for index in range(3 * MAX_ROWS)]
    native: list[JSON] = [{"_id": index, "name": "b", "n": index % 2} for index in range(3 * MAX_ROWS)]
    expected = [
        f"body.{row}.{name}" for row in range(3 * MAX_ROWS) for name in ("name", "n") if row % 2 == 0 or name == "name"
    ]
    assert [one.location for one in compare_values(legacy, native).differences] == expected


def test_differences_of_many_objects_are_bounded() -> None:
    sides: list[Any] = [
        [{"a": f"{row:08x}{digit * 16}"} for row in range(MAX_DIFFERENCES + MAX_ROWS)] for digit in ("a", "b")
    ]
    differences = compare_values(*sides).differences
    assert len(differences) == MAX_DIFFERENCES
    assert differences[-1].location == f"body.{MAX_DIFFERENCES - 1}.a"


@pytest.mark.parametrize(
    ("texts", "kind"),
    [
        (IDS, "id"),
        ([*IDS, IDS[0].upper()], None),
        ([*IDS, IDS[0][1:]], None),
        (["2026-11-22T19:41:05.123Z", "2020-01-02T03:04:05.678Z"], "date"),
        (["2026-11-22T19:41:05.123Z", IDS[0]], None),
        (["2026-11-22T19:41:05.123z"], None),
        (["٢026-11-22T19:41:05.123Z"], None),
    ],
)
def test_kind_is_that_of_all_texts(texts: list[str], kind: str | None) -> None:
    assert kind_of_all(texts) == kind

"""Items of two arrays are matched as a person would match them."""

from __future__ import annotations

from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.comparison.arrays import Alignment, align
from proxy.comparison.correspondence import Correspondence
from proxy.types import JSON
from tests.support.exchanges import NOW, object_id


def aligned(legacy: list[JSON], native: list[JSON], key: str | None = None, *, free: bool = False) -> Alignment:
    names = Correspondence(NOW * 1000, NOW * 1000, fresh=60_000)
    return align(legacy, native, names.may_correspond, key, free=free)


def keyed_items(*pairs: tuple[object, object], key: str = "_id") -> list[JSON]:
    return [cast(JSON, {key: one, "n": other}) for one, other in pairs]


small = st.lists(cast("st.SearchStrategy[JSON]", st.integers(0, 3) | st.sampled_from("ab")), max_size=6)


@given(small, small, st.booleans())
def test_items_are_aligned_exactly_once(legacy: list[JSON], native: list[JSON], free: bool) -> None:
    pairs = aligned(legacy, native, free=free).pairs
    assert sorted(one for one, _ in pairs if one is not None) == list(range(len(legacy)))
    assert sorted(other for _, other in pairs if other is not None) == list(range(len(native)))


@given(small, small, st.booleans())
def test_alignment_mirrors(legacy: list[JSON], native: list[JSON], free: bool) -> None:
    there, back = aligned(legacy, native, free=free), aligned(native, legacy, free=free)
    assert {(other, one) for one, other in there.pairs} == set(back.pairs)
    assert there.moved == back.moved


@given(small)
def test_array_is_aligned_with_itself_in_order(items: list[JSON]) -> None:
    assert aligned(items, list(items)) == Alignment(tuple((index, index) for index in range(len(items))))


@pytest.mark.parametrize(
    ("legacy", "native", "pairs", "moved"),
    [
        ([1, 2, 3], [2, 3], ((0, None), (1, 0), (2, 1)), False),
        ([2, 3], [1, 2, 3], ((0, 1), (1, 2), (None, 0)), False),
        ([1, 2, 3], [3, 1, 2], ((0, 1), (1, 2), (2, 0)), True),
        ([1, 2], [1, 9], ((0, 0), (1, 1)), False),
        (keyed_items((1, "a"), (2, "b")), keyed_items((2, "x"), (1, "y")), ((0, 1), (1, 0)), True),
        (keyed_items((1, "a"), (2, "b")), keyed_items((2, "x")), ((0, None), (1, 0)), False),
        (
            keyed_items((1, "a"), (2, "b"), key="name"),
            keyed_items((2, "x"), (1, "y"), key="name"),
            ((0, 1), (1, 0)),
            True,
        ),
        (keyed_items((1, "a"), (1, "b")), keyed_items((1, "b"), (1, "a")), ((0, 1), (1, 0)), True),
        (keyed_items((True, "a"), (False, "b")), keyed_items((False, "c"), (True, "d")), ((0, 0), (1, 1)), False),
        ([[1, 2], [3, 4]], [[3, 4], [1, 2]], ((0, 1), (1, 0)), True),
        ([{}, 1], [1, {}], ((0, 1), (1, 0)), True),
    ],
)
def test_items_are_matched_by_their_identity(
    legacy: list[JSON], native: list[JSON], pairs: tuple[object, ...], moved: bool
) -> None:
    alignment = aligned(legacy, native)
    assert (alignment.pairs, alignment.moved) == (pairs, moved)


def test_generated_items_are_matched_by_position() -> None:
    legacy, native = (keyed_items(*((object_id(n + shift), n) for n in range(3))) for shift in (0, 50))
    assert aligned(legacy, native) == Alignment(((0, 0), (1, 1), (2, 2)))


def test_new_items_are_matched_with_each_other() -> None:
    old = NOW - 9999
    legacy = keyed_items((object_id(1, old), "a"), (object_id(2, old), "b"), (object_id(3), "new"))
    native = keyed_items((object_id(9), "newer"), (object_id(1, old), "a"), (object_id(2, old), "b"))
    assert set(aligned(legacy, native, free=True).pairs) == {(0, 1), (1, 2), (2, 0)}


def test_different_old_items_are_not_matched() -> None:
    old = NOW - 9999
    legacy = keyed_items((object_id(1, old), "a"), (object_id(2, old), "b"))
    native = keyed_items((object_id(1, old), "a"), (object_id(3, old), "c"))
    assert aligned(legacy, native, free=True).pairs == ((0, 0), (1, None), (None, 1))


def test_items_without_the_key_are_matched() -> None:
    legacy, native = keyed_items((1, "a"), (None, "b")), keyed_items((1, "a"), (None, "c"))
    assert aligned(legacy, native, "_id", free=True) == Alignment(((0, 0), (1, 1)))
    assert aligned(keyed_items((1, "a"), (2, "b")), keyed_items((3, "c")), "_id").pairs == (
        (0, None),
        (1, None),
        (None, 0),
    )


def test_key_of_the_contract_is_preferred() -> None:
    legacy: list[JSON] = [{"_id": 1, "k": "x"}, {"_id": 2, "k": "y"}]
    native: list[JSON] = [{"_id": 1, "k": "y"}, {"_id": 2, "k": "x"}]
    assert aligned(legacy, native, "k", free=True) == Alignment(((0, 1), (1, 0)))
    assert aligned(legacy, [*native, {"_id": 3}, 4], "k", free=True).pairs[2:] == ((None, 2), (None, 3))

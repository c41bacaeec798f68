"""Pairs of numbers are added exactly when both sides order all of them alike."""

from __future__ import annotations

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from proxy.comparison.ordering import PairedOrder

numbers = st.integers(0, 6)


def is_one_order(pairs: list[tuple[int, int]]) -> bool:
    return all(
        (one[0] < other[0], one[0] == other[0]) == (one[1] < other[1], one[1] == other[1])
        for one, other in combinations(pairs, 2)
    )


@given(st.lists(st.tuples(numbers, numbers), max_size=8))
def test_pair_is_added_if_all_have_one_order(drawn: list[tuple[int, int]]) -> None:
    order, added = PairedOrder(), list[tuple[int, int]]()
    for pair in drawn:
        expected = is_one_order([*added, pair])
        assert order.add(*pair) is expected
        if expected:
            added.append(pair)


def test_refused_pair_leaves_no_trace() -> None:
    order = PairedOrder()
    assert order.add(1, 10)
    assert order.add(3, 30)
    assert not order.add(2, 40)
    assert order.add(2, 20)

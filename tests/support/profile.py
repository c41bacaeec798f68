"""The depth of random tests, from Hypothesis's profile: `quick` in `make test`, `usual` in CI."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Final, TypeVar

from hypothesis import settings

T = TypeVar("T")

IS_QUICK: Final = settings.get_current_profile_name() == "quick"
"""True if a matrix of cases and ways to deliver them is sampled: each case and each way is in it, not each pair."""


def examples(number: int) -> int:
    """Return the examples of a property that searches longer than the profile says: a fifth in a quick run."""
    return number // 5 if IS_QUICK else number


def spread(cases: Sequence[T], way: int, ways: int) -> Sequence[T]:
    """Return the cases for one of several ways, counted from 0: all of them, in a quick run every `ways`-th."""
    return cases[way::ways] if IS_QUICK else cases


def combinations(*axes: Sequence[str]) -> list[tuple[str, ...]]:
    """Return the combinations of a value of each axis: all of them, in a quick run a diagonal.

    The indexes of a combination on the diagonal sum to a multiple of the longest axis's length. It has each value, and
    each pair of values of two axes if the third is the longest.
    """
    length = max(map(len, axes))
    indexes = product(*(range(len(axis)) for axis in axes))
    chosen = (each for each in indexes if not IS_QUICK or sum(each) % length == 0)
    return [tuple(axis[index] for axis, index in zip(axes, each, strict=True)) for each in chosen]

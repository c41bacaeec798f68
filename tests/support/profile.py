"""The depth of random tests, from Hypothesis's profile: `quick` in `make test`, `usual` in CI."""

from __future__ import annotations

from collections.abc import Sequence
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

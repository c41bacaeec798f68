"""Results of several plays: differences between dates count if all plays show them. Pure.

A clock may advance between two dates of one request, which are equal in another play.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from proxy.comparison.verdicts import Difference
from proxy.comparison.volatile import mask, split_volatile
from proxy.recordings.report import Result

_DATED: Final = ("date", "epoch", "stamp")


def may_coincide(result: Result) -> bool:
    """Return True if a result has an undeclared difference between two dates."""
    return any(_is_between_dates(one) for one in result.unexplained)


def confirm(first: Sequence[Result], again: Sequence[Result]) -> list[Result]:
    """Return the results of a play without the differences between dates that another play does not show."""
    return [_confirmed(one, other) for one, other in zip(first, again, strict=True)]


def _confirmed(first: Result, again: Result) -> Result:
    shown = {(one.location, one.kind) for one in again.differences}

    def confirmed(differences: Sequence[Difference]) -> tuple[Difference, ...]:
        return tuple(one for one in differences if not _is_between_dates(one) or (one.location, one.kind) in shown)

    return replace(first, differences=confirmed(first.differences), unexplained=confirmed(first.unexplained))


def _is_between_dates(difference: Difference) -> bool:
    legacy, native = (None if spot is None else spot.value for spot in (difference.legacy, difference.native))
    if difference.kind != "value" or not isinstance(legacy, str) or not isinstance(native, str):
        return False
    return mask(legacy) == mask(native) and any(one.kind in _DATED for one in split_volatile(legacy))

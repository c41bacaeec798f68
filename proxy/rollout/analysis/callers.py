"""Failure ratios by caller, so that one noisy caller does not determine the result. Pure.

Requests of one caller fail together, for example because of an expired token. A ratio is therefore tested

    1. with the failures of the callers that fail most, one fewer than the minimum number of callers, counted up to
       those of the next one, so that fewer callers cannot reach a trigger, and
    2. with each caller's requests counted up to a multiple of the median, so that no caller hides the others, and
    3. with counts divided by the design effect, the ratio of the variance between callers to that of independent
       requests (Rao and Scott 1992), so that a burst of failures counts about once.

Callers are counted in a fixed number of slots by a hash of their identity, so memory does not grow with them. Callers
that share a slot count as one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

SLOTS: Final = 64
"""Number of slots for callers, in each period and backend."""
MAX_WEIGHT: Final = 4
"""Maximum weight of one caller's requests, as a multiple of the median."""
ROUNDING: Final = 1e-9  # maximum error of a sum of weighted failures


@dataclass(frozen=True, slots=True)
class FailureRatio:
    """`part` of `whole` requests."""

    part: int
    whole: int

    @property
    def ratio(self) -> float:
        return self.part / self.whole if self.whole else 0.0


def slot_of(caller: int) -> int:
    """Return the slot of a caller's identity."""
    return caller % SLOTS


def independent(
    total: FailureRatio, failures: Mapping[int, int], requests: Mapping[int, int], ignored: int
) -> FailureRatio:
    """Return the equivalent number of independent failures among independent requests.

    `failures` and `requests` are those of `total` by slot, for known callers; the rest counts as independent. `ignored`
    is the number of callers, those with most failures first, that count at most as many failures as the next one.
    """
    if not total.part:
        return total
    most = sorted(failures.values(), reverse=True)
    limit = most[ignored] if ignored < len(most) else 0
    callers = _weighted([(min(failures.get(slot, 0), limit), count) for slot, count in requests.items()])
    part: float = total.part - sum(failures.values())  # requests of unknown callers
    whole: float = total.whole - sum(requests.values())
    for failed, count in callers:
        part += failed
        whole += count
    effect = design_effect(part, whole, callers)
    worth = max(0, int(part / effect + ROUNDING))
    return FailureRatio(worth, max(worth, round(whole / effect)))


def design_effect(part: float, whole: float, callers: Sequence[tuple[float, float]]) -> float:
    """Return the variance of a ratio between callers, relative to that of independent requests; at least 1.

    `callers`: failures and requests of each, with `part` failures of `whole` requests in all.
    """
    number = len(callers)
    if number < 2 or not 0 < part < whole:
        return 1.0
    ratio = part / whole
    squares = sum([(failed - ratio * count) ** 2 for failed, count in callers])
    return max(1.0, squares * number / (number - 1) / (whole * ratio * (1 - ratio)))


def _weighted(callers: Sequence[tuple[int, int]]) -> Sequence[tuple[float, float]]:
    """Return failures and requests of each caller, capped at `MAX_WEIGHT` times the median."""
    if not callers:
        return []
    counts = [count for _, count in callers]
    limit = MAX_WEIGHT * median(counts)
    if max(counts) <= limit:
        return callers
    return [(failed * min(1.0, limit / count), min(count, limit)) for failed, count in callers]

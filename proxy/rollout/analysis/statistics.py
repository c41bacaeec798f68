"""Exact tests of counts, whose significance level holds for small counts too. Pure.

Ratios near zero are tested from about fifty requests on. With so few, the usual approximations (normal, Wilson's
score) are wrong: for three errors among fifty they claim at the 0.1% level that more than 1% fail, although that
happens by chance in 1.4% of cases. The binomial test and Fisher's test do not claim this. Both return 1 if a count is
not above its expected value.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

NEGLIGIBLE: Final = 1e-9  # relative to the sum; smaller terms are ignored


def binomial_tail(part: int, whole: int, share: float) -> float:
    """Return the upper tail: the probability of `part` or more among `whole`, each with probability `share`."""
    if part <= whole * share:
        return 1.0
    if share <= 0:
        return 0.0
    first = _log_choose(whole, part) + part * math.log(share) + (whole - part) * math.log1p(-share)
    odds = share / (1 - share)
    return _tail(first, part, whole, lambda at: (whole - at) / (at + 1) * odds)


def fisher_one_sided(part: int, whole: int, other: int, other_whole: int) -> float:
    """Return the probability that at least `part` of all marked items fall into one of two equal groups.

    Fisher's exact test, one-sided: `part` of `whole` are marked in one group, `other` of `other_whole` in the other.
    """
    marked, everything = part + other, whole + other_whole
    if part * everything <= marked * whole:
        return 1.0
    spare = everything - marked - whole
    first = _log_choose(marked, part) + _log_choose(everything - marked, whole - part) - _log_choose(everything, whole)
    return _tail(
        first,
        part,
        min(marked, whole),
        lambda at: (marked - at) * (whole - at) / ((at + 1) * (spare + at + 1)),
    )


def clopper_pearson_lower(part: int, whole: int, level: float) -> float:
    """Return Clopper and Pearson's lower confidence bound of the ratio `part` of `whole`, at a level."""
    low, high = 0.0, part / whole if whole else 0.0
    while high - low > 1e-6:
        middle = (low + high) / 2
        if binomial_tail(part, whole, middle) < level:
            low = middle
        else:
            high = middle
    return low


def _tail(log_first: float, at: int, last: int, step: Callable[[int], float]) -> float:
    """Return the sum of decreasing terms; `step` gives the quotient of the next term and the current one."""
    term = total = math.exp(log_first)
    while at < last and term > total * NEGLIGIBLE:
        term *= step(at)
        total += term
        at += 1
    return min(1.0, total)


def _log_choose(whole: int, part: int) -> float:
    return math.lgamma(whole + 1) - math.lgamma(part + 1) - math.lgamma(whole - part + 1)

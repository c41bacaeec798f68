"""The statistical tests of counts, compared with sums of exact fractions."""

from __future__ import annotations

import math
import random
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.rollout.analysis.statistics import binomial_tail, clopper_pearson_lower, fisher_one_sided

wholes = st.integers(1, 120)
shares = st.sampled_from([Fraction(1, 1000), Fraction(1, 100), Fraction(1, 20), Fraction(1, 2), Fraction(9, 10)])


def binomial(part: int, whole: int, share: Fraction) -> Fraction:
    terms = (math.comb(whole, at) * share**at * (1 - share) ** (whole - at) for at in range(part, whole + 1))
    return sum(terms, Fraction(0))


def hypergeometric(part: int, whole: int, other: int, other_whole: int) -> Fraction:
    marked, spare = part + other, whole + other_whole - part - other
    ways = sum(math.comb(marked, at) * math.comb(spare, whole - at) for at in range(part, min(marked, whole) + 1))
    return Fraction(ways, math.comb(whole + other_whole, whole))


@given(wholes, shares, st.data())
def test_binomials_tail_is_exact(whole: int, share: Fraction, data: st.DataObject) -> None:
    part = data.draw(st.integers(0, whole))
    tail = binomial_tail(part, whole, float(share))
    if part > whole * share:
        assert tail == pytest.approx(float(binomial(part, whole, share)), rel=1e-6)
    else:
        assert tail == 1


@given(wholes, wholes, st.data())
def test_fishers_tail_is_exact(whole: int, other_whole: int, data: st.DataObject) -> None:
    part, other = data.draw(st.integers(0, whole)), data.draw(st.integers(0, other_whole))
    tail = fisher_one_sided(part, whole, other, other_whole)
    if part * other_whole > other * whole:
        assert tail == pytest.approx(float(hypergeometric(part, whole, other, other_whole)), rel=1e-6)
    else:
        assert tail == 1


@given(wholes, st.data())
def test_lower_bound_is_where_the_tail_reaches_the_level(whole: int, data: st.DataObject) -> None:
    part = data.draw(st.integers(1, whole))
    bound = clopper_pearson_lower(part, whole, 0.01)
    assert 0 <= bound <= part / whole
    assert binomial_tail(part, whole, max(0.0, bound - 1e-5)) <= 0.01
    assert binomial_tail(part, whole, min(1.0, bound + 1e-5)) >= 0.01 or bound + 1e-5 >= part / whole


@pytest.mark.parametrize(("part", "whole", "share", "tail"), [(3, 50, 0.0, 0.0), (0, 50, 0.0, 1.0), (50, 50, 1.0, 1.0)])
def test_certainties(part: int, whole: int, share: float, tail: float) -> None:
    assert binomial_tail(part, whole, share) == tail
    assert clopper_pearson_lower(0, 0, 0.001) == 0.0


def test_many_requests_are_computed_without_overflow() -> None:
    assert binomial_tail(51_000, 1_000_000, 0.05) == pytest.approx(2.4e-6, rel=0.1)
    assert binomial_tail(900_000, 1_000_000, 0.05) == 0.0
    assert fisher_one_sided(51_000, 1_000_000, 50_000, 1_000_000) < 0.001


def test_false_positive_rate_is_within_the_level() -> None:
    draw = random.Random(5)
    alarms = sum(binomial_tail(sum(draw.random() < 0.05 for _ in range(200)), 200, 0.05) < 0.01 for _ in range(3000))
    assert alarms < 45  # of 3,000 at 1%: 30 expected at most, 45 happen once in 200 times

"""Ticks: the same moments for all work with one period."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.periodic import seconds_to_tick, tick

PERIODS = st.floats(0.001, 86_400)
TIMES = st.floats(0, 1e7)


@given(PERIODS, TIMES)
def test_tick_is_half_a_period_to_one_and_a_half_away(period: float, now: float) -> None:
    assert period / 2 * 0.999 <= seconds_to_tick(period, now) <= period * 1.501


@given(st.integers(1, 1000), st.lists(st.floats(0.51, 1.49), min_size=2))
def test_work_that_waits_at_any_time_is_due_at_one_moment(number: int, waits: list[float]) -> None:
    dues = [now + seconds_to_tick(2.0, now) for now in (2.0 * (number - wait) for wait in waits)]
    assert dues == [pytest.approx(2.0 * number)] * len(waits)


@pytest.mark.parametrize("late", [0.0, 0.001, 0.4, -0.001, -0.4])
def test_early_or_late_wake_up_is_followed_by_the_next_tick(late: float) -> None:
    now = 7.0 + late
    assert now + seconds_to_tick(1.0, now) == pytest.approx(8.0)


def test_no_period_is_no_wait() -> None:
    assert seconds_to_tick(0.0, 7.3) == 0


async def test_tick_waits_for_a_multiple_of_the_period() -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    await tick(0.05)
    assert loop.time() >= began + 0.02

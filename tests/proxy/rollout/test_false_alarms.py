"""The guard by a simulated clock: minutes of healthy traffic with bursts cap nothing, a real fault is capped in time.

`python -m bench.alarms` runs the same simulation for 1,000 hours and 1,000 faults.
"""

from __future__ import annotations

import pytest

from bench.alarms import FAULT, WARM_UP, healthy_time, seconds_until_capped, simulation
from proxy.config.route_models import Guard

WINDOW = int(Guard().window)


async def test_healthy_minutes_with_bursts_cause_no_cap() -> None:
    async with simulation(seed=3, pool=WARM_UP) as simulated:
        healthy = simulated.healthy(600, bursts=45)
    assert (healthy.alarm, healthy.seconds, healthy.bursts > 2) == ("", 600, True)


async def test_fault_of_five_percent_is_capped_in_a_window_and_5_s() -> None:
    assert await seconds_until_capped(seed=1, ratio=FAULT, limit=WINDOW + 5) <= WINDOW + 5


async def test_same_seed_simulates_the_same_traffic() -> None:
    once, again = [await seconds_until_capped(seed=2, ratio=0.3, limit=WINDOW) for _ in range(2)]
    assert once == again < WINDOW


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 103))
async def test_healthy_hours_with_bursts_cause_no_cap(seed: int) -> None:
    healthy = await healthy_time(seed, seconds=3600)
    assert (healthy.alarm, healthy.seconds) == ("", 3600)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 110))
async def test_faults_of_many_seeds_are_capped_in_time(seed: int) -> None:
    assert await seconds_until_capped(seed, ratio=FAULT, limit=WINDOW + 5) <= WINDOW + 5

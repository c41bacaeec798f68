"""The guard by a simulated clock: minutes of healthy traffic with bursts cap nothing, a real fault is capped in time.

`python -m bench.alarms` runs the same simulation for 1,000 hours.
"""

from __future__ import annotations

import pytest

from bench.alarms import seconds_until_capped, simulation
from proxy.config.route_models import Guard

WINDOW = int(Guard().window)


async def test_healthy_minutes_with_bursts_cap_nothing() -> None:
    async with simulation(seed=3) as simulated:
        simulated.healthy(900, bursts=30)
        assert (simulated.cap, simulated.bursts > 2) == ("", True)


@pytest.mark.parametrize("seed", range(2))
async def test_fault_of_five_percent_is_capped_in_a_window_and_5_s(seed: int) -> None:
    assert await seconds_until_capped(seed, 0.05, WINDOW + 5) <= WINDOW + 5

"""Small attacks by stalling clients: others are answered, memory is bounded, and all slots are free afterwards."""

from __future__ import annotations

import asyncio

import pytest

from tests.chaos.run import site
from tests.chaos.small_attacks import SMALL_ATTACKS, SMALL_GROWTH, SMALL_LIMITS
from tests.support.backends import scratch_database
from tests.support.waiting import HANG_TIMEOUT


@pytest.mark.slow
async def test_attacks_leave_other_clients_answered(mongodb_url: str) -> None:
    wrong: list[str] = []
    with scratch_database(mongodb_url) as database:
        async with site(mongodb_url, database.name) as parts, parts.target(SMALL_LIMITS) as target:
            before = await asyncio.to_thread(target.peak_rss)
            for attack in SMALL_ATTACKS:
                async with asyncio.timeout(4 * HANG_TIMEOUT):
                    wrong += await attack.play(target)
            growth = await asyncio.to_thread(target.peak_rss) - before
    assert wrong == []
    assert growth < SMALL_GROWTH

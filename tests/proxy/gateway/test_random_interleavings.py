"""Requests in random interleavings with faults of legacy, reloads and clients that leave."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.interleavings import play
from tests.support.waiting import HANG_TIMEOUT, until

CLIENTS = 4
REQUESTS = 30
DISTURBANCES = 8


@pytest.mark.parametrize("seed", [0, 1, 2, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(3, 12))])
async def test_requests_have_one_answer_and_writes_are_not_repeated(seed: int) -> None:
    async with play(seed) as played:
        async with asyncio.timeout(HANG_TIMEOUT):
            await asyncio.gather(played.disturb(DISTURBANCES), *(played.run_client(REQUESTS) for _ in range(CLIENTS)))
        await until(lambda: not played.gateway.in_flight)
        assert played.faults() == []
        assert played.miscounted() is None

"""Evidence and baselines of one process survive an outage of the store."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace

import pytest

from proxy.config.models import Route
from proxy.database.database import Unavailable
from proxy.rollout.analysis.route_stats import StatsRegistry
from proxy.rollout.analysis.window import RequestStats
from proxy.rollout.evidence import EvidenceCollector
from proxy.rollout.model import Evidence, RouteState
from proxy.rollout.store import MemoryStore
from proxy.rollout.transitions import initial_state, start_rollout
from tests.support.rollout_replica import RECORD

ROUTE = Route.model_validate(
    {"name": "a", "match": "GET /a", "guard": {"window": "12s"}, "rollout": {"stages": ["1%"], "bake_time": "1d"}}
)
FIRST = start_rollout(ROUTE, initial_state(ROUTE), 10.0)


class InterruptedStore(MemoryStore):
    """A store that is unreachable at times, with baselines like MongoDB's."""

    def __init__(self) -> None:
        super().__init__()
        self.reachable = True
        self.stored: dict[str, RequestStats] = {}
        self.writes = 0

    async def add(self, evidence: Mapping[str, Evidence]) -> None:
        if not self.reachable:
            raise Unavailable("down")
        await super().add(evidence)

    async def set_baselines(self, baselines: Mapping[str, RequestStats]) -> None:
        self.writes += 1
        self.stored |= baselines

    async def baselines(self) -> dict[str, RequestStats]:
        return dict(self.stored)


class Process:
    """The statistics of one process, and its evidence in a store."""

    def __init__(self) -> None:
        self.store = InterruptedStore()
        self.stats = StatsRegistry()
        self.now = time.monotonic()
        self.stats.set_routes([ROUTE], self.now)
        self.evidence = EvidenceCollector(self.stats, self.store)

    async def exchange(self, requests: int, state: RouteState = FIRST) -> Evidence:
        """Serve requests by native, exchange them, and return the evidence of all replicas."""
        for _ in range(requests):
            self.stats(RECORD)
        self.now += 1.1  # ends the slice
        self.stats.advance(self.now)
        await self.evidence.exchange({"a": state})
        return self.evidence.shared(state)


async def test_evidence_of_an_outage_is_added_after_it() -> None:
    process = Process()
    assert (await process.exchange(3)).native == 3
    process.store.reachable = False
    for requests in (5, 7):
        with pytest.raises(Unavailable):
            await process.exchange(requests)
    process.store.reachable = True
    assert (await process.exchange(0)).native == 15
    assert (await process.exchange(0)).native == 15


async def test_evidence_of_an_earlier_bake_time_is_dropped() -> None:
    process = Process()
    process.store.reachable = False
    with pytest.raises(Unavailable):
        await process.exchange(5)
    process.store.reachable = True
    again = replace(FIRST, passing=500.0)
    assert (await process.exchange(2, again)).native == 2
    assert await process.store.evidence([FIRST.epoch]) == {}


async def test_stored_baseline_does_not_replace_that_of_the_process() -> None:
    process = Process()
    fresh, stored = RequestStats(requests=200, client_errors=20), RequestStats(requests=100, client_errors=1)
    process.store.stored = {"a": stored}
    await process.evidence.load_baselines()
    assert process.stats.of("a").baseline == stored
    process.stats.of("a").baseline = fresh
    await process.evidence.load_baselines()
    assert process.stats.of("a").baseline == fresh


async def test_baselines_are_stored_once_in_each_interval() -> None:
    process = Process()
    process.stats.of("a").baseline = RequestStats(requests=200)
    for _ in range(3):
        await process.evidence.store_baselines(0.0)
    assert process.store.writes == 3
    for _ in range(3):
        await process.evidence.store_baselines(1e9)
    assert (process.store.writes, set(process.store.stored)) == (3, {"a"})

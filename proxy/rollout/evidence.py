"""Evidence of all replicas for current bake times, and stored baselines of legacy, which survive a restart."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Final

from proxy.config.inheritance import is_compared
from proxy.config.models import Route
from proxy.rollout.analysis.callers import FailureRatio
from proxy.rollout.analysis.route_stats import StatsRegistry
from proxy.rollout.model import Evidence, RouteState, stats_key
from proxy.rollout.progress import Progress, progress
from proxy.rollout.store import Store


class EvidenceCollector:
    """Collects evidence from `stats` and exchanges it with `store`. Coroutines raise `DatabaseError`."""

    def __init__(self, stats: StatsRegistry, store: Store) -> None:
        self._stats: Final = stats
        self._store: Final = store
        self._pending: dict[str, Evidence] = {}
        self._shared: Mapping[str, Evidence] = {}
        self._baselines_stored_at = 0.0

    def shared(self, state: RouteState) -> Evidence:
        """Return the evidence of all replicas since a bake time began, as of the last exchange."""
        return self._shared.get(state.epoch, Evidence())

    def progress(self, route: Route, state: RouteState, now: float) -> Progress | None:
        """Return the progress of a route's rollout at `now`; None if it has none."""
        members = self._stats.of_group(route)
        known = [stats.baseline for stats in members if stats.baseline is not None]
        usual = FailureRatio(sum(each.errors for each in known), sum(each.requests for each in known))
        compared = any(is_compared(stats.route.pattern.method, stats.route.shadow) for stats in members)
        return progress(route, state, self.shared(state), usual if known else None, now, compared=compared)

    async def exchange(self, running: Mapping[str, RouteState]) -> None:
        """Add this process's evidence of current bake times (by route name), and fetch that of all replicas."""
        for name, state in running.items():
            evidence = self._stats.of(name).take()
            if evidence:
                self._pending[state.epoch] = self._pending.get(state.epoch, Evidence()) + Evidence.of(evidence)
        epochs = {state.epoch for state in running.values()}
        self._pending = {epoch: evidence for epoch, evidence in self._pending.items() if epoch in epochs}
        await self._store.add(self._pending)
        self._pending = {}
        self._shared = await self._store.evidence(epochs) if epochs else {}

    async def store_baselines(self, interval: float) -> None:
        """Store legacy's baselines at most every `interval` seconds: after a restart, legacy may get no requests."""
        if time.monotonic() - self._baselines_stored_at < interval:
            return
        self._baselines_stored_at = time.monotonic()
        baselines = {stats_key(stats.route): stats.baseline for stats in self._stats}
        await self._store.set_baselines({key: each for key, each in baselines.items() if each is not None})

    async def load_baselines(self) -> None:
        """Load the stored baselines of routes that have none in this process."""
        stored = await self._store.baselines()
        for stats in self._stats:
            stats.baseline = stats.baseline or stored.get(stats_key(stats.route))

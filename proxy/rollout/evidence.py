"""What this process saw, for all replicas: evidence for the bake times that run, and what legacy last showed."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Final

from proxy.rollout.analysis.route_stats import StatsRegistry
from proxy.rollout.model import Evidence, RouteState, state_key
from proxy.rollout.store import Store


class EvidenceCollector:
    """Gathers from `watches`, and tells `store`. Whatever asks the store raises `DatabaseError`."""

    def __init__(self, watches: StatsRegistry, store: Store) -> None:
        self._watches: Final = watches
        self._store: Final = store
        self._untold: dict[str, Evidence] = {}
        self._known: Mapping[str, Evidence] = {}
        self._remembered = 0.0

    def seen(self, state: RouteState) -> Evidence:
        """What all replicas saw since a bake time began, as of the last exchange."""
        return self._known.get(state.epoch, Evidence())

    async def exchange(self, running: Mapping[str, RouteState]) -> None:
        """Add what was seen here of the bake times that run (by the routes' names), and learn what others saw."""
        for name, state in running.items():
            seen = self._watches.of(name).take()
            if seen:
                self._untold[state.epoch] = self._untold.get(state.epoch, Evidence()) + Evidence.of(seen)
        epochs = {state.epoch for state in running.values()}
        self._untold = {epoch: seen for epoch, seen in self._untold.items() if epoch in epochs}
        await self._store.add(self._untold)
        self._untold = {}
        self._known = await self._store.evidence(epochs) if epochs else {}

    async def remember(self, every: float) -> None:
        """Keep what legacy last showed, each so many seconds: after a restart it may be asked nothing any more."""
        if time.monotonic() - self._remembered < every:
            return
        self._remembered = time.monotonic()
        shown = {state_key(watch.route): watch.baseline for watch in self._watches}
        await self._store.remember({key: baseline for key, baseline in shown.items() if baseline is not None})

    async def recall(self) -> None:
        """Take up what legacy last showed to others, where it has shown nothing here."""
        kept = await self._store.baselines()
        for watch in self._watches:
            watch.baseline = watch.baseline or kept.get(state_key(watch.route))

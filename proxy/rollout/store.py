"""The interface of stores for rollout states, and an in-memory store for a single process.

A state is replaced only by its next version (compare-and-set). If two replicas make the same change at the same time,
one succeeds and the other receives the result.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from typing import Final, Protocol

from proxy.rollout.analysis.window import RequestStats
from proxy.rollout.fleet import ProcessSnapshot
from proxy.rollout.model import ENTIRE_HISTORY, AnnouncedConfig, AuditEntry, Evidence, HistoryQuery, RouteState

SNAPSHOT_LIFETIME: Final = 12.0
"""Seconds for which a process's published snapshot is valid."""
MAX_HISTORY: Final = 1000
"""Maximum number of changes in the in-memory store."""


class Store(Protocol):
    """Storage of states, evidence and history. Every coroutine may raise `DatabaseError`.

    `shared`: True if other replicas use the same contents and a restart preserves them.
    """

    @property
    def shared(self) -> bool: ...

    async def now(self) -> float:
        """Return the seconds since the epoch, by the clock that all replicas share."""

    async def states(self) -> dict[str, RouteState]:
        """Return all states by their keys."""

    def following(self) -> AbstractAsyncContextManager[AsyncIterator[RouteState]]:
        """Return an iterator of states as they change, beginning when the context is entered."""

    async def state(self, key: str) -> RouteState | None:
        """Return one state; None if the key is unknown."""

    async def replace(self, after: RouteState) -> bool:
        """Replace a state's previous version and append its change to the history; False if it was replaced already."""

    async def record(self, change: AuditEntry) -> None:
        """Append a change that belongs to no state to the history."""

    async def claim(self, state: RouteState, owner: str) -> bool:
        """Return True to the first owner that claims the change of a stored state, also for repeated claims."""

    async def history(self, limit: int, query: HistoryQuery = ENTIRE_HISTORY) -> tuple[AuditEntry, ...]:
        """Return the latest `limit` changes of a query, newest first."""

    async def announce(self, config: AnnouncedConfig) -> AnnouncedConfig | None:
        """Announce the routing.yaml in force.

        The first replica that announces a revision gets the previous one (an empty one if there was none), and all
        others get None.
        """

    async def add(self, evidence: Mapping[str, Evidence]) -> None:
        """Add to the stored evidence, by epoch (see `RouteState.epoch`)."""

    async def evidence(self, epochs: Collection[str]) -> dict[str, Evidence]:
        """Return the evidence of the given epochs that have any."""

    async def publish(self, snapshot: ProcessSnapshot) -> None:
        """Publish the snapshot of a process, which expires after `SNAPSHOT_LIFETIME`."""

    async def snapshots(self) -> tuple[ProcessSnapshot, ...]:
        """Return the unexpired snapshots of all processes."""

    async def set_baselines(self, baselines: Mapping[str, RequestStats]) -> None:
        """Store legacy's baselines by the routes' state keys."""

    async def baselines(self) -> dict[str, RequestStats]:
        """Return legacy's baselines by the routes' state keys."""


class MemoryStore:
    """A `Store` within one process. Its clock is the machine's, jumps included, because windows are times of day."""

    shared = False

    def __init__(self, wall: Callable[[], float] = time.time, steady: Callable[[], float] = time.monotonic) -> None:
        self._wall, self._steady = wall, steady
        self._states: dict[str, RouteState] = {}
        self._evidence: dict[str, Evidence] = {}
        self._history: list[AuditEntry] = []
        self._announced = AnnouncedConfig()
        self._claimed: dict[str, tuple[int, str]] = {}
        self._snapshots: dict[str, tuple[float, ProcessSnapshot]] = {}

    async def now(self) -> float:
        return self._wall()

    async def states(self) -> dict[str, RouteState]:
        return dict(self._states)

    @asynccontextmanager
    async def following(self) -> AsyncIterator[AsyncIterator[RouteState]]:
        """Return an iterator that never yields: there are no other replicas."""
        yield _never()

    async def state(self, key: str) -> RouteState | None:
        return self._states.get(key)

    async def replace(self, after: RouteState) -> bool:
        before = self._states.get(after.key)
        if after.version != (before.version if before is not None else 0) + 1:
            return False
        self._states[after.key] = after
        if before is not None and before.epoch != after.epoch:
            self._evidence.pop(before.epoch, None)
        await self.record(after.change)
        return True

    async def record(self, change: AuditEntry) -> None:
        self._history.append(change)
        del self._history[:-MAX_HISTORY]

    async def claim(self, state: RouteState, owner: str) -> bool:
        claimed, by = self._claimed.get(state.key, (0, ""))
        if state.version > claimed:
            self._claimed[state.key] = state.version, owner
            return True
        return (state.version, owner) == (claimed, by)

    async def history(self, limit: int, query: HistoryQuery = ENTIRE_HISTORY) -> tuple[AuditEntry, ...]:
        chosen = sorted(filter(query.matches, reversed(self._history)), key=lambda entry: -entry.by.at)
        same = sum(entry.by.at == query.until for entry in chosen)
        return tuple(chosen[min(query.skip, same) :][:limit])

    async def announce(self, config: AnnouncedConfig) -> AnnouncedConfig | None:
        before, self._announced = self._announced, config
        return before if before.revision != config.revision else None

    async def add(self, evidence: Mapping[str, Evidence]) -> None:
        for epoch, more in evidence.items():
            self._evidence[epoch] = self._evidence.get(epoch, Evidence()) + more

    async def evidence(self, epochs: Collection[str]) -> dict[str, Evidence]:
        return {epoch: self._evidence[epoch] for epoch in epochs if epoch in self._evidence}

    async def publish(self, snapshot: ProcessSnapshot) -> None:
        self._snapshots[snapshot.id] = self._steady(), snapshot

    async def snapshots(self) -> tuple[ProcessSnapshot, ...]:
        now = self._steady()
        self._snapshots = {key: one for key, one in self._snapshots.items() if now - one[0] <= SNAPSHOT_LIFETIME}
        return tuple(replace(snapshot, age=now - at) for at, snapshot in self._snapshots.values())

    async def set_baselines(self, baselines: Mapping[str, RequestStats]) -> None:
        """Do nothing: RouteStats holds the baselines for the lifetime of the process."""

    async def baselines(self) -> dict[str, RequestStats]:
        return {}


async def _never() -> AsyncIterator[RouteState]:
    await asyncio.Event().wait()
    nothing: tuple[RouteState, ...] = ()
    for state in nothing:
        yield state

"""Where states are kept: what any such place must do, and the one for a process on its own.

A state is replaced only by its next version (compare and set), so that of two replicas that would do the same thing at
the same time one does it and the other finds it done.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final, Protocol

from proxy.rollout.analysis.window import RequestStats
from proxy.rollout.clock import Clock
from proxy.rollout.model import AuditEntry, Evidence, RouteState

HISTORY: Final = 1000
"""Changes that a process on its own remembers."""


class Store(Protocol):
    """A place for states, evidence and history. Everything may raise `DatabaseError`.

    `shared`: whether other replicas see what is in it, and whoever comes after a restart.
    """

    @property
    def shared(self) -> bool: ...

    async def now(self) -> float:
        """Seconds since the epoch, by the clock that all replicas go by."""

    async def states(self) -> dict[str, RouteState]:
        """All states, by their keys."""

    def following(self) -> AbstractAsyncContextManager[AsyncIterator[RouteState]]:
        """States as they change, from when the context is entered on."""

    async def state(self, key: str) -> RouteState | None:
        """One state, as it is now."""

    async def replace(self, after: RouteState) -> bool:
        """Put a state in place of its last version, and its change in the history. False: somebody was faster."""

    async def note(self, change: AuditEntry) -> None:
        """Put a change in the history that is of no route's state."""

    async def history(self, limit: int, route: str = "") -> tuple[AuditEntry, ...]:
        """The last changes, of one route or of all, newest first."""

    async def adopt(self, revision: str, shares: Mapping[str, int]) -> tuple[str, dict[str, int]] | None:
        """Say that a file is in force: its revision, and each route's share by it.

        Gives what was in force before, once, to the first who says so ("" and nothing where nothing was); else None.
        """

    async def add(self, seen: Mapping[str, Evidence]) -> None:
        """Add to the evidence of epochs (see `RouteState.epoch`)."""

    async def evidence(self, epochs: Collection[str]) -> dict[str, Evidence]:
        """What is known of epochs, those left out of which nothing is."""

    async def remember(self, baselines: Mapping[str, RequestStats]) -> None:
        """Keep what legacy last showed, by the routes' keys."""

    async def baselines(self) -> dict[str, RequestStats]:
        """What legacy last showed."""


class MemoryStore:
    """A `Store` for one process, until it ends."""

    shared = False

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or Clock()
        self._states: dict[str, RouteState] = {}
        self._evidence: dict[str, Evidence] = {}
        self._history: list[AuditEntry] = []
        self._adopted: tuple[str, dict[str, int]] = "", {}

    async def now(self) -> float:
        return self._clock.now()

    async def states(self) -> dict[str, RouteState]:
        return dict(self._states)

    @asynccontextmanager
    async def following(self) -> AsyncIterator[AsyncIterator[RouteState]]:
        """Nobody else changes anything."""
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
        await self.note(after.change)
        return True

    async def note(self, change: AuditEntry) -> None:
        self._history.append(change)
        del self._history[:-HISTORY]

    async def history(self, limit: int, route: str = "") -> tuple[AuditEntry, ...]:
        chosen = (change for change in reversed(self._history) if not route or change.route == route)
        return tuple(change for change, _ in zip(chosen, range(limit), strict=False))

    async def adopt(self, revision: str, shares: Mapping[str, int]) -> tuple[str, dict[str, int]] | None:
        before, self._adopted = self._adopted, (revision, dict(shares))
        return before if before[0] != revision else None

    async def add(self, seen: Mapping[str, Evidence]) -> None:
        for epoch, more in seen.items():
            self._evidence[epoch] = self._evidence.get(epoch, Evidence()) + more

    async def evidence(self, epochs: Collection[str]) -> dict[str, Evidence]:
        return {epoch: self._evidence[epoch] for epoch in epochs if epoch in self._evidence}

    async def remember(self, baselines: Mapping[str, RequestStats]) -> None:
        """The watches remember them as long as this process does."""

    async def baselines(self) -> dict[str, RequestStats]:
        return {}


async def _never() -> AsyncIterator[RouteState]:
    await asyncio.Event().wait()
    nothing: tuple[RouteState, ...] = ()
    for state in nothing:
        yield state

"""Follow the store: apply states that other replicas and people have stored, as they change."""

from __future__ import annotations

import asyncio
from typing import Final

from proxy.rollout.announcer import ChangeAnnouncer
from proxy.rollout.evidence import EvidenceCollector
from proxy.rollout.in_force import SharesInForce, logged_errors
from proxy.rollout.store import Store


class StateFollower:
    """Reads all states once, then their changes. `loaded` is set after the first read; `retry_delay` is in seconds."""

    def __init__(
        self,
        shares: SharesInForce,
        store: Store,
        evidence: EvidenceCollector,
        announcer: ChangeAnnouncer,
        retry_delay: float,
    ) -> None:
        self.loaded: Final = asyncio.Event()
        self._shares: Final = shares
        self._store: Final = store
        self._evidence: Final = evidence
        self._retry_delay: Final = retry_delay
        self._announcer: Final = announcer

    async def run(self) -> None:
        """Follow until cancelled; after an error, read all states again."""
        while True:
            with logged_errors("following the store"), self._shares.accessing_store():
                async with self._store.following() as changes:
                    await self._load()
                    async for state in changes:
                        await self._announcer.follow(state)
            await asyncio.sleep(self._retry_delay)

    async def _load(self) -> None:
        """Replace the cache with the store's contents. Raises `DatabaseError`."""
        shares = self._shares
        await self._evidence.load_baselines()
        shares.clock.set(await self._store.now())
        states = await self._store.states()
        for state in states.values():
            await self._announcer.follow(state)
        shares.cache.load(states)
        shares.refresh()
        shares.report_without_route()
        self.loaded.set()
        shares.wake.set()

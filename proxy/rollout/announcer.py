"""Announce changes of states: every replica logs them, and one replica sends them to metrics and webhook."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections import deque
from typing import Final

from proxy.database.database import DatabaseError
from proxy.rollout.in_force import SharesInForce
from proxy.rollout.model import LABELS, AuditEntry, RouteState
from proxy.rollout.store import Store

logger = logging.getLogger("scribe_proxy.state")

MAX_UNCLAIMED: Final = 1000
"""Maximum number of changes that wait to be announced while the store is unreachable."""


class ChangeAnnouncer:
    """Announces each stored change, made by this process, another replica or a command."""

    def __init__(self, shares: SharesInForce, store: Store) -> None:
        self._shares: Final = shares
        self._store: Final = store
        self._owner: Final = secrets.token_hex(8)
        self._unclaimed: Final[deque[RouteState]] = deque(maxlen=MAX_UNCLAIMED)
        self._versions: Final[dict[str, int]] = {}  # latest added version by key
        self._claiming: Final = asyncio.Lock()

    async def follow(self, state: RouteState) -> None:
        """Apply a stored state. Announce its change if it is new to this process and not part of the first read.

        Raises `DatabaseError`; the change is then announced with the next one.
        """
        cache = self._shares.cache
        first_read = not cache.loaded
        own = any(local.change == state.change for _, local in cache.local_states())  # logged when it was applied
        if self._shares.record(state) and not first_read:
            self._add(state, log=not own)
        await self._claim_all()

    async def announce(self, state: RouteState, *, log: bool = True) -> None:
        """Announce a change of this process once the store is reachable. `log`: False if it was logged already."""
        self._add(state, log=log)
        with contextlib.suppress(DatabaseError):
            await self._claim_all()

    def _add(self, state: RouteState, *, log: bool) -> None:
        if self._versions.get(state.key, 0) >= state.version:
            return  # the store's event of this process's own change may precede the reply
        self._versions[state.key] = state.version
        if log:
            log_change(state.change)
        self._unclaimed.append(state)

    async def _claim_all(self) -> None:
        async with self._claiming:
            while self._unclaimed:
                state = self._unclaimed[0]
                first = await self._store.claim(state, self._owner)
                self._unclaimed.popleft()
                if first and not state.change.announced:
                    self._shares.hooks.changed(state.change)


def log_change(change: AuditEntry) -> None:
    """Log a change with its actor and reason."""
    by = change.by
    logger.info("%s: %s by %s, %s: %s", change.route, LABELS[change.kind], by.actor, change.movement, by.reason)

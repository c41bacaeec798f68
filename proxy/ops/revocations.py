"""Revoked sessions: a logout ends a session in every process with the same token.

Revocations are stored in memory, as files in a directory for the workers of one machine, and in MongoDB for replicas.
They are stored until the session would expire anyway. While MongoDB is unreachable, logouts on other machines are
unknown; they are stored once it is reachable.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Self

from proxy.database.database import Database, DatabaseError

logger = logging.getLogger("scribe_proxy")

COLLECTION: Final = "ops_ended_sessions"
TIMEOUT: Final = 1.0
"""Seconds that a logout waits for MongoDB."""
RETRY_INTERVAL: Final = 2.0
"""Seconds between two attempts to store the logouts that MongoDB has not acknowledged."""


class RevokedSessions:
    """The ids of revoked sessions. `directory` is shared by this machine's workers."""

    def __init__(
        self,
        database: Database | None = None,
        directory: Path | None = None,
        *,
        retry_interval: float = RETRY_INTERVAL,
    ) -> None:
        self._database: Final = database
        self._directory: Final = directory
        self._retry_interval: Final = retry_interval
        self._expiries: Final[dict[str, float]] = {}
        self._unstored: Final[dict[str, float]] = {}
        self._retry: Final = asyncio.Event()

    @classmethod
    def of(cls, database: Database | None, env: Mapping[str, str]) -> Self:
        """Return those of a process; `PROMETHEUS_MULTIPROC_DIR` is the directory that this machine's workers share."""
        shared = env.get("PROMETHEUS_MULTIPROC_DIR")
        return cls(database, Path(shared) if shared else None)

    async def revoke(self, session_id: str, expires: float) -> None:
        """Revoke a session everywhere. `expires`: its expiry in seconds since the epoch."""
        now, key = time.time(), _key(session_id)
        for ended in [ended for ended, expiry in self._expiries.items() if expiry < now]:
            del self._expiries[ended]
        self._expiries[key] = expires
        if self._directory is not None:
            try:
                (self._directory / key).touch()
            except OSError as error:
                logger.error("a logout could not be shared with the other workers: %s", error.strerror)
        if self._database is not None:
            self._unstored[key] = expires
            await self._store(self._database)
        if self._unstored:
            self._retry.set()
            logger.warning("a logout is not shared with other replicas yet: MongoDB is unreachable")

    async def is_revoked(self, session_id: str) -> bool:
        """Return True if a session was revoked, here or elsewhere."""
        key = _key(session_id)
        if key in self._expiries or (self._directory is not None and (self._directory / key).exists()):
            return True
        if self._database is None or not self._database.available or not await self._database.is_reachable():
            return False
        try:
            return await self._database.answer(_is_stored(self._database, key))
        except DatabaseError:
            return False

    async def run(self) -> None:
        """Store the logouts that MongoDB did not acknowledge, until cancelled."""
        while self._database is not None:
            await self._retry.wait()
            await asyncio.sleep(self._retry_interval)
            await self._store(self._database)
            if not self._unstored:
                self._retry.clear()

    async def _store(self, database: Database) -> None:
        """Store the new revocations for other replicas, as far as MongoDB acknowledges them within `TIMEOUT`."""
        with contextlib.suppress(DatabaseError, TimeoutError):
            async with asyncio.timeout(TIMEOUT):
                with database.translate_errors():
                    collection = database.collection(COLLECTION)
                    await collection.create_index("expires", expireAfterSeconds=0)
                    for key, expires in list(self._unstored.items()):
                        at = datetime.fromtimestamp(expires, UTC)
                        await collection.update_one({"_id": key}, {"$set": {"expires": at}}, upsert=True)
                        self._unstored.pop(key, None)


async def _is_stored(database: Database, key: str) -> bool:
    with database.translate_errors():
        return await database.collection(COLLECTION).find_one({"_id": key}) is not None


def _key(session_id: str) -> str:
    """Return the key of a revoked session; the session cannot be derived from it."""
    return f"ops-session-{hashlib.sha256(session_id.encode()).hexdigest()}"

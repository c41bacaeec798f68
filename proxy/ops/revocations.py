"""Revoked sessions: a logout ends a session in every process with the same token.

Revocations are stored in memory, as files in a directory for the workers of one machine, and in MongoDB for replicas.
They are stored until the session would expire anyway. While MongoDB is unreachable, logouts on other machines are
unknown.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from proxy.database.database import Database, DatabaseError

logger = logging.getLogger("scribe_proxy")

COLLECTION: Final = "ops_ended_sessions"
TIMEOUT: Final = 1.0
"""Seconds that a logout waits for MongoDB."""


class RevokedSessions:
    """The ids of revoked sessions. `directory` is shared by this machine's workers."""

    def __init__(self, database: Database | None = None, directory: Path | None = None) -> None:
        self._database: Final = database
        self._directory: Final = directory
        self._expiries: Final[dict[str, float]] = {}

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
            await self._store(self._database, key, expires)

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

    async def _store(self, database: Database, key: str, expires: float) -> None:
        try:
            async with asyncio.timeout(TIMEOUT):
                with database.translate_errors():
                    collection = database.collection(COLLECTION)
                    await collection.create_index("expires", expireAfterSeconds=0)
                    at = datetime.fromtimestamp(expires, UTC)
                    await collection.update_one({"_id": key}, {"$set": {"expires": at}}, upsert=True)
        except (DatabaseError, TimeoutError):
            logger.warning("a logout could not be shared with other replicas: MongoDB is unreachable")


async def _is_stored(database: Database, key: str) -> bool:
    with database.translate_errors():
        return await database.collection(COLLECTION).find_one({"_id": key}) is not None


def _key(session_id: str) -> str:
    """Return the key of a revoked session; the session cannot be derived from it."""
    return f"ops-session-{hashlib.sha256(session_id.encode()).hexdigest()}"

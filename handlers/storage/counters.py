"""Counts that expire, shared by all processes. Each is a document `{_id: key, count, expireAt}`.

A count expires by MongoDB's clock; MongoDB removes it later through the index on `expireAt`.
"""

from __future__ import annotations

import time
from typing import Final

from bson.datetime_ms import DatetimeMS
from pymongo import ASCENDING, IndexModel

from handlers.storage.collection import Collection, Filter
from handlers.storage.indexes import Indexes

COLLECTION: Final = "rate_limits"
INDEXES: Final[Indexes] = {COLLECTION: [IndexModel([("expireAt", ASCENDING)], expireAfterSeconds=0)]}

_HAS_EXPIRED: Final = {"$lt": ["$expireAt", "$$NOW"]}  # also if there is no count yet


class Counters:
    """The counts of a collection; all methods raise `StoreError` if the store fails."""

    def __init__(self, collection: Collection) -> None:
        self._collection = collection

    async def increment(self, key: str, seconds: int, amount: int) -> int:
        """Add to a count that expires `seconds` after its first increment; return the sum."""
        update: Filter = {
            "count": {"$cond": [_HAS_EXPIRED, amount, {"$add": ["$count", amount]}]},
            "expireAt": {"$cond": [_HAS_EXPIRED, {"$add": ["$$NOW", seconds * 1000]}, "$expireAt"]},
        }
        counted = await self._collection.update_and_get({"_id": key}, [{"$set": update}], upsert=True)
        return int(counted["count"]) if counted else 0

    async def count_of(self, key: str) -> int:
        """Return a count, 0 if it has expired."""
        [count] = await self._collection.find({"_id": key, "$expr": {"$not": [_HAS_EXPIRED]}}, limit=1) or [{}]
        return int(count.get("count", 0))

    async def expiry_of(self, key: str) -> float:
        """Return when a count expires, in seconds since 1970; return the present time if there is no count."""
        count = await self._collection.find_one({"_id": key}) or {}
        expires = count.get("expireAt")
        return int(expires) / 1000 if isinstance(expires, DatetimeMS) else time.time()

    async def delete(self, key: str) -> None:
        """Remove a count."""
        await self._collection.delete({"_id": key})

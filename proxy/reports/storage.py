"""Where reports are kept: two collections of counts, by minute for two hours and by hour, and one of samples.

A count is one document that every process adds to, `_id` a digest of its slice and key. MongoDB itself removes what
is past its time (TTL indexes on `at`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from pymongo import ASCENDING, DESCENDING, UpdateOne

from proxy.reports.counters import Count, CounterBatch, Key
from proxy.reports.models import HOUR, MINUTE
from proxy.reports.samples import Place
from proxy.runtime.database import Collection, Database, Document

COUNTS: Final = {MINUTE: "counts_by_minute", HOUR: "counts_by_hour"}
"""The collection of counts by slices of so many seconds."""
SAMPLES: Final = "samples"
MINUTES_KEPT: Final = 2 * HOUR
"""How long (s) there are counts by minute; they go a few minutes later."""

_SLACK: Final = 300


class Storage:
    """Writes reports. Everything raises `DatabaseError`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def prepare(self, retention: float) -> None:
        """Makes the indexes, and lets documents go after so many seconds: those that are there already, too."""
        with self._database.asking():
            for seconds, name in COUNTS.items():
                kept = min(retention, MINUTES_KEPT + _SLACK) if seconds == MINUTE else retention
                counts = self._database.collection(name)
                await counts.create_index([("what", ASCENDING), ("at", ASCENDING)])
                await self._expire(counts, int(kept))
            samples = self._database.collection(SAMPLES)
            await samples.create_index([("route", ASCENDING), ("places.field", ASCENDING), ("at", DESCENDING)])
            await self._expire(samples, int(retention))

    async def add(self, tally: CounterBatch) -> None:
        """Adds counts to those that are kept."""
        with self._database.asking():
            for seconds, name in COUNTS.items():
                changes = [_change(*counted) for counted in tally.by(seconds)]
                if changes:
                    await self._database.collection(name).bulk_write(changes, ordered=False)

    async def keep(self, samples: Sequence[Document], each: int) -> None:
        """Keeps samples, and of each place the newest so many."""
        if not samples:
            return
        with self._database.asking():
            await self._database.collection(SAMPLES).insert_many(samples, ordered=False)
            touched = {(one["route"], place["field"], place["kind"]) for one in samples for place in one["places"]}
            for route, *place in sorted(touched):
                await self._trim(route, (place[0], place[1]), each)

    async def _expire(self, collection: Collection, seconds: int) -> None:
        """Makes the TTL index, or changes it: create_index refuses other options than it was made with."""
        indexes = await collection.index_information()
        known = indexes.get("at_1", {}).get("expireAfterSeconds")
        if known is None:
            await collection.create_index([("at", ASCENDING)], expireAfterSeconds=seconds)
        elif known != seconds:
            index = {"keyPattern": {"at": ASCENDING}, "expireAfterSeconds": seconds}
            await self._database.command({"collMod": collection.name, "index": index})

    async def _trim(self, route: str, place: Place, each: int) -> None:
        """Takes a place from all but its newest samples, and removes those left without any."""
        samples, named = self._database.collection(SAMPLES), {"field": place[0], "kind": place[1]}
        newest = samples.find({"route": route, "places": {"$elemMatch": named}}, {"_id": 1}).sort("at", DESCENDING)
        old = [one["_id"] async for one in newest.skip(each)]
        if old:
            await samples.update_many({"_id": {"$in": old}}, {"$pull": {"places": named}})
            await samples.delete_many({"_id": {"$in": old}, "places": []})


def _change(key: Key, slice_: int, count: Count) -> UpdateOne:
    identity = hashlib.blake2b(json.dumps([slice_, key]).encode(), digest_size=16).hexdigest()
    return UpdateOne(
        {"_id": identity},
        {
            "$inc": {"number": count.number},
            "$min": {"first": count.first},
            "$max": {"last": count.last},
            "$setOnInsert": {"at": datetime.fromtimestamp(slice_, UTC), **dict(key)},
        },
        upsert=True,
    )

"""The collections of the reports: counts by minute for two hours, counts by hour and by day, and samples.

Every process increments the same document for a count; its `_id` is a digest of time slice and key. MongoDB removes
expired documents itself (TTL indexes on `at`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from pymongo import ASCENDING, DESCENDING, UpdateOne

from proxy.database.database import Database
from proxy.database.driver import Collection, Document
from proxy.reports.counters import Count, CounterBatch, Key
from proxy.reports.models import DAY, HOUR, MINUTE
from proxy.reports.resolution import MINUTE_RETENTION
from proxy.reports.samples import FieldAndKind
from proxy.reports.times import date_of

COUNTS: Final = {MINUTE: "counts_by_minute", HOUR: "counts_by_hour", DAY: "counts_by_day"}
"""The collection of counts by the length of its slices in seconds."""
SAMPLES: Final = "report_samples"

_SLACK: Final = 300


class Storage:
    """Writes reports to MongoDB. Every method raises `DatabaseError`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def prepare(self, retention: float) -> None:
        """Create the indexes and set the retention (seconds), for existing documents too."""
        with self._database.translate_errors():
            for seconds, name in COUNTS.items():
                expiry = min(retention, MINUTE_RETENTION + _SLACK) if seconds == MINUTE else retention
                counts = self._database.collection(name)
                await counts.create_index([("what", ASCENDING), ("at", ASCENDING)])
                await counts.create_index([("route", ASCENDING), ("what", ASCENDING), ("at", ASCENDING)])
                await self._expire(counts, int(expiry))
            samples = self._database.collection(SAMPLES)
            await samples.create_index([("route", ASCENDING), ("fields.field", ASCENDING), ("at", DESCENDING)])
            await self._expire(samples, int(retention), "expire_from")

    async def add(self, batch: CounterBatch) -> None:
        """Add a batch of counts to the stored ones."""
        with self._database.translate_errors():
            for seconds, name in COUNTS.items():
                changes = [_change(*counted) for counted in batch.by(seconds)]
                if changes:
                    await self._database.collection(name).bulk_write(changes, ordered=False)

    async def add_samples(self, samples: Sequence[Document], each: int) -> None:
        """Store samples. For each route, field and kind, the first, the `each` newest and the pinned ones remain."""
        if not samples:
            return
        with self._database.translate_errors():
            await self._database.collection(SAMPLES).insert_many(samples, ordered=False)
            touched = {
                (one["route"], field_kind["field"], field_kind["kind"])
                for one in samples
                for field_kind in one["fields"]
            }
            for route, *field_kind in sorted(touched):
                await self._trim(route, (field_kind[0], field_kind[1]), each)

    async def pin_sample(self, identity: str, *, pinned: bool) -> bool:
        """Pin a sample until it is unpinned, or let it expire again; return False if it does not exist."""
        now = datetime.now(UTC)
        change: Document = {"$set": {"pinned": pinned} if pinned else {"pinned": pinned, "expire_from": now}}
        if pinned:
            change["$unset"] = {"expire_from": ""}  # TTL indexes ignore documents without the field
        with self._database.translate_errors():
            result = await self._database.collection(SAMPLES).update_one({"_id": identity}, change)
        return result.matched_count == 1

    async def _expire(self, collection: Collection, seconds: int, field: str = "at") -> None:
        """Create the TTL index, or change its expiry, which create_index refuses for an existing index."""
        indexes = await collection.index_information()
        known = indexes.get(f"{field}_1", {}).get("expireAfterSeconds")
        if known is None:
            await collection.create_index([(field, ASCENDING)], expireAfterSeconds=seconds)
        elif known != seconds:
            index = {"keyPattern": {field: ASCENDING}, "expireAfterSeconds": seconds}
            await self._database.command({"collMod": collection.name, "index": index})

    async def _trim(self, route: str, field_kind: FieldAndKind, each: int) -> None:
        """Remove a field from all but its first, newest and pinned samples, and samples without any field left.

        The first one expires only after the newest.
        """
        samples, named = self._database.collection(SAMPLES), {"field": field_kind[0], "kind": field_kind[1]}
        wanted = {"route": route, "fields": {"$elemMatch": named}}
        newest = samples.find(wanted, {"pinned": 1}).sort("at", DESCENDING)
        old = [one async for one in newest.skip(each)]
        if not old:
            return
        first = {"_id": old[-1]["_id"], "pinned": False}
        await samples.update_one(first, {"$set": {"expire_from": datetime.now(UTC)}})
        surplus = [one["_id"] for one in old[:-1] if not one["pinned"]]
        if surplus:
            await samples.update_many({"_id": {"$in": surplus}}, {"$pull": {"fields": named}})
            await samples.delete_many({"_id": {"$in": surplus}, "fields": []})


def _change(key: Key, slice_: int, count: Count) -> UpdateOne:
    identity = hashlib.blake2b(json.dumps([slice_, key]).encode(), digest_size=16).hexdigest()
    return UpdateOne(
        {"_id": identity},
        {
            "$inc": {"number": count.number},
            "$min": {"first": count.first},
            "$max": {"last": count.last},
            "$setOnInsert": {"at": date_of(slice_), **dict(key)},
        },
        upsert=True,
    )

"""States in MongoDB, shared by all replicas and preserved over restarts.

    states      state of a route or group; replaced by `_id` and version              read by change stream, or polled
    history     all changes, by state key and version                                written after the state
    evidence    counts since a bake time began, by its epoch; replicas add to it
    baselines   legacy's latest statistics of a route
    processes   published snapshots of each process, which expire after some seconds
    files       one document: the routing.yaml in force

A state and its history entry are two writes. The state contains its last change. If a replica ends between the two
writes, the next reader of all states adds the missing entry.
"""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import asdict, replace
from datetime import UTC
from typing import Final

from pydantic import TypeAdapter
from pymongo import DESCENDING, UpdateOne

from proxy.database.database import Conflict, Database, DatabaseError, Unavailable
from proxy.database.driver import Document
from proxy.periodic import tick
from proxy.rollout.analysis.window import RequestStats
from proxy.rollout.fleet import ProcessSnapshot
from proxy.rollout.model import (
    ENTIRE_HISTORY,
    AnnouncedConfig,
    AuditEntry,
    Evidence,
    HistoryQuery,
    RouteState,
    change_of,
)
from proxy.rollout.store import SNAPSHOT_LIFETIME

_SNAPSHOT: Final = TypeAdapter(ProcessSnapshot)
POLL_INTERVAL: Final = 1.0
"""Seconds between two reads if change streams are unavailable (a mongod that is not a replica set)."""


class MongoStore:
    """A `Store` in a database of MongoDB. Every coroutine raises `DatabaseError`."""

    shared = True

    def __init__(self, database: Database, *, poll_interval: float = POLL_INTERVAL) -> None:
        self._database = database
        self._poll_interval = poll_interval
        self._states = database.collection("states")
        self._history = database.collection("history")
        self._evidence = database.collection("evidence")
        self._baselines = database.collection("baselines")
        self._files = database.collection("files")
        self._processes = database.collection("processes")
        self._expires = False  # True once the index is known to exist

    async def now(self) -> float:
        answer = await self._database.command({"hello": 1})
        time: float = answer["localTime"].replace(tzinfo=UTC).timestamp()
        return time

    async def states(self) -> dict[str, RouteState]:
        with self._database.translate_errors():
            states = [RouteState.of(document) async for document in self._states.find()]
            if states:
                await self._history.bulk_write([_entry(state) for state in states], ordered=False)
        return {state.key: state for state in states}

    @asynccontextmanager
    async def following(self) -> AsyncIterator[AsyncIterator[RouteState]]:
        async with AsyncExitStack() as stack:
            try:
                with self._database.translate_errors():
                    pipeline = [{"$match": {"operationType": {"$in": ["insert", "replace", "invalidate"]}}}]
                    stream = await stack.enter_async_context(await self._database.watch("states", pipeline))
            except Unavailable:
                raise
            except DatabaseError:  # change streams are unavailable
                yield self._polled()
            else:
                yield self._streamed(stream)

    async def _streamed(self, stream: AsyncIterator[Document]) -> AsyncIterator[RouteState]:
        with self._database.translate_errors():
            async for event in stream:
                if "fullDocument" in event:
                    yield RouteState.of(event["fullDocument"])
        raise Unavailable("MongoDB ended the change stream")  # the collection was dropped

    async def _polled(self) -> AsyncIterator[RouteState]:
        known: dict[str, int] = {}
        while True:
            with self._database.translate_errors():
                states = [RouteState.of(document) async for document in self._states.find()]
            for state in states:
                if known.get(state.key) != state.version:
                    known[state.key] = state.version
                    yield state
            await tick(self._poll_interval)

    async def state(self, key: str) -> RouteState | None:
        with self._database.translate_errors():
            document = await self._states.find_one({"_id": key})
        return RouteState.of(document) if document is not None else None

    async def replace(self, after: RouteState) -> bool:
        try:
            with self._database.translate_errors():
                if not await self._replaced(after):
                    return False
        except Conflict:
            return False
        with (
            suppress(Unavailable),
            self._database.translate_errors(),
        ):  # the next reader adds a missing entry
            await self._history.bulk_write([_entry(after)])
            await self._evidence.delete_many({"key": after.key, "_id": {"$ne": after.epoch}})
        return True

    async def _replaced(self, after: RouteState) -> bool:
        if after.version == 1:
            await self._states.insert_one(after.document())
            return True
        last = {"_id": after.key, "version": after.version - 1}
        return (await self._states.replace_one(last, after.document())).matched_count == 1

    async def record(self, change: AuditEntry) -> None:
        with self._database.translate_errors():
            await self._history.insert_one(asdict(change))

    async def claim(self, state: RouteState, owner: str) -> bool:
        unclaimed = {"_id": f"{state.key}#{state.version}", "announced_by": {"$in": [None, owner]}}
        with suppress(Conflict), self._database.translate_errors():  # another replica is adding the entry
            await self._history.bulk_write([_entry(state)])
        with self._database.translate_errors():
            return (await self._history.update_one(unclaimed, {"$set": {"announced_by": owner}})).matched_count == 1

    async def history(self, limit: int, query: HistoryQuery = ENTIRE_HISTORY) -> tuple[AuditEntry, ...]:
        given = {"kind": query.kind, "by.actor": query.actor}
        chosen: Document = {name: value for name, value in given.items() if value}
        if query.route:
            chosen["$or"] = [{"route": query.route}, {"routes": query.route}]
        if query.until is not None:
            chosen["by.at"] = {"$lte": query.until}
        await self._database.require_reachable()
        return await self._database.answer(self._read_history(chosen, query.skip, limit))

    async def _read_history(self, chosen: Document, skip: int, limit: int) -> tuple[AuditEntry, ...]:
        newest_first = [("by.at", DESCENDING), ("_id", DESCENDING)]  # a total order: pages do not overlap
        with self._database.translate_errors():
            cursor = self._history.find(chosen, {"_id": 0}).sort(newest_first).skip(skip).limit(limit)
            return tuple([change_of(document) async for document in cursor])

    async def announce(self, config: AnnouncedConfig) -> AnnouncedConfig | None:
        revision, shares = config.revision, [list(pair) for pair in config.shares.items()]  # names may contain dots
        announced = {
            "revision": revision,
            "shares": shares,
            "rollouts": list(config.rollouts),
            "text": config.text,
            "digests": [list(pair) for pair in config.digests.items()],
        }
        try:
            with self._database.translate_errors():
                another = {"_id": "in force", "revision": {"$ne": revision}}
                before = await self._files.find_one_and_update(another, {"$set": announced}, upsert=True)
        except Conflict:  # this revision is in force already
            return None
        if not before:
            return AnnouncedConfig()
        rollouts = tuple(before.get("rollouts", ()))
        text = before.get("text", "")
        digests = dict(before.get("digests", ()))
        return AnnouncedConfig(before["revision"], dict(before["shares"]), rollouts, text, digests)

    async def add(self, evidence: Mapping[str, Evidence]) -> None:
        changes = [
            UpdateOne(
                {"_id": epoch},
                {"$inc": asdict(more), "$setOnInsert": {"key": epoch.rpartition("#")[0]}},
                upsert=True,
            )
            for epoch, more in evidence.items()
        ]
        if changes:
            with self._database.translate_errors():
                await self._evidence.bulk_write(changes, ordered=False)

    async def evidence(self, epochs: Collection[str]) -> dict[str, Evidence]:
        chosen = {"_id": {"$in": list(epochs)}}
        with self._database.translate_errors():
            documents = [document async for document in self._evidence.find(chosen, {"key": 0})]
        return {document.pop("_id"): Evidence(**document) for document in documents}

    async def publish(self, snapshot: ProcessSnapshot) -> None:
        data = zlib.compress(_SNAPSHOT.dump_json(snapshot), 1)
        changed = [{"$set": {"at": "$$NOW", "data": {"$literal": data}}}]  # the server's clock
        with self._database.translate_errors():
            await self._processes.update_one({"_id": snapshot.id}, changed, upsert=True)
            if not self._expires:
                await self._processes.create_index("at", expireAfterSeconds=int(SNAPSHOT_LIFETIME))
                self._expires = True

    async def snapshots(self) -> tuple[ProcessSnapshot, ...]:
        await self._database.require_reachable()
        snapshots = []
        for data, age_then, at in await self._database.answer(self._read_snapshots()):
            with suppress(ValueError, zlib.error):  # written by another release
                snapshot = _SNAPSHOT.validate_json(zlib.decompress(data))
                ahead = snapshot.clock - at if snapshot.clock else 0.0
                snapshots.append(replace(snapshot, age=float(age_then), clock_ahead=ahead))
        return tuple(snapshots)

    async def _read_snapshots(self) -> list[tuple[bytes, float, float]]:
        """Return the stored snapshots with their ages in seconds, and when the server stored them."""
        earliest = {"$subtract": ["$$NOW", int(SNAPSHOT_LIFETIME * 1000)]}
        age = {"$divide": [{"$subtract": ["$$NOW", "$at"]}, 1000]}
        at = {"$divide": [{"$toLong": "$at"}, 1000]}
        with self._database.translate_errors():
            chosen = self._processes.find({"$expr": {"$gte": ["$at", earliest]}}, {"data": 1, "age": age, "at": at})
            return [(document["data"], document["age"], document["at"]) async for document in chosen]

    async def set_baselines(self, baselines: Mapping[str, RequestStats]) -> None:
        changes = [
            UpdateOne({"_id": key}, {"$set": _flat(baseline)}, upsert=True) for key, baseline in baselines.items()
        ]
        if changes:
            with self._database.translate_errors():
                await self._baselines.bulk_write(changes, ordered=False)

    async def baselines(self) -> dict[str, RequestStats]:
        with self._database.translate_errors():
            documents = [document async for document in self._baselines.find()]
        return {document.pop("_id"): _stats_of(document) for document in documents}


def _entry(state: RouteState) -> UpdateOne:
    """Return the update that adds a state's last change to the history once."""
    entry = {"_id": f"{state.key}#{state.version}"}
    return UpdateOne(entry, {"$setOnInsert": asdict(state.change)}, upsert=True)


def _flat(stats: RequestStats) -> Document:
    values = asdict(stats)
    del values["dependency_failures"], values["by_caller"]  # the first are native's only, the second a window's
    return {**values, "latencies": [list(pair) for pair in stats.latencies.items()]}


def _stats_of(document: Document) -> RequestStats:
    return RequestStats(**{**document, "latencies": dict(document["latencies"])})

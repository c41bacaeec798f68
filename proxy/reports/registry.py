"""The registry of differences: which were observed, and the state of each, in MongoDB.

Every process registers its observations. Exactly one process creates a difference, or changes a fixed one to returned,
and sends the notice. A difference that stays `new` expires with the reports after its last observation. States that a
person has set remain.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from pymongo import ASCENDING

from proxy.database.database import Conflict, Database
from proxy.database.driver import Document
from proxy.reports import triage
from proxy.reports.models import Span
from proxy.reports.times import date_of
from proxy.reports.triage import Mark, Observation, State, TrackedDifference

DIFFERENCES: Final = "report_differences"
REFRESH_INTERVAL: Final = 5.0
"""Seconds for which a process uses a state that it has read: the maximum delay until a return is noticed."""
MAX_ATTEMPTS: Final = 5


class UnknownDifference(LookupError):
    """No difference has this id."""


@dataclass(frozen=True, slots=True)
class Registered:
    """The differences that this process was the first to register: new ones, and fixed ones that returned."""

    new: tuple[TrackedDifference, ...] = ()
    returned: tuple[TrackedDifference, ...] = ()


class DifferenceRegistry:
    """Reads and changes the states of differences. Every method raises `DatabaseError`."""

    def __init__(self, database: Database, *, refresh: float = REFRESH_INTERVAL) -> None:
        self._refresh = refresh
        self._database = database
        self._refreshed: dict[str, float] = {}

    async def prepare(self, retention: float) -> None:
        """Create the indexes. `retention` (seconds) applies to new differences, from their next observation on."""
        self._retention = retention
        with self._database.translate_errors():
            differences = self._database.collection(DIFFERENCES)
            await differences.create_index([("route", ASCENDING), ("last", ASCENDING)])
            await differences.create_index([("expires", ASCENDING)], expireAfterSeconds=0)

    async def register(self, observations: Iterable[Observation]) -> Registered:
        """Register observations, each difference at most once in `refresh` seconds."""
        now = time.monotonic()
        due = {one.id: one for one in observations if self._refreshed.get(one.id, 0.0) <= now}
        if not due:
            return Registered()
        stored = {one.id: one for one in await self._find({"_id": {"$in": list(due)}})}
        new: list[TrackedDifference] = []
        returned: list[TrackedDifference] = []
        for identity, observation in due.items():
            before = stored.get(identity)
            after = await self._register(before, observation)
            if after is not None:
                (new if before is None else returned).append(after)
        if len(self._refreshed) > 10_000:
            self._refreshed.clear()
        self._refreshed |= dict.fromkeys(due, now + self._refresh)
        return Registered(tuple(new), tuple(returned))

    async def find(self, identity: str) -> TrackedDifference | None:
        """Return a difference; None if none has the id."""
        return next(iter(await self._find({"_id": identity})), None)

    async def find_all(self, span: Span, route: str | None = None) -> dict[str, TrackedDifference]:
        """Return the differences whose last observation is not before the span, by id."""
        wanted: Document = {"last": {"$gte": span.since}, "first": {"$lt": span.until}}
        if route is not None:
            wanted["route"] = route
        return {one.id: one for one in await self._find(wanted)}

    async def mark(
        self, identity: str, state: State, given: Mark, expected_version: int | None = None
    ) -> TrackedDifference:
        """Set a state. Raises UnknownDifference, `triage.InvalidMark`, and Conflict for another version."""
        for _ in range(MAX_ATTEMPTS):
            before = await self.find(identity)
            if before is None:
                raise UnknownDifference(identity)
            if expected_version not in (None, before.version):
                raise Conflict("another person has changed the state since")
            after = triage.mark(before, state, given)
            if await self._replace(before, after):
                return after
        raise Conflict("the state changes too often")

    async def _register(self, before: TrackedDifference | None, observation: Observation) -> TrackedDifference | None:
        """Store one observation; return the difference if this process is the first to store it as new or returned."""
        if before is None:
            return await self._insert(triage.begin(observation))
        after = triage.observe(before, observation)
        if after.version != before.version:
            return after if await self._replace(before, after) else None
        with self._database.translate_errors():
            changes: Document = {
                "$max": {"last": after.last},
                "$addToSet": {"revisions": observation.revision},
            }
            if after.state == "new":
                changes["$set"] = {"expires": self._expires(after)}
            await self._database.collection(DIFFERENCES).update_one({"_id": before.id}, changes)
        return None

    async def _insert(self, difference: TrackedDifference) -> TrackedDifference | None:
        document = {**triage.to_document(difference), "expires": self._expires(difference)}
        try:
            with self._database.translate_errors():
                await self._database.collection(DIFFERENCES).insert_one(document)
        except Conflict:  # another process was first
            return None
        return difference

    async def _replace(self, before: TrackedDifference, after: TrackedDifference) -> bool:
        """Store `after` if the stored version is still that of `before`."""
        document = triage.to_document(after)
        if after.state == "new":
            document["expires"] = self._expires(replace(after, last=time.time()))
        with self._database.translate_errors():
            wanted = {"_id": before.id, "version": before.version}
            result = await self._database.collection(DIFFERENCES).replace_one(wanted, document)
        return result.matched_count == 1

    async def _find(self, wanted: Mapping[str, object]) -> list[TrackedDifference]:
        with self._database.translate_errors():
            documents = await self._database.collection(DIFFERENCES).find(dict(wanted)).to_list(None)
        return [triage.from_document(document) for document in documents]

    _retention = 30 * 86_400.0

    def _expires(self, difference: TrackedDifference) -> datetime:
        return date_of(difference.last + self._retention)


def count_states(differences: Iterable[TrackedDifference]) -> dict[str, Counter[State]]:
    """Return the number of differences by route and state."""
    counts: dict[str, Counter[State]] = {}
    for one in differences:
        counts.setdefault(one.route, Counter())[one.state] += 1
    return counts

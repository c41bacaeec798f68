"""Notes what came of live traffic, and writes it once a second: traffic never waits for a report.

While MongoDB is away, comparisons are dropped, and counted as that. Nothing is held that a patient could be known by:
what is noted is redacted in the same breath.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from proxy.config.models import Config
from proxy.config.service_models import ReportSettings as Settings
from proxy.gateway.request_record import RequestRecord
from proxy.observability import metrics
from proxy.reports import counter_keys
from proxy.reports.counters import CounterBatch, Fields, Key, key
from proxy.reports.events import ComparisonEvent, Entry, ReplayEvent, SkippedEvent
from proxy.reports.redaction import KEY_BYTES, Redactor
from proxy.reports.samples import Place, document
from proxy.reports.storage import Storage
from proxy.runtime.database import Database, DatabaseError, Document

logger = logging.getLogger("scribe_proxy")

DropReason = Literal["database", "full", "fault"]
Dropped: TypeAlias = Callable[[DropReason, int], None]

INTERVAL: Final = 1.0
"""Seconds between two writes."""


def count_dropped(why: DropReason, number: int) -> None:
    """Tells the metrics of comparisons that no report counts: MongoDB away, too much at once, a fault of our own."""
    metrics.REPORTS_DROPPED.labels(why).inc(number)


@dataclass(slots=True)
class _Batch:
    """What was noted since the last write; `entries` are comparisons by route."""

    tally: CounterBatch = field(default_factory=CounterBatch)
    samples: list[Document] = field(default_factory=list)
    sampled: set[tuple[str, Place]] = field(default_factory=set)
    entries: Counter[str] = field(default_factory=Counter)


class ReportWriter:
    """Reports of one process, kept in `database` or, without one, not at all."""

    def __init__(self, database: Database | None, settings: Settings, dropped: Dropped = count_dropped) -> None:
        self._storage = Storage(database) if database is not None else None
        self._settings = settings
        self._dropped = dropped
        self._drawn = secrets.token_bytes(KEY_BYTES)
        self._fields = Fields()
        self._batch = _Batch()
        self._prepared: float | None = None
        self._away = False
        self._writing: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Writes once a second from now on."""
        self._writing = asyncio.create_task(self._write())

    async def stop(self) -> None:
        """Writes a last time."""
        if self._writing is not None:
            self._writing.cancel()
            await asyncio.gather(self._writing, return_exceptions=True)
        await self.flush()

    def apply_config(self, config: Config) -> None:
        """Go on by a changed file. Another MongoDB takes effect at a restart."""
        self._settings = config.reports

    def record(self, entry: Entry) -> None:
        """Counts an entry, and keeps a sample where it shows something. Never waits and never raises."""
        if self._storage is None:
            return
        if not self._batch.tally.has_room():
            self._lose(Counter({entry.route: _number(entry)}), "full")
            return
        try:
            self._note(entry, time.time())
        except Exception as error:
            logger.error("a comparison on %s could not be noted: %s", entry.route, type(error).__name__)
            self._lose(Counter({entry.route: _number(entry)}), "fault")

    def observe(self, observation: RequestRecord) -> None:
        """An `Observer`: counts a request that was served."""
        if self._storage is not None and self._batch.tally.has_room():
            self._batch.tally.add(counter_keys.of_observation(observation), time.time())

    async def flush(self) -> None:
        """Writes what was noted; what cannot be written is dropped and counted. Raises nothing."""
        batch, self._batch = self._batch, _Batch()
        if self._storage is None:
            return
        try:
            await self._prepare(self._storage)
            await self._storage.add(batch.tally)
        except Exception as error:
            self._tell_away(error)
            self._lose(batch.entries, "database")
            return
        self._tell_back()
        try:
            await self._storage.keep(batch.samples, self._settings.samples)
        except Exception as error:
            logger.warning("samples are lost: %s", _said(error))

    async def _write(self) -> None:
        while True:
            await self.flush()
            await asyncio.sleep(INTERVAL)

    def _note(self, entry: Entry, at: float) -> None:
        batch, number = self._batch, _number(entry)
        for counted in self._keys(entry, at):
            batch.tally.add(counted, at, number)
        if isinstance(entry, ComparisonEvent):
            self._sample(entry, at)
        if not isinstance(entry, ReplayEvent):
            batch.entries[entry.route] += number

    def _keys(self, entry: Entry, at: float) -> list[Key]:
        def admit(name: str) -> str:
            return self._fields.admit(entry.route, name, at)

        if isinstance(entry, ComparisonEvent):
            return list(counter_keys.of_comparison(entry, self._redactor(entry), admit))
        if isinstance(entry, ReplayEvent):
            return list(counter_keys.of_replay(entry, self._redactor(entry), admit))
        return [key("skipped", route=entry.route, reason=entry.reason)]

    def _sample(self, comparison: ComparisonEvent, at: float) -> None:
        """Keeps the comparison where it shows a place of which this batch has no sample yet."""
        redactor = self._redactor(comparison)
        route = comparison.route
        places = counter_keys.places(comparison, redactor, lambda name: self._fields.admit(route, name, at))
        wanted = [place for place in places if (route, place) not in self._batch.sampled]
        if wanted:
            self._batch.samples.append(document(comparison, wanted, redactor, at))
            self._batch.sampled |= {(route, place) for place in wanted}

    def _redactor(self, entry: ComparisonEvent | ReplayEvent) -> Redactor:
        given = self._settings.key.get_secret_value().encode()
        return Redactor(given or self._drawn, entry.operation, fleeting=not given)

    async def _prepare(self, storage: Storage) -> None:
        retention = self._settings.retention
        if self._prepared != retention:
            await storage.prepare(retention)
            self._prepared = retention

    def _lose(self, entries: Counter[str], why: DropReason) -> None:
        """Counts what is dropped; the count itself is written as soon as that can be done."""
        now = time.time()
        for route, number in entries.items():
            self._batch.tally.add(key("dropped", route=route), now, number)
        if entries:
            self._dropped(why, entries.total())

    def _tell_away(self, error: Exception) -> None:
        if not self._away:
            logger.warning("comparisons are dropped: %s", _said(error))
        self._away = True

    def _tell_back(self) -> None:
        if self._away:
            logger.info("comparisons are kept again")
        self._away = False


def _number(entry: Entry) -> int:
    return entry.number if isinstance(entry, SkippedEvent) else 1


def _said(error: Exception) -> str:
    return str(error) if isinstance(error, DatabaseError) else type(error).__name__

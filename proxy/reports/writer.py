"""Record comparisons in memory, and write them to MongoDB once a second. Traffic never waits for a report.

While MongoDB is unavailable, comparisons are dropped and counted. Events are redacted when they are recorded, so that
memory contains no patient data.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from common.background_tasks import BackgroundTasks
from proxy.config.models import Config
from proxy.config.service_models import ReportSettings as Settings
from proxy.contract.model import Operation
from proxy.database.database import Database, DatabaseError
from proxy.database.driver import Document
from proxy.gateway.request_record import RequestRecord
from proxy.observability import metrics
from proxy.observability.webhook import WebhookEvent
from proxy.periodic import tick
from proxy.reports import counter_keys, notices
from proxy.reports.counters import MAX_KEYS, CounterBatch, Fields, Key, key, of_revision
from proxy.reports.events import UNMATCHED, ComparisonEvent, Entry, ReplayEvent, SkippedEvent
from proxy.reports.redaction import MIN_KEY_BYTES, Redactor
from proxy.reports.registry import DifferenceRegistry
from proxy.reports.revisions import IMAGE_REVISION, NO_REVISIONS, Revisions
from proxy.reports.samples import FieldAndKind, document
from proxy.reports.storage import Storage
from proxy.reports.triage import Observation, difference_id
from proxy.types import JSON

logger = logging.getLogger("scribe_proxy")

DropReason = Literal["database", "full", "fault"]
Dropped: TypeAlias = Callable[[DropReason, int], None]
Reproduce: TypeAlias = Callable[[ComparisonEvent], Mapping[str, JSON] | None]
Publish: TypeAlias = Callable[[WebhookEvent], None]

INTERVAL: Final = 1.0
"""Seconds between two writes."""


def count_dropped(reason: DropReason, number: int) -> None:
    """Count dropped comparisons in the metrics, by reason: MongoDB unavailable, buffer full, internal fault."""
    metrics.REPORTS_DROPPED.labels(reason).inc(number)


@dataclass(slots=True)
class _Batch:
    """Everything recorded since the last write; `entries` are comparisons by route.

    `observations`: the newest by id of the difference. `legacy_violations`: the ids in which legacy violates the
    contract.
    """

    tally: CounterBatch
    samples: list[Document] = field(default_factory=list)
    sampled: set[tuple[str, FieldAndKind]] = field(default_factory=set)
    observations: dict[str, Observation] = field(default_factory=dict)
    legacy_violations: set[str] = field(default_factory=set)
    entries: Counter[str] = field(default_factory=Counter)


class ReportWriter:
    """Writes the reports of one process to `database`; records nothing without one."""

    def __init__(
        self,
        database: Database | None,
        settings: Settings,
        dropped: Dropped = count_dropped,
        revisions: Revisions = NO_REVISIONS,
        publish: Publish = lambda _: None,
        reproduce: Reproduce = lambda _: None,
        max_counts: int = MAX_KEYS,
    ) -> None:
        self._max_counts = max_counts
        self._reproduce = reproduce
        self._registry = DifferenceRegistry(database) if database is not None else None
        self._publish = publish
        self._revisions = revisions
        self._storage = Storage(database) if database is not None else None
        self._settings = settings
        self._dropped = dropped
        self._generated_key = secrets.token_bytes(MIN_KEY_BYTES)
        self._code_names: frozenset[str] = frozenset()
        self._redactors: dict[str, tuple[Operation | None, Redactor]] = {}
        self._fields = Fields()
        self._batch = self._empty_batch()
        self._prepared: float | None = None
        self._unavailable = False
        self._undelivered: Counter[str] = Counter()  # dropped comparisons by route that no stored report counts yet
        self._tasks = BackgroundTasks()

    def _empty_batch(self) -> _Batch:
        return _Batch(CounterBatch(self._max_counts))

    async def start(self) -> None:
        """Start to write every `INTERVAL` seconds."""
        self._tasks.start(self._write())

    async def stop(self) -> None:
        """Stop, after a last write."""
        await self._tasks.stop()
        await self.flush()

    def apply_config(self, config: Config) -> None:
        """Apply a changed configuration. Another MongoDB takes effect at a restart."""
        self._settings = config.reports
        self._redactors.clear()
        self._revisions = Revisions.of(config, {IMAGE_REVISION: self._revisions.image or ""})

    def record(self, entry: Entry) -> None:
        """Count an event and take a sample of a new difference. Never waits and never raises."""
        if self._storage is None:
            return
        if not self._batch.tally.has_room():
            self._drop(Counter({entry.route: _number(entry)}), "full")
            return
        try:
            self._add(entry, time.time())
        except Exception as error:
            logger.error("a comparison on %s could not be recorded: %s", entry.route, type(error).__name__)
            self._drop(Counter({entry.route: _number(entry)}), "fault")

    def observe(self, observation: RequestRecord) -> None:
        """Count a served request (an `Observer`)."""
        if self._storage is not None and self._batch.tally.has_room():
            revision = self._revisions.of_route(observation.route or UNMATCHED)
            self._batch.tally.add(of_revision(counter_keys.of_observation(observation), revision), time.time())

    async def flush(self) -> None:
        """Write everything recorded; drop and count the rest if that fails. Raises nothing."""
        batch, self._batch = self._batch, self._empty_batch()
        if self._storage is None:
            return
        undelivered, self._undelivered = self._undelivered, Counter()
        for route, number in undelivered.items():
            batch.tally.add(key("dropped", route=route), time.time(), number)
        try:
            await self._prepare(self._storage)
            await self._storage.add(batch.tally)
        except Exception as error:
            self._report_outage(error)
            self._undelivered += undelivered
            self._drop(batch.entries, "database")
            return
        if not batch.tally.is_empty:  # nothing was written otherwise
            self._report_recovery()
        try:
            await self._storage.add_samples(batch.samples, self._settings.samples)
            await self._register(batch)
        except Exception as error:
            logger.warning("samples are dropped: %s", _describe(error))

    async def _register(self, batch: _Batch) -> None:
        """Register the differences of a batch, and publish those that are new or have returned."""
        if self._registry is not None and batch.observations:
            registered = await self._registry.register(batch.observations.values())
            for event in notices.events(registered, batch.legacy_violations):
                self._publish(event)

    async def _write(self) -> None:
        while True:
            await self.flush()
            await tick(INTERVAL)

    def _add(self, entry: Entry, at: float) -> None:
        batch, number = self._batch, _number(entry)
        for count_key in self._keys(entry, at):
            batch.tally.add(of_revision(count_key, self._revisions.of_route(entry.route)), at, number)
        if isinstance(entry, ComparisonEvent):
            self._sample(entry, at)
            self._observe_differences(entry, at)
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
        """Add a sample of the comparison if it has a field without a sample in this batch."""
        redactor = self._redactor(comparison)
        route = comparison.route
        fields = counter_keys.differing_fields(comparison, redactor, lambda name: self._fields.admit(route, name, at))
        new = [field_kind for field_kind in fields if (route, field_kind) not in self._batch.sampled]
        if new:
            self._batch.samples.append(
                document(comparison, new, redactor, at, self._revisions.of_route(route), self._reproduce(comparison))
            )
            self._batch.sampled |= {(route, field_kind) for field_kind in new}

    def _observe_differences(self, comparison: ComparisonEvent, at: float) -> None:
        redactor, route = self._redactor(comparison), comparison.route

        def admit(name: str) -> str:
            return self._fields.admit(route, name, at)

        for name, kind in counter_keys.undeclared(comparison, redactor, admit):
            observation = Observation(route, name, kind, at, self._revisions.of_route(route))
            self._batch.observations[observation.id] = observation
        for name in counter_keys.legacy_violations(comparison, redactor, admit):
            self._batch.legacy_violations.add(difference_id(route, name, "violation"))

    def _redactor(self, entry: ComparisonEvent | ReplayEvent) -> Redactor:
        """Return the redactor for an event's operation, which is reused until the settings change."""
        name = entry.operation.name if entry.operation is not None else ""
        operation, redactor = self._redactors.get(name, (None, None))
        if redactor is None or operation is not entry.operation:
            redactor = self._new_redactor(entry.operation)
            self._redactors[name] = entry.operation, redactor
        return redactor

    def _new_redactor(self, operation: Operation | None) -> Redactor:
        configured = self._settings.key.get_secret_value().encode()
        return Redactor(
            configured or self._generated_key,
            operation,
            fleeting=not configured,
            mode=self._settings.redact,
            names=self._code_names,
        )

    def use_code_names(self, names: frozenset[str]) -> None:
        """Store field names that native's code contains, even if the contract lacks them."""
        self._code_names = names
        self._redactors.clear()

    async def _prepare(self, storage: Storage) -> None:
        retention = self._settings.retention
        if self._prepared != retention:
            await storage.prepare(retention)
            if self._registry is not None:
                await self._registry.prepare(retention)
            self._prepared = retention

    def _drop(self, entries: Counter[str], reason: DropReason) -> None:
        """Count dropped comparisons, in the metrics and in the next batch that can be written."""
        self._undelivered += entries
        if entries:
            self._dropped(reason, entries.total())

    def _report_outage(self, error: Exception) -> None:
        if not self._unavailable:
            logger.warning("comparisons are dropped: %s", _describe(error))
        self._unavailable = True

    def _report_recovery(self) -> None:
        if self._unavailable:
            logger.info("comparisons are stored again")
        self._unavailable = False


def _number(entry: Entry) -> int:
    return entry.number if isinstance(entry, SkippedEvent) else 1


def _describe(error: Exception) -> str:
    return str(error) if isinstance(error, DatabaseError) else type(error).__name__

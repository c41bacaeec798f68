"""Capture exchanges in a shadow process for capture jobs. Exchanges beyond the limits are discarded."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from common.background_tasks import BackgroundTasks
from proxy.capture.anonymizer import AnonymizerTerms, Unsuitable, step
from proxy.capture.jobs import CapturedExchange, CaptureJob, CaptureJobs
from proxy.capture.pseudonyms import Pseudonyms
from proxy.config.models import Config
from proxy.database.database import Database, DatabaseError
from proxy.periodic import tick
from proxy.reports.events import ComparisonEvent, Entry
from proxy.types import JSON

logger = logging.getLogger("scribe_proxy")

INTERVAL: Final = 1.0
MAX_PENDING: Final = 200


@dataclass(slots=True)
class _Work:
    """A running job: `captured` counts exchanges by operation and status."""

    job: CaptureJob
    pseudonyms: Pseudonyms
    captured: Counter[tuple[str, str]] = field(default_factory=Counter)
    pending: list[CapturedExchange] = field(default_factory=list)


class CaptureAgent:
    """Captures for the jobs in a database; without a database there are none. `config` has the routes' paths.

    `interval`: seconds between two checks for jobs. `max_pending`: maximum number of exchanges that wait to be stored,
    for each job.
    """

    def __init__(
        self, database: Database | None, config: Config, interval: float = INTERVAL, max_pending: int = MAX_PENDING
    ) -> None:
        self._interval, self._max_pending = interval, max_pending
        self._jobs = CaptureJobs(database) if database is not None else None
        self._works: dict[str, _Work] = {}
        self._tasks = BackgroundTasks()
        self._process = f"{socket.gethostname()}:{os.getpid()}"
        self.apply_config(config)

    def apply_config(self, config: Config) -> None:
        """Apply a changed configuration."""
        self._templates = {route.name: route.pattern.path for route in config.routes}

    async def start(self) -> None:
        """Start checking for jobs."""
        if self._jobs is not None:
            self._tasks.start(self._run(self._jobs))

    async def stop(self) -> None:
        """Stop checking for jobs."""
        await self._tasks.stop()

    def record(self, entry: Entry) -> None:
        """Capture legacy's answer for every job that includes it. Never waits and never raises."""
        if not isinstance(entry, ComparisonEvent):
            return
        for work in self._works.values():
            try:
                self._capture(work, entry)
            except Exception as error:
                logger.error("an exchange on %s could not be captured: %s", entry.route, type(error).__name__)

    def reproduce(self, comparison: ComparisonEvent) -> dict[str, JSON] | None:
        """Return the request and legacy's answer with new pseudonyms; None if they cannot be anonymised."""
        job = CaptureJob.new(0.0, 1)
        terms = AnonymizerTerms(self._template(comparison), comparison.operation)
        try:
            return step(comparison.legacy, terms, Pseudonyms(job.key, job.shift))
        except Unsuitable:
            return None
        except Exception as error:
            logger.error("a request on %s could not be anonymised: %s", comparison.route, type(error).__name__)
            return None

    def _template(self, comparison: ComparisonEvent) -> str:
        operation = comparison.operation
        return operation.template if operation else self._templates.get(comparison.route, "/*")

    def _capture(self, work: _Work, comparison: ComparisonEvent) -> None:
        job, legacy, operation = work.job, comparison.legacy, comparison.operation
        if time.time() >= job.until or (job.routes and comparison.route not in job.routes):
            return
        status = str(legacy.status) if legacy.outcome == "response" else legacy.outcome
        operation_and_status = (operation.name if operation else comparison.route, status)
        if work.captured[operation_and_status] >= job.each or len(work.pending) >= self._max_pending:
            return
        terms = AnonymizerTerms(self._template(comparison), operation, job.named)
        try:
            recorded = step(legacy, terms, work.pseudonyms)
        except Unsuitable as reason:
            logger.debug("not captured on %s: %s", comparison.route, reason)
            return
        work.captured[operation_and_status] += 1
        work.pending.append(CapturedExchange(*operation_and_status, recorded))

    async def _run(self, jobs: CaptureJobs) -> None:
        while True:
            try:
                await self._store(jobs)
                await self._update_jobs(jobs)
            except DatabaseError:  # the report writer logs the outage
                self._works.clear()
            await tick(self._interval)

    async def _update_jobs(self, jobs: CaptureJobs) -> None:
        """Start new jobs and drop those that ended."""
        current = {job.id: job for job in await jobs.current()}
        self._works = {name: work for name, work in self._works.items() if name in current}
        for name, job in current.items():
            if name not in self._works:
                self._works[name] = _Work(job, Pseudonyms(job.key, job.shift))
                await jobs.take_up(job, self._process)

    async def _store(self, jobs: CaptureJobs) -> None:
        for work in self._works.values():
            pending, work.pending = work.pending, []
            if pending:
                await jobs.store(work.job, pending)

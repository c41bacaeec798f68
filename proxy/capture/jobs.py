"""Capture jobs and the captured steps, in the gateway's own MongoDB until they are collected.

The `capture` command creates a job and collects its steps; every shadow process starts the job within seconds. Jobs and
steps expire through TTL indexes, so that nothing remains if the command ends early.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, TypeAlias

from pymongo import ASCENDING

from proxy.database.database import Database
from proxy.database.driver import Document
from proxy.reports.times import date_of
from proxy.types import JSON

JOBS: Final = "capture_jobs"
CAPTURED: Final = "captured"
GRACE: Final = 600
"""Seconds for which captured steps can be collected after the end of their job."""
_SHIFTS: Final = (400, 4000)  # days

Step: TypeAlias = dict[str, JSON]


@dataclass(frozen=True, slots=True)
class CaptureJob:
    """A request to capture. `until` is in seconds since the epoch.

    Each process captures at most `each` exchanges of one operation and status. Empty `routes` are all routes; `named`
    retains names that the contract does not know. `key` and `shift` (ms) are for `Pseudonyms`.
    """

    id: str
    until: float
    each: int
    routes: tuple[str, ...]
    named: bool
    key: bytes = field(repr=False)
    shift: int

    @classmethod
    def new(cls, until: float, each: int, routes: Sequence[str] = (), *, named: bool = False) -> CaptureJob:
        """Return a job with its own key and shift: dates move back by one to eleven years."""
        days = secrets.choice(range(*_SHIFTS))
        return cls(
            secrets.token_hex(8),
            round(until, 3),
            each,
            tuple(routes),
            named,
            secrets.token_bytes(32),
            -days * 86_400_000,
        )


@dataclass(frozen=True, slots=True)
class CapturedExchange:
    """A step of a recording with its operation and status."""

    operation: str
    status: str
    step: Step = field(repr=False)


class CaptureJobs:
    """Stored jobs and captured steps. Every method raises `DatabaseError`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, job: CaptureJob) -> None:
        """Store a job, so that shadow processes start it."""
        with self._database.translate_errors():
            for name in (JOBS, CAPTURED):
                await self._database.collection(name).create_index([("expires", ASCENDING)], expireAfterSeconds=0)
            await self._database.collection(CAPTURED).create_index([("job", ASCENDING)])
            await self._database.collection(JOBS).insert_one(_written(job))

    async def withdraw(self, job: CaptureJob) -> None:
        """Remove a job and its captured steps."""
        with self._database.translate_errors():
            await self._database.collection(JOBS).delete_one({"_id": job.id})
            await self._database.collection(CAPTURED).delete_many({"job": job.id})

    async def current(self) -> list[CaptureJob]:
        """Return the jobs that have not ended."""
        with self._database.translate_errors():
            jobs = self._database.collection(JOBS).find({"expires": {"$gt": datetime.now(UTC)}})
            return [_read(one) async for one in jobs]

    async def take_up(self, job: CaptureJob, process: str) -> None:
        """Record that a process captures for a job."""
        with self._database.translate_errors():
            await self._database.collection(JOBS).update_one({"_id": job.id}, {"$addToSet": {"processes": process}})

    async def taken_up(self, job: CaptureJob) -> int:
        """Return the number of processes that capture for a job."""
        with self._database.translate_errors():
            stored = await self._database.collection(JOBS).find_one({"_id": job.id}, {"processes": 1})
        return len((stored or {}).get("processes", ()))

    async def store(self, job: CaptureJob, captured: Sequence[CapturedExchange]) -> None:
        """Store captured steps."""
        expires = date_of(job.until + GRACE)
        documents = [
            {
                "job": job.id,
                "expires": expires,
                "operation": one.operation,
                "status": one.status,
                "step": json.dumps(one.step, separators=(",", ":")),
            }
            for one in captured
        ]
        with self._database.translate_errors():
            await self._database.collection(CAPTURED).insert_many(documents, ordered=False)

    async def count(self, job: CaptureJob) -> int:
        """Return the number of captured steps."""
        with self._database.translate_errors():
            return await self._database.collection(CAPTURED).count_documents({"job": job.id})

    async def collect(self, job: CaptureJob, most: int) -> list[CapturedExchange]:
        """Return captured steps in order: at most `each` of one operation and status, and `most` in all."""
        with self._database.translate_errors():
            captured = self._database.collection(CAPTURED).find({"job": job.id}).sort("_id", ASCENDING)
            every = [
                CapturedExchange(one["operation"], one["status"], json.loads(one["step"])) async for one in captured
            ]
        return _bounded(every, job.each)[:most]


def _bounded(captured: Sequence[CapturedExchange], each: int) -> list[CapturedExchange]:
    """Return the first `each` of each operation and status: several processes together may have captured more."""
    left: dict[tuple[str, str], int] = {}
    result: list[CapturedExchange] = []
    for one in captured:
        group = (one.operation, one.status)
        left[group] = left.get(group, each) - 1
        if left[group] >= 0:
            result.append(one)
    return result


def _written(job: CaptureJob) -> Document:
    return {
        "_id": job.id,
        "expires": date_of(job.until),
        "each": job.each,
        "routes": list(job.routes),
        "named": job.named,
        "key": job.key,
        "shift": job.shift,
    }


def _read(stored: Document) -> CaptureJob:
    until = stored["expires"].replace(tzinfo=UTC).timestamp()
    routes = tuple(stored["routes"])
    return CaptureJob(
        id=stored["_id"],
        until=until,
        each=stored["each"],
        routes=routes,
        named=stored["named"],
        key=bytes(stored["key"]),
        shift=stored["shift"],
    )

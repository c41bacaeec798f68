"""An order to capture live traffic, and what was captured for it, in the gateway's own MongoDB until it is fetched.

Whoever wants recordings places an order and collects; every shadow process sees it within seconds. Both go by
themselves when their time is over, so that nothing goes on because somebody's laptop was closed.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, TypeAlias

from pymongo import ASCENDING

from proxy.runtime.database import Database, Document
from proxy.types import JSON

ORDERS: Final = "capture_orders"
CAPTURED: Final = "captured"
GRACE: Final = 600
"""Seconds for which what was captured can be collected after its order is over."""
_SHIFTS: Final = (400, 4000)  # days

Step: TypeAlias = dict[str, JSON]


@dataclass(frozen=True, slots=True)
class CaptureJob:
    """`until` is in seconds since the epoch; `each` is how many of one operation and status each process captures.

    `routes` are those wanted, all where there are none; `named` keeps names that no contract knows. `key` and `shift`
    (ms) are for `Pseudonyms`.
    """

    id: str
    until: float
    each: int
    routes: tuple[str, ...]
    named: bool
    key: bytes
    shift: int

    @classmethod
    def new(cls, until: float, each: int, routes: Sequence[str] = (), *, named: bool = False) -> CaptureJob:
        """An order with a key and a shift of its own: dates go back by one to eleven years."""
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
    """A step of a recording, and the operation and status that it is a sample of."""

    operation: str
    status: str
    step: Step


class CaptureJobs:
    """Orders and what was captured for them. Everything raises `DatabaseError`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def place(self, order: CaptureJob) -> None:
        """Let it be taken up."""
        with self._database.translate_errors():
            for name in (ORDERS, CAPTURED):
                await self._database.collection(name).create_index([("expires", ASCENDING)], expireAfterSeconds=0)
            await self._database.collection(CAPTURED).create_index([("order", ASCENDING)])
            await self._database.collection(ORDERS).insert_one(_written(order))

    async def withdraw(self, order: CaptureJob) -> None:
        """Let it be taken up no longer, and forget what was captured for it."""
        with self._database.translate_errors():
            await self._database.collection(ORDERS).delete_one({"_id": order.id})
            await self._database.collection(CAPTURED).delete_many({"order": order.id})

    async def current(self) -> list[CaptureJob]:
        """Those in force."""
        with self._database.translate_errors():
            found = self._database.collection(ORDERS).find({"expires": {"$gt": datetime.now(UTC)}})
            return [_read(one) async for one in found]

    async def take_up(self, order: CaptureJob, process: str) -> None:
        """Let it be known that a process captures for an order."""
        with self._database.translate_errors():
            await self._database.collection(ORDERS).update_one({"_id": order.id}, {"$addToSet": {"processes": process}})

    async def taken_up(self, order: CaptureJob) -> int:
        """How many processes capture for it."""
        with self._database.translate_errors():
            found = await self._database.collection(ORDERS).find_one({"_id": order.id}, {"processes": 1})
        return len((found or {}).get("processes", ()))

    async def keep(self, order: CaptureJob, captured: Sequence[CapturedExchange]) -> None:
        """Adds to what was captured."""
        expires = _date(order.until + GRACE)
        documents = [
            {
                "order": order.id,
                "expires": expires,
                "operation": one.operation,
                "status": one.status,
                "step": json.dumps(one.step, separators=(",", ":")),
            }
            for one in captured
        ]
        with self._database.translate_errors():
            await self._database.collection(CAPTURED).insert_many(documents, ordered=False)

    async def count(self, order: CaptureJob) -> int:
        """How much there is."""
        with self._database.translate_errors():
            return await self._database.collection(CAPTURED).count_documents({"order": order.id})

    async def collect(self, order: CaptureJob, most: int) -> list[CapturedExchange]:
        """What was captured, in its order: at most `each` of an operation and status, and `most` of all."""
        with self._database.translate_errors():
            found = self._database.collection(CAPTURED).find({"order": order.id}).sort("_id", ASCENDING)
            every = [CapturedExchange(one["operation"], one["status"], json.loads(one["step"])) async for one in found]
        return _bounded(every, order.each)[:most]


def _bounded(captured: Sequence[CapturedExchange], each: int) -> list[CapturedExchange]:
    """The first so many of each operation and status; several processes may have brought more."""
    left: dict[tuple[str, str], int] = {}
    kept: list[CapturedExchange] = []
    for one in captured:
        place = (one.operation, one.status)
        left[place] = left.get(place, each) - 1
        if left[place] >= 0:
            kept.append(one)
    return kept


def _written(order: CaptureJob) -> Document:
    return {
        "_id": order.id,
        "expires": _date(order.until),
        "each": order.each,
        "routes": list(order.routes),
        "named": order.named,
        "key": order.key,
        "shift": order.shift,
    }


def _read(found: Document) -> CaptureJob:
    until = found["expires"].replace(tzinfo=UTC).timestamp()
    routes = tuple(found["routes"])
    return CaptureJob(found["_id"], until, found["each"], routes, found["named"], bytes(found["key"]), found["shift"])


def _date(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)

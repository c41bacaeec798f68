"""Events for reports, and the documents that are stored for them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from prometheus_client import REGISTRY
from pydantic import SecretStr

from proxy.comparison.exchange import Exchange
from proxy.comparison.exchanges import compare
from proxy.config.service_models import ReportSettings as Settings
from proxy.contract.divergences import Divergence
from proxy.contract.model import Operation
from proxy.database.database import Database
from proxy.gateway.request_record import RequestRecord
from proxy.reports.events import ComparisonEvent
from proxy.reports.models import Span
from proxy.reports.storage import COUNTS, SAMPLES
from proxy.types import JSON
from tests.support.exchanges import answered, operation, properties

KEY = "a-key-that-is-shared"
SETTINGS = Settings(key=SecretStr(KEY), samples=2)
NOTE = properties(
    _id={"type": "string"}, body={"type": "string"}, status={"enum": ["active", "ended"], "x-report": "show"}
)
CONTRACT = operation(properties(notes={"type": "array", "items": NOTE}, count={"type": "integer"}))
PATIENT = "Agnes Nightingale"
MONTH = 30 * 86_400
"""Seconds."""
DIVERGENCE = Divergence.model_validate(
    {
        "id": "count-is-text",
        "operation": "GET /api/notes",
        "legacy": "counts in numbers",
        "native": "counts in words",
        "reason": "words are nicer",
        "since": "0.2.0",
        "when": {"paths": ["body.count"]},
    }
)


def recently(seconds: float = 600) -> Span:
    return Span(time.time() - seconds, time.time() + 1)


def ever() -> Span:
    return Span(time.time() - 365 * 86400, time.time() + 1)


def compared(
    legacy: Exchange,
    native: Exchange,
    route: str = "notes.list",
    contract: Operation | None = CONTRACT,
    divergences: Sequence[Divergence] = (),
    **more: Any,
) -> ComparisonEvent:
    verdict = compare(legacy, native, contract, divergences)
    return ComparisonEvent(route, contract, "legacy", verdict, legacy, native, **more)


def differing(route: str = "notes.list", body: JSON = "another") -> ComparisonEvent:
    legacy = answered({"notes": [{"body": PATIENT, "status": "active"}], "count": 1})
    return compared(legacy, answered({"notes": [{"body": body, "status": "active"}], "count": 1}), route)


def served(route: str | None = "notes.list", status: int = 200, backend: str = "legacy") -> RequestRecord:
    return RequestRecord("id", "http", "GET", route, "/api/notes", backend, "share", None, status, None, 0.1, 0.1)


async def everything(database: Database) -> str:
    documents: list[str] = []
    for name in (*COUNTS.values(), SAMPLES):
        documents += [repr(one) async for one in database.collection(name).find({})]
    return "\n".join(documents)


async def lasting(database: Database) -> dict[str, int]:
    names = (*COUNTS.values(), SAMPLES)
    indexes = {name: await database.collection(name).index_information() for name in names}
    return {name: (indexes[name].get("at_1") or indexes[name]["expire_from_1"])["expireAfterSeconds"] for name in names}


def metric(reason: str) -> float:
    return REGISTRY.get_sample_value("scribe_proxy_reports_dropped_total", {"reason": reason}) or 0.0

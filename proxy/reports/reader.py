"""Answers what was kept as the values of `views.py`. Everything raises `database.DatabaseError`."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

from pymongo import DESCENDING

from proxy.comparison.verdicts import Name
from proxy.contract.divergences import Divergence
from proxy.reports import samples, summaries
from proxy.reports.counters import What
from proxy.reports.models import (
    DAY,
    HOUR,
    MINUTE,
    DivergenceSummary,
    Drift,
    FieldKind,
    FieldSummary,
    ReportCoverage,
    ReportHealth,
    RouteSummary,
    Sample,
    SampleHead,
    Span,
)
from proxy.reports.storage import COUNTS, MINUTES_KEPT, SAMPLES
from proxy.runtime.database import Database, Document
from proxy.types import Backend

LONG: Final = 3 * DAY
"""Spans (s) longer than this have a trend by days."""

Only: TypeAlias = Mapping[str, Any]
_UNITS: Final = {MINUTE: "minute", HOUR: "hour", DAY: "day"}
_PATIENCE_MS: Final = 8000


class ReportReader:
    """Reads the reports in a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def routes(self, span: Span) -> tuple[RouteSummary, ...]:
        """Every route of which anything was noted, by name."""
        grain = _grain(span)
        step = DAY if span.until - span.since > LONG else grain
        by = ("route", "what", "verdict", "reason", "backend", "status", "noisy")
        rows = await self._counts(span, ("verdict", "skipped", "request", "replay", "dropped"), by)
        trends = await self._counts(span, ("verdict", "skipped"), ("route", "verdict"), step=step)
        return summaries.routes(rows, trends, step)

    async def fields(self, span: Span, route: str | None = None) -> tuple[FieldSummary, ...]:
        """Where the sides differ: first what is unexplained most often."""
        only = _given(route=route)
        by = ("route", "operation", "field", "kind", "severity", "declared")
        rows = await self._counts(span, ("field",), by, only)
        noise = await self._counts(span, ("noise",), ("route", "field"), only)
        replays = await self._counts(span, ("replay",), ("route",), only)
        return summaries.fields(rows, noise, replays)

    async def samples(
        self,
        span: Span,
        route: str | None = None,
        field: str | None = None,
        kind: FieldKind | None = None,
        verdict: Name | None = None,
        limit: int = 50,
    ) -> tuple[SampleHead, ...]:
        """Samples, the newest first."""
        place = _given(field=field, kind=kind)
        wanted = {
            "at": {"$gte": _date(span.since), "$lt": _date(span.until)},
            **_given(route=route, verdict=verdict, places={"$elemMatch": place} if place else None),
        }
        with self._database.asking():
            found = self._database.collection(SAMPLES).find(wanted, {"told": 0}).sort("at", DESCENDING).limit(limit)
            return tuple([samples.head(one) async for one in found])

    async def sample(self, identity: str) -> Sample | None:
        """One sample in full; None where there is none (any more)."""
        with self._database.asking():
            found = await self._database.collection(SAMPLES).find_one({"_id": identity})
        if found is None:
            return None
        noise = await self._counts(_everything(), ("noise",), ("field",), {"route": found["route"]})
        return samples.sample(found, {row["field"] for row in noise})

    async def divergences(self, span: Span, declared: Iterable[Divergence]) -> tuple[DivergenceSummary, ...]:
        """Those declared, in their order; then those that were seen and are declared no longer."""
        return summaries.divergences(declared, await self._counts(span, ("divergence",), ("divergence",)))

    async def drift(self, span: Span, route: str | None = None, backend: Backend | None = None) -> tuple[Drift, ...]:
        """Where answers break the contract, the most frequent first."""
        by = ("route", "operation", "backend", "path", "rule", "message")
        rows = await self._counts(span, ("drift",), by, _given(route=route, backend=backend))
        return tuple(Drift(count=row.pop("number"), **row) for row in rows)

    async def coverage(self, span: Span) -> tuple[ReportCoverage, ...]:
        """What legacy's answers have shown, the most frequent first."""
        rows = await self._counts(span, ("answer",), ("route", "operation", "status", "media"))
        return tuple(ReportCoverage(count=row.pop("number"), **row) for row in rows)

    async def health(self) -> ReportHealth:
        """How far back reports go, and how many comparisons they lack."""
        dropped = await self._counts(_everything(), ("dropped",), ())
        with self._database.asking():
            oldest = await self._database.collection(COUNTS[HOUR]).find_one({}, {"first": 1}, sort=[("at", 1)])
        return ReportHealth(sum(row["number"] for row in dropped), oldest["first"] if oldest else None)

    async def _counts(
        self, span: Span, what: Iterable[What], by: Iterable[str], only: Only | None = None, step: int | None = None
    ) -> list[dict[str, Any]]:
        """Counts of a span, summed up by the particulars named and, where `step` is given, by slices of so many
        seconds. What a count does not have is None. The greatest number first."""
        grain = _grain(span)
        since = span.since - span.since % grain
        wanted = {"what": {"$in": list(what)}, "at": {"$gte": _date(since), "$lt": _date(span.until)}, **(only or {})}
        group: Document = {name: f"${name}" for name in by}
        if step is not None:
            group["at"] = {"$dateTrunc": {"date": "$at", "unit": _UNITS[step]}}
        sums = {"number": {"$sum": "$number"}, "first": {"$min": "$first"}, "last": {"$max": "$last"}}
        stages = [{"$match": wanted}, {"$group": {"_id": group, **sums}}, {"$sort": {"number": -1, "_id": 1}}]
        with self._database.asking():
            found = self._database.collection(COUNTS[grain]).aggregate(stages, maxTimeMS=_PATIENCE_MS)
            return [_row(one, by) async for one in found]


def _row(found: Document, by: Iterable[str]) -> dict[str, Any]:
    identity = found.pop("_id")
    if "at" in identity:
        identity["at"] = identity["at"].replace(tzinfo=UTC).timestamp()
    return {**dict.fromkeys(by), **identity, **found}


def _grain(span: Span) -> int:
    """Minutes while there are any; whoever asked for the last two hours did so a moment ago."""
    return MINUTE if span.since >= time.time() - MINUTES_KEPT - MINUTE else HOUR


def _everything() -> Span:
    return Span(0, time.time() + DAY)


def _date(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _given(**particulars: Any) -> dict[str, Any]:
    return {name: value for name, value in particulars.items() if value is not None}

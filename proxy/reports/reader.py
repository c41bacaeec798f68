"""Read access to the stored reports, as the values of `models.py`. Every method raises `DatabaseError`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final, TypeAlias

from pymongo import DESCENDING

from proxy.comparison.verdicts import Name
from proxy.contract.divergences import Divergence
from proxy.database.database import Database
from proxy.database.driver import Document
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
    RevisionCount,
    RevisionSummary,
    RouteSummary,
    Sample,
    SampleHead,
    Span,
    TimeSlice,
)
from proxy.reports.registry import DifferenceRegistry
from proxy.reports.resolution import CounterSpan, segments, trend_step
from proxy.reports.storage import COUNTS, SAMPLES
from proxy.reports.times import date_of
from proxy.reports.triage import TrackedDifference
from proxy.types import Backend

Only: TypeAlias = Mapping[str, Any]
_UNITS: Final = {MINUTE: "minute", HOUR: "hour", DAY: "day"}
_QUERY_TIMEOUT_MS: Final = 8000


class ReportReader:
    """Reads the reports in a database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._registry = DifferenceRegistry(database)

    async def routes(
        self, span: Span, route: str | None = None, revision: str | None = None, *, trend: bool = True
    ) -> tuple[RouteSummary, ...]:
        """Return every route with a record, by name; with `revision`, without legacy's replays and drops.

        Without `trend`, the trends are empty, and the database adds up far fewer rows; see `trends`.
        """
        step = trend_step(span, time.time()) if trend else None
        by = ("route", "what", "backend", "status", "noisy")
        only = _given(route=route, revision=revision)
        rows, trends = await asyncio.gather(
            self._counts(span, ("request", "replay", "dropped"), by, only, times=False),
            self._counts(span, ("verdict", "skipped"), ("route", "what", "verdict", "reason"), only, step, times=False),
        )
        return summaries.routes(rows, trends, step)

    async def trends(self, span: Span, routes: Collection[str]) -> dict[str, tuple[TimeSlice, ...]]:
        """Return the trends of some routes that have comparisons."""
        step = trend_step(span, time.time())
        only = {"route": {"$in": list(routes)}}
        rows = await self._counts(span, ("verdict", "skipped"), ("route", "verdict"), only, step, times=False)
        return summaries.trends(rows, step)

    async def fields(
        self, span: Span, route: str | None = None, revision: str | None = None
    ) -> tuple[FieldSummary, ...]:
        """Return the fields in which the backends differ, the most often unexplained first."""
        only = _given(route=route)
        by = ("route", "operation", "field", "kind", "severity", "declared")
        rows, noise, replays = await asyncio.gather(
            self._counts(span, ("field",), by, {**only, **_given(revision=revision)}),
            self._counts(span, ("noise",), ("route", "field"), only),
            self._counts(span, ("replay",), ("route",), only),
        )
        return summaries.fields(rows, noise, replays)

    async def revisions(self, span: Span, route: str) -> tuple[RevisionSummary, ...]:
        """Return the revisions of native that were compared on a route, in the order of their first comparison."""
        rows = await self._counts(span, ("verdict",), ("revision", "verdict"), {"route": route})
        return summaries.revisions(rows)

    async def samples(
        self,
        span: Span,
        route: str | None = None,
        field: str | None = None,
        kind: FieldKind | None = None,
        verdict: Name | None = None,
        limit: int = 50,
    ) -> tuple[SampleHead, ...]:
        """Return samples, the newest first."""
        field_kind = _given(field=field, kind=kind)
        wanted = {
            "at": {"$gte": date_of(span.since), "$lt": date_of(span.until)},
            **_given(route=route, verdict=verdict, fields={"$elemMatch": field_kind} if field_kind else None),
        }
        with self._database.translate_errors():
            result = self._database.collection(SAMPLES).find(wanted, {"content": 0}).sort("at", DESCENDING).limit(limit)
            return tuple([samples.head(one) async for one in result])

    async def sample(self, identity: str) -> Sample | None:
        """Return one sample in full; None if it does not exist any more."""
        with self._database.translate_errors():
            result = await self._database.collection(SAMPLES).find_one({"_id": identity})
        if result is None:
            return None
        noise = await self._counts(_everything(), ("noise",), ("field",), {"route": result["route"]})
        return samples.sample(result, {row["field"] for row in noise})

    async def newest_sample_instead(self, identity: str) -> str | None:
        """Return the id of the newest sample of the same difference as a removed sample; None if there is none."""
        difference = samples.difference_of(identity)
        registered = await self._registry.find(difference) if difference else None
        if registered is None:
            return None
        newest = await self.samples(_everything(), registered.route, registered.field, registered.kind, limit=1)
        return newest[0].id if newest else None

    async def difference(self, identity: str) -> TrackedDifference | None:
        """Return a difference with its state by its id; None if it was not observed."""
        return await self._registry.find(identity)

    async def differences(self, span: Span, route: str | None = None) -> dict[str, TrackedDifference]:
        """Return the differences that were observed within a span or later, by id."""
        return await self._registry.find_all(span, route)

    async def field_revisions(
        self, span: Span, route: str, field: str, kind: FieldKind
    ) -> dict[str | None, RevisionCount]:
        """Return how often a difference was observed in each revision of native."""
        what, only = ("drift", {"path": field}) if kind == "violation" else ("field", {"field": field, "kind": kind})
        rows = await self._counts(span, (what,), ("revision",), {"route": route, **only})  # type: ignore[arg-type]
        return {row["revision"]: RevisionCount(row["number"], row["first"], row["last"]) for row in rows}

    async def divergences(self, span: Span, declared: Iterable[Divergence]) -> tuple[DivergenceSummary, ...]:
        """Return the declared divergences in their order, then observed ones that are no longer declared."""
        return summaries.divergences(declared, await self._counts(span, ("divergence",), ("divergence",)))

    async def drift(
        self, span: Span, route: str | None = None, backend: Backend | None = None, revision: str | None = None
    ) -> tuple[Drift, ...]:
        """Return the contract rules that answers violate, the most frequent first."""
        by = ("route", "operation", "backend", "path", "rule", "message")
        rows = await self._counts(span, ("drift",), by, _given(route=route, backend=backend, revision=revision))
        return tuple(Drift(count=row.pop("number"), **row) for row in summaries.greatest_first(rows, by))

    async def coverage(self, span: Span) -> tuple[ReportCoverage, ...]:
        """Return the observed kinds of legacy's answers, the most frequent first."""
        by = ("route", "operation", "status", "media")
        rows = summaries.greatest_first(await self._counts(span, ("answer",), by), by)
        return tuple(ReportCoverage(count=row.pop("number"), **row) for row in rows)

    async def health(self) -> ReportHealth:
        """Return the age of the oldest report and the number of dropped comparisons."""
        dropped = await self._counts(_everything(), ("dropped",), ())
        with self._database.translate_errors():
            oldest = await self._database.collection(COUNTS[HOUR]).find_one({}, {"first": 1}, sort=[("at", 1)])
        return ReportHealth(sum(row["number"] for row in dropped), oldest["first"] if oldest else None)

    async def _counts(
        self,
        span: Span,
        what: Iterable[What],
        by: Iterable[str],
        only: Only | None = None,
        step: int | None = None,
        *,
        times: bool = True,
    ) -> list[dict[str, Any]]:
        """Return the counts of a span, summed by the fields `by` and, with `step`, by time slices of so many seconds.

        Fields that a count lacks are None. Without `times`, rows have no `first` and `last`.
        """
        group: Document = {name: f"${name}" for name in by}
        if step is not None:
            slice_ = {"$dateTrunc": {"date": "$at", "unit": _UNITS[step]}}
            group["at"] = {"$divide": [{"$toLong": slice_}, 1000]}
        sums: Document = {"number": {"$sum": "$number"}}
        if times:
            sums |= {"first": {"$min": "$first"}, "last": {"$max": "$last"}}
        wanted = {"what": {"$in": list(what)}, **(only or {})}
        parts = await asyncio.gather(
            *(
                self._aggregate(segment, wanted, {"$group": {"_id": group, **sums}})
                for segment in segments(span, time.time())
            )
        )
        return summaries.merge([_row(one, by) for part in parts for one in part], by)

    async def _aggregate(self, segment: CounterSpan, wanted: Document, group: Document) -> list[Document]:
        at = {"$gte": date_of(segment.since), "$lt": date_of(segment.until)}
        stages = [{"$match": {**wanted, "at": at}}, group]
        return await self._database.aggregate(COUNTS[segment.seconds], stages, maxTimeMS=_QUERY_TIMEOUT_MS)


def _row(result: Document, by: Iterable[str]) -> dict[str, Any]:
    identity = result.pop("_id")
    return {**dict.fromkeys(by), **identity, **result}


def _everything() -> Span:
    return Span(0, time.time() + DAY)


def _given(**particulars: Any) -> dict[str, Any]:
    return {name: value for name, value in particulars.items() if value is not None}

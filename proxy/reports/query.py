"""A query to the reports and its result, as the `report` command prints it in any format."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from proxy.comparison.exchanges import catch_all_divergences
from proxy.comparison.verdicts import Name
from proxy.contract.bundle import ContractBundle
from proxy.contract.tree import Tree
from proxy.reports.coverage import coverage_of
from proxy.reports.models import (
    DivergenceSummary,
    Drift,
    FieldKind,
    FieldSummary,
    ReportHealth,
    RouteSummary,
    Sample,
    SampleHead,
    Span,
)
from proxy.reports.reader import ReportReader
from proxy.reports.suggestions import Suggestion, suggest
from proxy.reports.triage import TrackedDifference

NEWEST: Literal["newest"] = "newest"
"""Stands for the id of the newest sample."""


@dataclass(frozen=True, slots=True)
class ReportQuery:
    """The filters of a query; None matches anything. `sample` is an id or NEWEST, `revision` one of native."""

    span: Span
    route: str | None = None
    field: str | None = None
    kind: FieldKind | None = None
    verdict: Name | None = None
    sample: str | None = None
    revision: str | None = None


@dataclass(frozen=True, slots=True)
class QueryResult:
    """The result of a query.

    `routes` and `fields` match the filters; `all_routes` and `all_fields` are the names without the filters.
    `selected` are the routes regardless of `verdict`, which does not affect sums. `differences` are those of the span,
    by id. `sample_instead` is the id of the requested sample if that was removed; `sample` then replaces it.
    """

    routes: tuple[RouteSummary, ...]
    fields: tuple[FieldSummary, ...]
    drift: tuple[Drift, ...]
    divergences: tuple[DivergenceSummary, ...]
    samples: tuple[SampleHead, ...]
    sample: Sample | None
    health: ReportHealth
    all_routes: tuple[str, ...]
    all_fields: tuple[str, ...]
    selected: tuple[RouteSummary, ...] = ()
    differences: Mapping[str, TrackedDifference] = field(default_factory=dict)
    sample_instead: str | None = None


async def run_query(reader: ReportReader, query: ReportQuery, bundle: ContractBundle) -> QueryResult:
    """Run a query. Raises `DatabaseError`."""
    span, route = query.span, query.route
    routes = await reader.routes(span, revision=query.revision)
    fields = await reader.fields(span, route, query.revision)
    drift = await reader.drift(span, route, revision=query.revision)
    samples = await reader.samples(span, route, query.field, query.kind, query.verdict)
    selected = tuple(one for one in routes if route in (None, one.route))
    sample, instead = await _sample(reader, query.sample, samples)
    return QueryResult(
        routes=tuple(one for one in selected if _has_verdict(one, query.verdict)),
        selected=selected,
        differences=await reader.differences(span, route),
        sample_instead=instead,
        fields=tuple(one for one in fields if _matches(one, query)),
        drift=tuple(one for one in drift if query.field in (None, one.path)),
        divergences=await reader.divergences(span, bundle.divergences),
        samples=samples,
        sample=sample,
        health=await reader.health(),
        all_routes=tuple(one.route for one in routes),
        all_fields=tuple(dict.fromkeys([*(one.field for one in fields), *(one.path for one in drift)])),
    )


async def _sample(
    reader: ReportReader, requested: str | None, newest: Sequence[SampleHead]
) -> tuple[Sample | None, str | None]:
    """Return the requested sample; for a removed one the newest of the same difference, and the requested id."""
    if requested is None or (requested == NEWEST and not newest):
        return None, None
    sample = await reader.sample(newest[0].id if requested == NEWEST else requested)
    if sample is not None:
        return sample, None
    instead = await reader.newest_sample_instead(requested)
    return (await reader.sample(instead), requested) if instead else (None, None)


async def suggestions(
    reader: ReportReader,
    query: ReportQuery,
    fields: Iterable[FieldSummary],
    bundle: ContractBundle,
    tree: Tree | None,
    release: str,
) -> list[Suggestion]:
    """Suggest a rule or divergence for each field with unexplained differences."""
    result: list[Suggestion] = []
    for one in fields:
        if one.unexplained:
            newest = await reader.samples(query.span, one.route, one.field, one.kind, limit=1)
            statuses = newest[0].statuses if newest else None
            result.append(suggest(one, bundle.contract, tree, statuses, release))
    return result


def warnings(findings: QueryResult, bundle: ContractBundle) -> list[str]:
    """Return warnings on misleading numbers: few comparisons, rules that hide everything, dropped comparisons.

    With a sample, those of its route only.
    """
    result = [
        f"divergence {name} explains any difference of its operation and hides every fault"
        for name in catch_all_divergences(bundle.divergences)
    ]
    sample = findings.sample
    for route in (one for one in findings.routes if sample is None or one.route == sample.route):
        coverage = coverage_of(route)
        if coverage.is_partial:
            of_requested = f"{coverage.compared:,} of {coverage.requested:,} requested comparisons were made"
            result.append(f"{route.route}: {of_requested} ({coverage.cause}); to compare more, {coverage.remedy}")
        if hidden := route.skipped.get("hidden"):
            result.append(f"{route.route}: in {hidden:,} of its requests x-compare hid the whole answer")
        if route.dropped:
            number = f"{route.dropped:,} more comparison{'s' if route.dropped != 1 else ''}"
            result.append(f"{route.route}: {number} could not be stored")
    stale = [one.id for one in findings.divergences if one.stale]
    if stale and bundle.divergences:
        result.append(f"observed, but no longer declared: {', '.join(stale)}")
    return result


def _has_verdict(route: RouteSummary, verdict: Name | None) -> bool:
    return verdict is None or bool(route.skipped if verdict == "skipped" else getattr(route, verdict))


def _matches(field: FieldSummary, query: ReportQuery) -> bool:
    if query.verdict is not None and not {"mismatch": field.unexplained, "declared": field.declared}.get(query.verdict):
        return False
    return query.field in (None, field.field) and query.kind in (None, field.kind)

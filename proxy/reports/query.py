"""A query to the reports and its result, as the `report` command prints it in any format."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from proxy.comparison.exchanges import catch_all_divergences
from proxy.comparison.verdicts import Name
from proxy.contract.bundle import ContractBundle
from proxy.contract.tree import Tree
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

NEWEST: Literal["newest"] = "newest"
"""Stands for the id of the newest sample."""


@dataclass(frozen=True, slots=True)
class ReportQuery:
    """The filters of a query; None matches anything. `sample` is an id or NEWEST."""

    span: Span
    route: str | None = None
    field: str | None = None
    kind: FieldKind | None = None
    verdict: Name | None = None
    sample: str | None = None


@dataclass(frozen=True, slots=True)
class QueryResult:
    """The answer. `routes` and `fields` are those asked for, `known` the names of all routes and `places` of all
    fields of those."""

    routes: tuple[RouteSummary, ...]
    fields: tuple[FieldSummary, ...]
    drift: tuple[Drift, ...]
    divergences: tuple[DivergenceSummary, ...]
    samples: tuple[SampleHead, ...]
    sample: Sample | None
    health: ReportHealth
    known: tuple[str, ...]
    places: tuple[str, ...]


async def ask(reading: ReportReader, question: ReportQuery, agreement: ContractBundle) -> QueryResult:
    """Run a query. Raises `DatabaseError`."""
    span, route = question.span, question.route
    routes = await reading.routes(span)
    fields = await reading.fields(span, route)
    drift = await reading.drift(span, route)
    samples = await reading.samples(span, route, question.field, question.kind, question.verdict)
    sample_id = samples[0].id if question.sample == NEWEST and samples else question.sample
    return QueryResult(
        routes=tuple(one for one in routes if route in (None, one.route) and _has_verdict(one, question.verdict)),
        fields=tuple(one for one in fields if _matches(one, question)),
        drift=tuple(one for one in drift if question.field in (None, one.path)),
        divergences=await reading.divergences(span, agreement.divergences),
        samples=samples,
        sample=await reading.sample(sample_id) if sample_id and sample_id != NEWEST else None,
        health=await reading.health(),
        known=tuple(one.route for one in routes),
        places=tuple(dict.fromkeys([*(one.field for one in fields), *(one.path for one in drift)])),
    )


async def suggestions(
    reading: ReportReader,
    question: ReportQuery,
    fields: Iterable[FieldSummary],
    agreement: ContractBundle,
    tree: Tree | None,
    release: str,
) -> list[Suggestion]:
    """Suggest a rule or divergence for each field with unexplained differences."""
    result: list[Suggestion] = []
    for one in fields:
        if one.unexplained:
            newest = await reading.samples(question.span, one.route, one.field, one.kind, limit=1)
            statuses = newest[0].statuses if newest else None
            result.append(suggest(one, agreement.contract, tree, statuses, release))
    return result


def warnings(findings: QueryResult, agreement: ContractBundle) -> list[str]:
    """Return warnings on misleading numbers: rules that hide everything, dropped comparisons."""
    result = [
        f"divergence {name} explains any difference of its operation, and so hides every fault"
        for name in catch_all_divergences(agreement.divergences)
    ]
    for route in findings.routes:
        if hidden := route.skipped.get("hidden"):
            result.append(f"{route.route}: in {hidden:,} of its requests x-compare hid all that there was to compare")
        if route.dropped:
            result.append(f"{route.route}: {route.dropped:,} more were compared and could not be stored")
    stale = [one.id for one in findings.divergences if one.stale]
    if stale and agreement.divergences:
        result.append(f"seen, but declared no longer: {', '.join(stale)}")
    return result


def _has_verdict(route: RouteSummary, verdict: Name | None) -> bool:
    return verdict is None or bool(route.skipped if verdict == "skipped" else getattr(route, verdict))


def _matches(field: FieldSummary, question: ReportQuery) -> bool:
    if question.verdict is not None and not {"mismatch": field.unexplained, "declared": field.declared}.get(
        question.verdict
    ):
        return False
    return question.field in (None, field.field) and question.kind in (None, field.kind)

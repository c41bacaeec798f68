"""The report of one route: the fields that differ, the worst first, and samples."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, get_args

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from proxy.comparison.verdicts import Name
from proxy.ops.filters import FilterError, Filters
from proxy.ops.pages.overview import RouteLine, lines, summaries
from proxy.ops.pages.report_access import Unavailability, read_reports
from proxy.ops.process_view import ProcessView
from proxy.ops.rendering import Endpoint, answer, error_page, filters
from proxy.ops.status import Current, RouteStatus
from proxy.reports.coverage import Coverage, coverage_of, native_only
from proxy.reports.models import Drift, FieldKind, FieldSummary, RevisionSummary, RouteSummary, SampleHead, Span
from proxy.reports.reader import ReportReader
from proxy.reports.triage import ATTENTION, State, TrackedDifference, difference_id
from proxy.types import DifferenceKind

MAX_LISTED: Final = 50
"""Number of samples on a page."""
_KINDS: Final[tuple[FieldKind, ...]] = (*get_args(DifferenceKind), "violation")


@dataclass(frozen=True, slots=True)
class RouteView:
    """The report of a route. `samples` are those of `field` and `kind` if given; `route` is None if not in the file.

    `states` are those of differences by id; with `revision` the numbers are of that revision of native. `query` selects
    fields and violations of the contract by a part of their name, and changes no other number.
    """

    name: str
    route: RouteStatus | None
    span: Span
    verdict: Name | None
    field: str | None
    kind: FieldKind | None
    summary: RouteSummary
    revision: str | None
    query: str
    unavailable: Unavailability | None
    fields: tuple[FieldSummary, ...] = ()
    violations: tuple[Drift, ...] = ()
    samples: tuple[SampleHead, ...] = ()
    states: Mapping[str, State] = dataclasses.field(default_factory=dict)
    revisions: tuple[RevisionSummary, ...] = ()

    @property
    def coverage(self) -> Coverage:
        """Return the coverage of the requested comparisons."""
        return coverage_of(self.summary)

    @property
    def native_only(self) -> str | None:
        """Return the kind of requests that were not compared because native served them; None without any."""
        return native_only(self.summary, self.route.match if self.route is not None else "")


def route(process: ProcessView, current: Current) -> Endpoint:
    """Return the endpoint of a route's report."""

    async def show(request: Request) -> Response:
        chosen, status = filters(request), await current()
        name: str = request.path_params["route"]
        revision = request.query_params.get("revision") or None
        known, unavailable = await summaries(process, chosen.span, name, revision)
        line = next((line for line in lines(status.routes, known) if line.name == name), None)
        if line is None:
            return _group_or_unknown(process, request, name)
        view = _requested(request, chosen, line, unavailable)
        if unavailable is None:
            full, unavailable = await read_reports(process.database, partial(_read, view))
            view = full or replace(view, unavailable=unavailable)
        return await answer(request, "route.html", view, area="/comparisons", filters=chosen)

    return show


def _group_or_unknown(process: ProcessView, request: Request, name: str) -> Response:
    """Redirect the name of a group to its live page: each of its routes has its own report."""
    groups = process.controller.groups
    if groups.find(name) is not None:
        suffix = ".json" if request.url.path.endswith(".json") else ""
        return RedirectResponse(f"/routes/{name}/live{suffix}", 303)
    return error_page(
        request, 404, "Route not found", f"No report names it, and routing.yaml has {groups.missing(name)}"
    )


def _requested(request: Request, chosen: Filters, line: RouteLine, unavailable: Unavailability | None) -> RouteView:
    """Return the view that a request selects, without fields and samples."""
    query = request.query_params
    return RouteView(
        name=line.name,
        route=line.route,
        span=chosen.span,
        verdict=chosen.verdict,
        field=query.get("field"),
        kind=_kind(request),
        summary=line.summary,
        revision=query.get("revision") or None,
        query=query.get("q", "").strip(),
        unavailable=unavailable,
    )


async def _read(empty: RouteView, reports: ReportReader) -> RouteView:
    """Return a view with the fields, violations, samples, states and revisions that it selects."""
    fields, violations, samples, differences, revisions = await asyncio.gather(
        reports.fields(empty.span, empty.name, empty.revision),
        reports.drift(empty.span, empty.name, revision=empty.revision),
        reports.samples(empty.span, empty.name, empty.field, empty.kind, empty.verdict, MAX_LISTED),
        reports.differences(empty.span, empty.name),
        reports.revisions(empty.span, empty.name),
    )
    return replace(
        empty,
        fields=_by_attention([one for one in fields if empty.query.lower() in one.field.lower()], differences),
        violations=tuple(one for one in violations if empty.query.lower() in one.path.lower()),
        samples=samples,
        states={identity: difference.state for identity, difference in differences.items()},
        revisions=revisions,
    )


def _by_attention(
    fields: Sequence[FieldSummary], differences: Mapping[str, TrackedDifference]
) -> tuple[FieldSummary, ...]:
    """Return fields sorted by state, returned and new ones first; the order is otherwise unchanged."""

    def attention(one: FieldSummary) -> int:
        difference = differences.get(difference_id(one.route, one.field, one.kind))
        return ATTENTION.index(difference.state) if difference is not None and one.unexplained else len(ATTENTION)

    return tuple(sorted(fields, key=attention))


def _kind(request: Request) -> FieldKind | None:
    given = request.query_params.get("kind") or None
    if given is not None and given not in _KINDS:
        raise FilterError(f"kind: must be one of {', '.join(_KINDS)}")
    return next((kind for kind in _KINDS if kind == given), None)

"""The report of one route: the fields that differ, the worst first, and samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, get_args

from starlette.requests import Request
from starlette.responses import Response

from proxy.comparison.correspondence import Kind
from proxy.comparison.verdicts import Name
from proxy.ops.filters import FilterError
from proxy.ops.pages.overview import lines, summaries
from proxy.ops.pages.report_access import Unavailability, read_reports
from proxy.ops.process_view import ProcessView
from proxy.ops.rendering import Endpoint, answer, error_page, filters
from proxy.ops.status import Current, RouteStatus
from proxy.reports.models import FieldKind, FieldSummary, RouteSummary, SampleHead, Span
from proxy.reports.reader import ReportReader

LISTED: Final = 50
"""Number of samples on a page."""
_KINDS: Final[tuple[FieldKind, ...]] = (*get_args(Kind), "violation")


@dataclass(frozen=True, slots=True)
class RouteView:
    """The report of a route. `samples` are those of `field` and `kind` if given; `route` is None if not in the file."""

    name: str
    route: RouteStatus | None
    span: Span
    verdict: Name | None
    field: str | None
    kind: FieldKind | None
    summary: RouteSummary
    fields: tuple[FieldSummary, ...]
    samples: tuple[SampleHead, ...]
    unavailable: Unavailability | None


def route(situation: ProcessView, current: Current) -> Endpoint:
    """Return the endpoint of a route's report."""

    async def show(request: Request) -> Response:
        chosen, status = filters(request), await current()
        name: str = request.path_params["route"]
        field, kind = request.query_params.get("field"), _kind(request)
        known, unavailable = await summaries(situation, chosen.span)
        line = next((line for line in lines(status.routes, known) if line.name == name), None)
        if line is None:
            return error_page(request, 404, "Route not found", f"Neither routing.yaml nor the reports have {name}.")

        async def differing(reports: ReportReader) -> tuple[tuple[FieldSummary, ...], tuple[SampleHead, ...]]:
            samples = await reports.samples(chosen.span, name, field, kind, chosen.verdict, LISTED)
            return await reports.fields(chosen.span, name), samples

        result = None
        if unavailable is None:
            result, unavailable = await read_reports(situation.database, differing)
        fields, samples = result or ((), ())
        view = RouteView(
            name, line.route, chosen.span, chosen.verdict, field, kind, line.summary, fields, samples, unavailable
        )
        return await answer(request, "route.html", view, area="/comparisons", filters=chosen)

    return show


def _kind(request: Request) -> FieldKind | None:
    given = request.query_params.get("kind") or None
    if given is not None and given not in _KINDS:
        raise FilterError(f"kind: must be one of {', '.join(_KINDS)}")
    return next((kind for kind in _KINDS if kind == given), None)

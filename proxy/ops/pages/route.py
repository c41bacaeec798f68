"""One route: where its sides differ, the worst first, and samples of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, get_args

from starlette.requests import Request
from starlette.responses import Response

from proxy.comparison.correspondence import Kind
from proxy.comparison.verdicts import Name
from proxy.ops.filters import FilterError
from proxy.ops.pages.overview import lines, summaries
from proxy.ops.pages.report_access import Unavailability, ask
from proxy.ops.process_view import ProcessView
from proxy.ops.rendering import Endpoint, answer, error_page, filters
from proxy.ops.status import Current, RouteStatus
from proxy.reports.models import FieldKind, FieldSummary, RouteSummary, SampleHead, Span
from proxy.reports.reader import ReportReader

LISTED: Final = 50
"""How many samples a page lists."""
_KINDS: Final[tuple[FieldKind, ...]] = (*get_args(Kind), "violation")


@dataclass(frozen=True, slots=True)
class RouteView:
    """`samples` are those of `field` and `kind` where asked for; `route` is None if the file has it no more."""

    name: str
    route: RouteStatus | None
    span: Span
    verdict: Name | None
    field: str | None
    kind: FieldKind | None
    seen: RouteSummary
    fields: tuple[FieldSummary, ...]
    samples: tuple[SampleHead, ...]
    away: Unavailability | None


def route(situation: ProcessView, current: Current) -> Endpoint:
    """The page of one route."""

    async def show(request: Request) -> Response:
        asked, status = filters(request), await current()
        name: str = request.path_params["route"]
        field, kind = request.query_params.get("field"), _kind(request)
        seen, away = await summaries(situation, asked.span)
        line = next((line for line in lines(status.routes, seen) if line.name == name), None)
        if line is None:
            return error_page(
                request, 404, "There is no such route", f"Neither routing.yaml nor the reports know {name}."
            )

        async def differing(kept: ReportReader) -> tuple[tuple[FieldSummary, ...], tuple[SampleHead, ...]]:
            samples = await kept.samples(asked.span, name, field, kind, asked.verdict, LISTED)
            return await kept.fields(asked.span, name), samples

        found, away = (None, away) if away else await ask(situation.database, differing)
        fields, samples = found or ((), ())
        view = RouteView(name, line.route, asked.span, asked.verdict, field, kind, line.seen, fields, samples, away)
        return await answer(request, "route.html", view, area="/", filters=asked)

    return show


def _kind(request: Request) -> FieldKind | None:
    given = request.query_params.get("kind") or None
    if given is not None and given not in _KINDS:
        raise FilterError(f"kind: one of {', '.join(_KINDS)}")
    return next((kind for kind in _KINDS if kind == given), None)

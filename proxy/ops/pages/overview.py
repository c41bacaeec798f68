"""The page of all routes with their shares and the results of comparisons."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, get_args

from starlette.requests import Request
from starlette.responses import Response

from proxy.comparison.verdicts import Name
from proxy.ops.pages.report_access import Unavailability, read_reports
from proxy.ops.process_view import ProcessView
from proxy.ops.rendering import Endpoint, answer, filters, wants_json
from proxy.ops.since_start import since_start
from proxy.ops.slices import in_thread
from proxy.ops.status import Current, RouteStatus, Status
from proxy.reports.coverage import Coverage, coverage_of
from proxy.reports.events import UNMATCHED
from proxy.reports.models import RouteSummary, Span
from proxy.reports.registry import count_states
from proxy.reports.summaries import total
from proxy.reports.triage import State

Sort = Literal["file", "attention", "mismatches", "requests", "name"]
SORTS: Final[tuple[Sort, ...]] = get_args(Sort)
MAX_LISTED: Final = 50
"""Number of routes on the page; its JSON has all."""


@dataclass(frozen=True, slots=True)
class RouteLine:
    """A route. `route` is None if the file no longer has it, and for `-` (requests that match no route)."""

    name: str
    route: RouteStatus | None
    summary: RouteSummary

    @property
    def coverage(self) -> Coverage:
        """Return the coverage of the requested comparisons."""
        return coverage_of(self.summary)


@dataclass(frozen=True, slots=True)
class Overview:
    """The first of the routes `matching` the filters. `total` is of all routes, regardless of the filters.

    `states` counts the differences of each route by state. With `unavailable` the numbers are this machine's since its
    start.
    """

    status: Status
    span: Span
    verdict: Name | None
    total: RouteSummary
    routes: tuple[RouteLine, ...]
    states: Mapping[str, Mapping[State, int]]
    matching: int
    query: str
    sort: Sort
    unavailable: Unavailability | None


def overview(process: ProcessView, current: Current) -> Endpoint:
    """Return the endpoint of the page of all routes."""

    async def show(request: Request) -> Response:
        chosen = filters(request)
        status = await current()
        all_trends = len(status.routes) <= MAX_LISTED
        (known, unavailable), states = await asyncio.gather(
            summaries(process, chosen.span, trend=all_trends), _states(process, chosen.span)
        )
        everything = list(lines(status.routes, known))
        query = request.query_params.get("q", "").strip()
        sort = _sort(request)
        shown = [one for one in everything if _has(one.summary, chosen.verdict) and query.lower() in one.name.lower()]
        listed = _sorted(shown, sort, states)[: len(shown) if wants_json(request) else MAX_LISTED]
        view = Overview(
            status=status,
            span=chosen.span,
            verdict=chosen.verdict,
            total=total([one.summary for one in everything]),
            routes=tuple(listed) if all_trends else await _with_trends(process, chosen.span, listed),
            states=states,
            matching=len(shown),
            query=query,
            sort=sort,
            unavailable=unavailable,
        )
        return await answer(request, "overview.html", view, area="/comparisons", filters=chosen, sorts=SORTS)

    return show


async def summaries(
    process: ProcessView, span: Span, route: str | None = None, revision: str | None = None, *, trend: bool = True
) -> tuple[Sequence[RouteSummary], Unavailability | None]:
    """Return the stored summaries of routes, or else this machine's counts since its start."""
    stored, unavailable = await read_reports(
        process.database, lambda reports: reports.routes(span, route, revision, trend=trend)
    )
    return (await in_thread(since_start) if stored is None else stored), unavailable


async def _with_trends(process: ProcessView, span: Span, listed: Sequence[RouteLine]) -> tuple[RouteLine, ...]:
    """Return the lines with the trends of their routes, which are read for these routes only."""
    names = [line.name for line in listed]
    trends, _ = await read_reports(process.database, lambda reports: reports.trends(span, names))
    known = trends or {}
    return tuple([replace(one, summary=replace(one.summary, trend=known.get(one.name, ()))) for one in listed])


async def _states(process: ProcessView, span: Span) -> dict[str, Counter[State]]:
    differences, _ = await read_reports(process.database, lambda reports: reports.differences(span))
    return count_states((differences or {}).values())


def _sort(request: Request) -> Sort:
    given = request.query_params.get("sort")
    return next((sort for sort in SORTS if sort == given), "file")


def _sorted(shown: Sequence[RouteLine], sort: Sort, states: Mapping[str, Mapping[State, int]]) -> list[RouteLine]:
    """Return the lines in order; `attention` begins with returned and new differences."""

    def attention(line: RouteLine) -> tuple[int, int]:
        counts = states.get(line.name, {})
        return -counts.get("returned", 0), -counts.get("new", 0)

    keys: dict[Sort, Callable[[RouteLine], Any]] = {
        "file": lambda line: 0,
        "attention": attention,
        "mismatches": lambda line: -(line.summary.different or 0.0),
        "requests": lambda line: -sum(line.summary.requests.values()),
        "name": lambda line: line.name,
    }
    return sorted(shown, key=keys[sort])


def lines(routes: Iterable[RouteStatus], summaries: Iterable[RouteSummary]) -> Iterator[RouteLine]:
    """Yield the file's routes in order, then the others by name."""
    known = {summary.route: summary for summary in summaries}
    for route in routes:
        yield RouteLine(route.name, route, known.pop(route.name, RouteSummary(route.name)))
    for name in sorted(known, key=lambda name: (name == UNMATCHED, name)):
        yield RouteLine(name, None, known[name])


def _has(summary: RouteSummary, verdict: Name | None) -> bool:
    counts: dict[Name | None, int] = {
        None: 1,
        "match": summary.match,
        "declared": summary.declared,
        "mismatch": summary.mismatch,
        "violation": summary.violation,
        "skipped": sum(summary.skipped.values()),
    }
    return counts[verdict] > 0

"""Every route with the shares of its sides, and what comparing them has shown."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from proxy.comparison.verdicts import Name, Reason
from proxy.ops.pages.report_access import Unavailability, ask
from proxy.ops.process_view import ProcessView
from proxy.ops.rendering import Endpoint, answer, filters
from proxy.ops.since_start import since_start
from proxy.ops.status import Current, RouteStatus, Status
from proxy.reports.events import UNMATCHED
from proxy.reports.models import RouteSummary, Span
from proxy.types import Backend


@dataclass(frozen=True, slots=True)
class RouteLine:
    """A route. `route` is None for one that the file no longer names, and for `-`, which is what no route matched."""

    name: str
    route: RouteStatus | None
    seen: RouteSummary


@dataclass(frozen=True, slots=True)
class Overview:
    """`total` is of the routes that are shown; `away` says why the numbers are this machine's own, since its start."""

    status: Status
    span: Span
    verdict: Name | None
    total: RouteSummary
    routes: tuple[RouteLine, ...]
    away: Unavailability | None


def overview(situation: ProcessView, current: Current) -> Endpoint:
    """The page of all routes."""

    async def show(request: Request) -> Response:
        asked = filters(request)
        seen, away = await summaries(situation, asked.span)
        status = await current()
        shown = [line for line in lines(status.routes, seen) if _has(line.seen, asked.verdict)]
        view = Overview(status, asked.span, asked.verdict, total([one.seen for one in shown]), tuple(shown), away)
        return await answer(request, "overview.html", view, area="/", filters=asked)

    return show


async def summaries(situation: ProcessView, span: Span) -> tuple[Sequence[RouteSummary], Unavailability | None]:
    """What was seen of routes: what is kept, else what this machine has counted since it started."""
    found, away = await ask(situation.database, lambda kept: kept.routes(span))
    return (await asyncio.to_thread(since_start) if found is None else found), away


def lines(routes: Iterable[RouteStatus], seen: Iterable[RouteSummary]) -> Iterator[RouteLine]:
    """The file's routes in their order, then the others by name."""
    known = {summary.route: summary for summary in seen}
    for route in routes:
        yield RouteLine(route.name, route, known.pop(route.name, RouteSummary(route.name)))
    for name in sorted(known, key=lambda name: (name == UNMATCHED, name)):
        yield RouteLine(name, None, known[name])


def total(summaries: Sequence[RouteSummary]) -> RouteSummary:
    """The sum of several routes, without a trend."""
    skipped, requests = Counter[Reason](), Counter[Backend]()
    for one in summaries:
        skipped.update(one.skipped)
        requests.update(one.requests)
    return RouteSummary(
        route="",
        match=sum(one.match for one in summaries),
        declared=sum(one.declared for one in summaries),
        mismatch=sum(one.mismatch for one in summaries),
        violation=sum(one.violation for one in summaries),
        skipped=dict(skipped),
        requests=dict(requests),
        dropped=sum(one.dropped for one in summaries),
    )


def _has(seen: RouteSummary, verdict: Name | None) -> bool:
    counts: dict[Name | None, int] = {
        None: 1,
        "match": seen.match,
        "declared": seen.declared,
        "mismatch": seen.mismatch,
        "violation": seen.violation,
        "skipped": sum(seen.skipped.values()),
    }
    return counts[verdict] > 0

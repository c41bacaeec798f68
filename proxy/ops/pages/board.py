"""The page `/`: progress of the migration, its problems, and each group with its next step."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from starlette.requests import Request
from starlette.responses import Response

from proxy.config.models import Route
from proxy.ops.board.alerts import SHADOW_FAILURES, Alert, BackendsHealth, Banner, alerts, banner
from proxy.ops.board.groups import GroupFacts, group_line
from proxy.ops.board.lines import STATES, GroupLine
from proxy.ops.board.migration import Migration, migration
from proxy.ops.fleet import FleetNumbers
from proxy.ops.formatting import CLOCK_TOLERANCE, duration
from proxy.ops.pages.overview import summaries
from proxy.ops.pages.report_access import Unavailability, read_reports
from proxy.ops.process_view import ProcessView
from proxy.ops.rendering import Endpoint, answer, wants_json
from proxy.ops.slices import in_slices
from proxy.ops.status import Current, Status
from proxy.reports.models import RouteSummary, Span
from proxy.reports.summaries import total
from proxy.reports.triage import TrackedDifference
from proxy.rollout.fleet import ProcessSnapshot
from proxy.rollout.model import state_key

SPAN: Final = 86_400.0
"""Length of the period, in seconds, in which the board counts requests and comparisons."""
MAX_LISTED: Final = 50
"""Number of groups on the page; its JSON has all."""
REFRESH_INTERVAL: Final = 5
"""Seconds between two refreshes of the page."""
Sort = Literal["problems", "name", "state", "share", "traffic"]
SORTS: Final[tuple[Sort, ...]] = ("problems", "name", "state", "share", "traffic")


@dataclass(frozen=True, slots=True)
class Board:
    """The board. `query` and `sort` choose and order the groups `matching`; all numbers above them are of all groups.

    `unavailable`: the reports cannot be read, and counts are this machine's since its start.
    """

    revision: str
    health: BackendsHealth
    legacy: str
    native: str
    migration: Migration
    alerts: tuple[Alert, ...]
    groups: tuple[GroupLine, ...]
    matching: int
    query: str
    sort: Sort
    shared: bool
    unavailable: Unavailability | None


def board(process: ProcessView, current: Current) -> Endpoint:
    """Return the endpoint of the board."""

    async def show(request: Request) -> Response:
        day = Span(time.time() - SPAN, time.time())
        known, unavailable = await summaries(process, day, trend=False)
        lines = await group_lines(process, {one.route: one for one in known})
        fleet = await process.fleet.read()
        differences = await _differences(process, day)
        view = _view(process, await current(), fleet, lines, request, unavailable, differences)
        return await answer(
            request, "board.html", view, area="/", period=period(request, REFRESH_INTERVAL), sorts=SORTS
        )

    return show


async def _differences(process: ProcessView, span: Span) -> tuple[TrackedDifference, ...]:
    differences, _ = await read_reports(process.database, lambda reports: reports.differences(span))
    return tuple((differences or {}).values())


def _view(
    process: ProcessView,
    status: Status,
    fleet: FleetNumbers,
    lines: Sequence[GroupLine],
    request: Request,
    unavailable: Unavailability | None,
    differences: Sequence[TrackedDifference],
) -> Board:
    health = backends_health(process, status, fleet)
    query = request.query_params.get("q", "").strip()
    chosen: Sort = next((sort for sort in SORTS if sort == request.query_params.get("sort")), "problems")
    matching = ordered((line for line in lines if has(line, query)), chosen)
    return Board(
        revision=status.revision,
        health=health,
        legacy=health.legacy,
        native=health.native,
        migration=migration(lines),
        alerts=alerts(lines, status.problems, status.revision, health, process.controller.now, differences),
        groups=tuple(matching[: len(matching) if wants_json(request) else MAX_LISTED]),
        matching=len(matching),
        query=query,
        sort=chosen,
        shared=process.controller.store.shared,
        unavailable=unavailable,
    )


def period(request: Request, seconds: int) -> int:
    """Return the seconds between two refreshes; 0 if the URL stops them."""
    return seconds if request.query_params.get("refresh") != "no" else 0


async def group_lines(process: ProcessView, known: Mapping[str, RouteSummary]) -> list[GroupLine]:
    """Return the lines of all groups, in the file's order. `known` are the reports' summaries by route."""
    groups, now = process.controller.groups, process.controller.now
    return [
        group_line(_facts(process, leader, groups.members(state_key(leader)), known), now)
        async for leader in in_slices(groups.leaders())
    ]


def _facts(
    process: ProcessView, leader: Route, members: Sequence[Route], known: Mapping[str, RouteSummary]
) -> GroupFacts:
    rollout = process.controller.describe(leader)
    return GroupFacts(
        name=leader.domain,
        routes=members,
        state=rollout.state,
        effective=rollout.effective,
        progress=rollout.progress,
        evidence=rollout.evidence,
        summary=_sum([known[route.name] for route in members if route.name in known]),
    )


def _sum(summaries: Sequence[RouteSummary]) -> RouteSummary:
    return summaries[0] if len(summaries) == 1 else total(summaries)


def backends_health(process: ProcessView, status: Status, fleet: FleetNumbers) -> BackendsHealth:
    """Return the health of both backends as observed by all processes."""
    others = fleet.members[1:]
    every = [one.health for one in fleet.members]
    ages = [one.age + one.health.revision_age for one in fleet.members if one.health.revision_age is not None]
    return BackendsHealth(
        legacy_reachable=status.legacy,
        legacy_down=sum(one.legacy_down for one in every),
        legacy_requests=fleet.legacy_requests,
        legacy_failures=fleet.legacy_failures,
        native_stopped=sum(not one.native_started for one in every),
        native_failing=sum(one.native_started and not one.native_healthy for one in every),
        processes=fleet.processes,
        state_unreachable=process.controller.unreachable,
        limits=(*status.limits_reached, *(f"{limit} ({one.name})" for one in others for limit in one.health.limits)),
        suspended=fleet.suspended,
        refused=tuple(f"{one.name}: {one.health.refused}" for one in others if one.health.refused),
        revisions=tuple(one.revision for one in every if one.revision),
        revision_age=min(ages, default=None),
        shadow_failing=sum(one.shadow_failures >= SHADOW_FAILURES for one in every),
        wrong_clocks=tuple(filter(None, map(_wrong_clock, fleet.members))),
        pin=process.gateway.snapshot.config.pin,
    )


def _wrong_clock(process: ProcessSnapshot) -> str:
    """Return a sentence if the clock of a process is wrong, otherwise an empty text."""
    ahead = process.clock_ahead
    if abs(ahead) < CLOCK_TOLERANCE:
        return ""
    return f"{process.name} is {duration(abs(ahead))} {'ahead of' if ahead > 0 else 'behind'} MongoDB's clock"


def current_banner(process: ProcessView) -> Banner | None:
    """Return the banner of all pages; None if no group is rolled back."""
    return banner(process.controller.caps())


def has(line: GroupLine, query: str) -> bool:
    """Return True if the group, one of its routes or its state contains the text."""
    return any(query.lower() in text.lower() for text in (line.name, *line.routes, line.state))


def ordered(lines: Iterable[GroupLine], sort: Sort) -> list[GroupLine]:
    """Return the groups in an order; equal ones stay in the order of the file."""
    severities = {"bad": 0, "warn": 1, "": 2}
    keys: dict[Sort, Callable[[GroupLine], Any]] = {
        "problems": lambda line: (severities[line.severity], STATES.index(line.state), not line.has_differences),
        "name": lambda line: line.name,
        "state": lambda line: STATES.index(line.state),
        "share": lambda line: -line.share,
        "traffic": lambda line: -line.requests,
    }
    return sorted(lines, key=keys[sort])

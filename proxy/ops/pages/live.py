"""The page of all routes now: shares, stages, both backends' numbers, guards.

The numbers are those of all processes over the guard's window. A guard uses only those of its own process; the worst
result of all processes is shown.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from starlette.requests import Request
from starlette.responses import Response

from proxy.config.models import Route
from proxy.ops.board.alerts import BackendsHealth
from proxy.ops.fleet import FleetNumbers
from proxy.ops.pages.board import backends_health
from proxy.ops.process_view import ProcessView
from proxy.ops.rendering import Endpoint, answer, wants_json
from proxy.ops.rollout_views import CapView, ProgressView
from proxy.ops.route_now import BackendNow, RouteNow
from proxy.ops.slices import in_slices
from proxy.ops.status import Current, Status
from proxy.rollout.controller import RouteRollout
from proxy.rollout.fleet import BackendTraffic, ProcessHealth, ProcessSnapshot
from proxy.rollout.model import ceiling

LiveSort = Literal["active", "file", "name", "traffic", "capped"]
SORTS: Final[tuple[LiveSort, ...]] = ("active", "file", "name", "traffic", "capped")
MAX_LISTED: Final = 40
"""Number of routes on the page; its JSON has all."""
REFRESH_INTERVAL: Final = 5
"""Seconds between two refreshes of the page."""
RECENT_SLICES: Final = 4
"""Number of slices of the window for the mean that is the current request rate."""


@dataclass(frozen=True, slots=True)
class MemberNow:
    """One process, `age` seconds ago; the first is the one that answers. `failing`: its routes whose guard fails."""

    name: str
    age: float
    in_flight: int
    health: ProcessHealth
    failing: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Live:
    """All routes, with the numbers of all `processes`.

    `shared`: replicas have the same shares. `unreachable`: the shared state cannot be reached now. `rate` and
    `native_rate` are requests per second of all routes; `capped` of `number` routes are capped. `routes` are the first
    of the `matching` ones.
    """

    status: Status
    processes: int
    members: tuple[MemberNow, ...]
    in_flight: int
    rate: float
    native_rate: float
    shared: bool
    unreachable: bool
    health: BackendsHealth
    capped: int
    number: int
    matching: int
    query: str
    sort: LiveSort
    routes: tuple[RouteNow, ...]


def live(process: ProcessView, current: Current) -> Endpoint:
    """Return the endpoint of the live page."""

    async def show(request: Request) -> Response:
        status, fleet = await current(), await process.fleet.read()
        view = await _view(process, status, fleet, request)
        period = REFRESH_INTERVAL if request.query_params.get("refresh") != "no" else 0
        active, idle = by_activity(view.routes)
        shown = {"active": active, "idle": idle, "period": period, "sorts": SORTS}
        return await answer(request, "live.html", view, area="/live", **shown)

    return show


async def _view(process: ProcessView, status: Status, fleet: FleetNumbers, request: Request) -> Live:
    controller, query = process.controller, request.query_params
    sort: LiveSort = next((sort for sort in SORTS if sort == query.get("sort")), "active")
    text = query.get("q", "").strip()
    routes = process.gateway.snapshot.config.routes
    requests = {route.name: fleet.requests(route.name) async for route in in_slices(routes)}
    capped = {route.name async for route in in_slices(routes) if controller.effective(route).by == "cap"}
    chosen = [route for route in routes if any(text.lower() in each.lower() for each in (route.name, route.match))]
    chosen.sort(key=_sort_key(sort, requests, capped))
    limit = len(chosen) if wants_json(request) else MAX_LISTED
    rates = [(*requests[route.name], controller.stats.of(route.name).window.span) for route in routes]
    return Live(
        status=status,
        processes=fleet.processes,
        members=tuple(map(_member, fleet.members)),
        in_flight=fleet.in_flight,
        rate=sum((legacy + native) / span for legacy, native, span in rates),
        native_rate=sum(native / span for _, native, span in rates),
        shared=controller.store.shared,
        unreachable=controller.unreachable,
        health=backends_health(process, status, fleet),
        capped=len(capped),
        number=len(routes),
        matching=len(chosen),
        query=text,
        sort=sort,
        routes=tuple([route_now(controller.describe(route), fleet) async for route in in_slices(chosen[:limit])]),
    )


def by_activity(routes: Iterable[RouteNow]) -> tuple[list[RouteNow], list[RouteNow]]:
    """Return the routes with requests or a capped group, and all others, which the page lists briefly."""
    active: list[RouteNow] = []
    idle: list[RouteNow] = []
    for route in sorted(routes, key=lambda route: not _has_requests(route)):
        is_shown = _has_requests(route) or (route.cap is not None and all(one.cap != route.cap for one in active))
        (active if is_shown else idle).append(route)
    return active, idle


def _has_requests(route: RouteNow) -> bool:
    return bool(route.native.requests or route.legacy.requests)


def _sort_key(
    sort: LiveSort, requests: Mapping[str, tuple[int, int]], capped: Collection[str]
) -> Callable[[Route], tuple[int, str]]:
    """Return the key of a sort order. Routes with equal keys stay in the order of the file."""
    keys: dict[LiveSort, Callable[[Route], tuple[int, str]]] = {
        "active": lambda route: (0 if route.name in capped else 1 if any(requests[route.name]) else 2, ""),
        "file": lambda _: (0, ""),
        "name": lambda route: (0, route.name),
        "traffic": lambda route: (-sum(requests[route.name]), ""),
        "capped": lambda route: (route.name not in capped, ""),
    }
    return keys[sort]


def _member(one: ProcessSnapshot) -> MemberNow:
    failing = tuple(name for name, guard in one.guards.items() if guard.outcome == "fail")
    return MemberNow(one.name, one.age, one.in_flight, one.health, failing)


def route_now(rollout: RouteRollout, fleet: FleetNumbers) -> RouteNow:
    """Return the view of a route with the traffic and the guards of all processes."""
    route, state = rollout.route, rollout.state
    traffic = fleet.route(route.name)
    guard = fleet.guard(route.name, rollout.analysis)
    return RouteNow(
        name=route.name,
        match=route.match,
        file=ceiling(route) / 100,
        effective=rollout.effective.share / 100,
        by=rollout.effective.by,
        reason=rollout.effective.reason,
        version=state.version,
        progress=ProgressView.of(rollout.progress, ceiling(route)),
        paused=state.paused,
        missed=state.missed,
        cap=CapView.of(state.cap, rollout.now),
        guard=guard.analysis if guard is not None else None,
        guard_processes=guard.processes if guard is not None else (),
        window=rollout.stats.window.span,
        legacy=_backend(traffic.legacy),
        native=_backend(traffic.native),
    )


def _backend(traffic: BackendTraffic) -> BackendNow:
    total, recent = traffic.total, traffic.rates[-RECENT_SLICES:]
    p50, p95, p99 = total.percentiles(0.5, 0.95, 0.99)
    return BackendNow(
        rate=sum(recent) / len(recent) if recent else 0.0,
        requests=total.requests,
        errors=total.errors,
        server_errors=total.server_errors,
        p50=p50,
        p95=p95,
        p99=p99,
        rates=traffic.rates,
        slowest=traffic.slowest,
    )

"""The page of all routes now: shares, stages, both backends' numbers, guards.

The numbers are those of all processes over the guard's window; a guard judges by those of its own process.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from proxy.ops.process_view import ProcessView
from proxy.ops.rendering import Endpoint, answer
from proxy.ops.rollout_views import CapView, ProgressView
from proxy.ops.status import Current, Status
from proxy.rollout.analysis.analysis import Analysis
from proxy.rollout.controller import RouteRollout
from proxy.rollout.fleet import BackendTraffic, RouteTraffic
from proxy.rollout.model import Attribution, ceiling
from proxy.rollout.shares import LimitedBy

PERIOD: Final = 5
"""Seconds between two refreshes of the page."""
RECENT: Final = 4
"""Number of slices of the window that the current request rate is the mean of."""


@dataclass(frozen=True, slots=True)
class BackendNow:
    """One backend of a route. `rate` is the current number of requests per second; the rest is of the whole window.

    Latencies are in seconds. `rates` and `slowest` are of the window's slices, oldest first: requests per second, and
    the 95th percentile, None without requests.
    """

    rate: float
    requests: int
    errors: int
    server_errors: int
    p50: float | None
    p95: float | None
    p99: float | None
    rates: tuple[float, ...]
    slowest: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class RouteNow:
    """One route. `file` and `effective` are shares in percent; `by` is what limits the latter, `reason` explains it.

    `version` identifies this state: an action may be limited to it. `window` is in seconds.
    """

    name: str
    match: str
    file: float
    effective: float
    by: LimitedBy
    reason: str
    version: int
    progress: ProgressView | None
    paused: Attribution | None
    missed: Attribution | None
    cap: CapView | None
    guard: Analysis | None
    window: float
    legacy: BackendNow
    native: BackendNow


@dataclass(frozen=True, slots=True)
class Live:
    """All routes, with the numbers of all `processes`.

    `shared`: replicas have the same shares. `unreachable`: the shared state cannot be reached now.
    `legacy_down`: the circuit breaker is open. `healthy`: native passes its health checks.
    """

    status: Status
    processes: int
    in_flight: int
    shared: bool
    unreachable: bool
    legacy_down: bool
    healthy: bool
    routes: tuple[RouteNow, ...]


def live(situation: ProcessView, current: Current) -> Endpoint:
    """Return the endpoint of the live page."""

    async def show(request: Request) -> Response:
        controller, status = situation.controller, await current()
        routes = situation.gateway.plan.config.routes
        fleet = await situation.fleet.read()
        views = tuple(route_now(controller.describe(route), fleet.route(route.name)) for route in routes)
        backends = controller.legacy_down, controller.healthy
        view = Live(
            status, fleet.processes, fleet.in_flight, controller.store.shared, controller.unreachable, *backends, views
        )
        period = PERIOD if request.query_params.get("refresh") != "no" else 0
        return await answer(request, "live.html", view, area="/live", period=period)

    return show


def route_now(rollout: RouteRollout, traffic: RouteTraffic) -> RouteNow:
    """Return the view of a route with the traffic of all processes."""
    route, state = rollout.route, rollout.state
    return RouteNow(
        name=route.name,
        match=route.match,
        file=ceiling(route) / 100,
        effective=rollout.effective.share / 100,
        by=rollout.effective.by,
        reason=rollout.effective.reason,
        version=state.version,
        progress=ProgressView.of(rollout.progress),
        paused=state.paused,
        missed=state.missed,
        cap=CapView.of(state.cap),
        guard=rollout.analysis,
        window=rollout.stats.window.span,
        legacy=_backend(traffic.legacy),
        native=_backend(traffic.native),
    )


def _backend(traffic: BackendTraffic) -> BackendNow:
    total, recent = traffic.total, traffic.rates[-RECENT:]
    return BackendNow(
        rate=sum(recent) / len(recent) if recent else 0.0,
        requests=total.requests,
        errors=total.errors,
        server_errors=total.server_errors,
        p50=total.percentile(0.5),
        p95=total.percentile(0.95),
        p99=total.percentile(0.99),
        rates=traffic.rates,
        slowest=traffic.slowest,
    )

"""Every route as it is now: its share and why, its stage, what both sides did lately, what the guard says.

The numbers are those of the process that answers, over the guard's window.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from proxy.ops.process_view import ProcessView
from proxy.ops.rendering import Endpoint, answer
from proxy.ops.status import Current, Status
from proxy.rollout.analysis.analysis import Analysis
from proxy.rollout.analysis.window import RequestStats, Window
from proxy.rollout.controller import RouteRollout
from proxy.rollout.model import Attribution, Cap, ceiling
from proxy.rollout.progress import Progress
from proxy.rollout.shares import LimitedBy

PERIOD: Final = 5
"""Seconds until the page is renewed."""
LATELY: Final = 4
"""How many slices of the window requests per second are told of."""


@dataclass(frozen=True, slots=True)
class BackendNow:
    """One side of a route. `rate` is requests a second just now, the rest is of the whole window; latencies in seconds.

    `rates` and `slowest` are those of the window's slices, the oldest first: requests a second, and the 95th
    percentile, None where there were no requests.
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
    """One route. `file` and `effective` are shares in percent; `by` is what limits the latter, `why` says it in words.

    `version` names this state of the route, for whoever wants to change it and nothing newer. `window` is in seconds.
    """

    name: str
    match: str
    file: float
    effective: float
    by: LimitedBy
    reason: str
    version: int
    progress: Progress | None
    paused: Attribution | None
    missed: Attribution | None
    cap: Cap | None
    guard: Analysis | None
    window: float
    legacy: BackendNow
    native: BackendNow


@dataclass(frozen=True, slots=True)
class Live:
    """`shared`: other replicas have the same shares. `away`: what they share is out of reach just now.

    `legacy_down`: legacy accepted no connection several times in a row. `healthy`: native answers its health checks.
    """

    status: Status
    process: int
    shared: bool
    away: bool
    legacy_down: bool
    healthy: bool
    routes: tuple[RouteNow, ...]


def live(situation: ProcessView, current: Current) -> Endpoint:
    """The page of all routes."""

    async def show(request: Request) -> Response:
        controller, status = situation.controller, await current()
        routes = situation.gateway.plan.config.routes
        found = tuple(route_now(controller.describe(route)) for route in routes)
        backends = controller.legacy_down, controller.healthy
        view = Live(status, os.getpid(), controller.store.shared, controller.unreachable, *backends, found)
        period = PERIOD if request.query_params.get("renew") != "no" else 0
        return await answer(request, "live.html", view, area="/live", period=period)

    return show


def route_now(rollout: RouteRollout) -> RouteNow:
    """A route for people."""
    route, state, window = rollout.route, rollout.state, rollout.stats.window
    seen, ended = window.total(), window.slices()
    return RouteNow(
        name=route.name,
        match=route.match,
        file=ceiling(route) / 100,
        effective=rollout.effective.share / 100,
        by=rollout.effective.by,
        reason=rollout.effective.reason,
        version=state.version,
        progress=rollout.progress,
        paused=state.paused,
        missed=state.missed,
        cap=state.cap,
        guard=rollout.analysis,
        window=window.span,
        legacy=_backend(seen.legacy, [one.legacy for one in ended], window),
        native=_backend(seen.native, [one.native for one in ended], window),
    )


def _backend(seen: RequestStats, ended: Sequence[RequestStats], window: Window) -> BackendNow:
    rates = tuple(one.requests / window.seconds for one in ended)
    lately = rates[-LATELY:]
    return BackendNow(
        rate=sum(lately) / len(lately),
        requests=seen.requests,
        errors=seen.errors,
        server_errors=seen.server_errors,
        p50=seen.percentile(0.5),
        p95=seen.percentile(0.95),
        p99=seen.percentile(0.99),
        rates=rates,
        slowest=tuple(one.percentile(0.95) for one in ended),
    )

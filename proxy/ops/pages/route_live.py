"""The live page of one route: its share over time, its rollout, its guard, and both backends' numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from proxy.config.models import Route
from proxy.database.database import DatabaseError
from proxy.ops.pages.board import period
from proxy.ops.pages.live import REFRESH_INTERVAL, route_now
from proxy.ops.process_view import ProcessView
from proxy.ops.rendering import Endpoint, answer, error_page
from proxy.ops.rollout_views import ChangeView
from proxy.ops.route_now import RouteNow
from proxy.ops.share_chart import ShareChart, share_chart
from proxy.rollout.model import HistoryQuery, state_key

MAX_CHARTED: Final = 200
"""Maximum number of changes in the chart of a share."""


@dataclass(frozen=True, slots=True)
class RouteLive:
    """A route now, or a group by its first `route`. `name` is that of the route or of the group.

    `group` are the routes with the same state. `stages` are in percent, `bake_time` in seconds.
    """

    name: str
    route: RouteNow
    group: tuple[str, ...]
    stages: tuple[float, ...]
    bake_time: float | None
    approve: bool
    chart: ShareChart
    changes: tuple[ChangeView, ...]


def route_live(process: ProcessView) -> Endpoint:
    """Return the endpoint of a route's live page."""

    async def show(request: Request) -> Response:
        route = named(process, request)
        if route is None:
            return unknown_route(process, request)
        view = await live_view(process, route, request.path_params["route"])
        return await answer(request, "route_live.html", view, area="/", period=period(request, REFRESH_INTERVAL))

    return show


async def live_view(process: ProcessView, route: Route, name: str) -> RouteLive:
    """Return the view of a route, or of its group if `name` is that of the group."""
    controller, rollout = process.controller, route.rollout
    described = controller.describe(route)
    stages = tuple(stage / 100 for stage in rollout.stages) if rollout else ()
    try:
        history = await controller.store.history(MAX_CHARTED, HistoryQuery(route.domain))
    except DatabaseError:
        history = ()
    changes = tuple(map(ChangeView.of, history))
    return RouteLive(
        name=name,
        route=route_now(described, await process.fleet.read()),
        group=tuple(member.name for member in controller.groups.members(state_key(route))),
        stages=stages,
        bake_time=rollout.bake_time_of(described.progress.stage) if rollout and described.progress else None,
        approve=rollout.approve if rollout else False,
        chart=share_chart(changes, described.effective.share / 100, stages, described.now),
        changes=changes,
    )


def named(process: ProcessView, request: Request) -> Route | None:
    """Return the route of the path, or one of the group of that name."""
    return process.controller.groups.find(request.path_params["route"])


def unknown_route(process: ProcessView, request: Request) -> Response:
    """Render the error for an unknown route."""
    missing = process.controller.groups.missing(request.path_params["route"])
    return error_page(request, 404, "Route not found", f"routing.yaml has {missing}")

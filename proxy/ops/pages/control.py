"""The page of one route's share, and its actions: promote, pause, resume, rollback, ack.

Actions are POST requests with a `reason` and the hidden fields of the page's forms. The actor is the session's user; a
client with the bearer token names it (`actor`). `version`, where given, is the version of the state that the page
showed: an action on another version is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route as Path

from proxy.config.field_types import read_share
from proxy.config.models import Route
from proxy.ops.access import Principal, principal_of
from proxy.ops.pages.live import RouteNow, route_now
from proxy.ops.pages.session import FOREIGN_FORM, read_form
from proxy.ops.process_view import ProcessView
from proxy.ops.rendering import answer, error_page, paged, wants_json
from proxy.rollout import actions
from proxy.rollout.actions import Step
from proxy.rollout.model import AuditEntry
from proxy.rollout.transitions import Refused
from proxy.runtime.database import DatabaseError

LISTED: Final = 20
"""Number of changes shown on a route's page."""
Form = Mapping[str, str]

_STEPS: Final[Mapping[str, Callable[[Form], Step]]] = {
    "promote": lambda form: actions.promote,
    "pause": lambda form: actions.pause,
    "resume": lambda form: actions.resume,
    "rollback": lambda form: actions.rollback(read_share(form.get("share", "0"))),
    "ack": lambda form: actions.ack(at_once=form.get("at_once") == "yes"),
}


@dataclass(frozen=True, slots=True)
class Control:
    """A route with its actions. `stages` are in percent, `bake_time` in seconds; `lower`: shares of a rollback."""

    route: RouteNow
    stages: tuple[float, ...]
    bake_time: float | None
    approve: bool
    lower: tuple[str, ...]
    changes: tuple[AuditEntry, ...]


def control_routes(situation: ProcessView) -> list[Path]:
    """Return the routes of a route's page and of its actions."""

    async def show(request: Request) -> Response:
        route = _named(situation, request)
        if route is None:
            return _unknown(request)
        return await answer(request, "control.html", await _view(situation, route), area="/live")

    async def act(request: Request) -> Response:
        form, principal = await read_form(request), principal_of(request)
        if not principal.may_change:
            return error_page(request, 403, "Nothing was changed", _denial(principal))
        if not principal.has_sent(form.get("form", "")):
            return error_page(request, 403, "Nothing was changed", FOREIGN_FORM)
        name, step = request.path_params["route"], request.path_params["step"]
        if step not in _STEPS or _named(situation, request) is None:
            return _unknown(request)
        return await _done(situation, request, name, step, form, principal)

    return [*paged("/live/{route}", show), Path("/live/{route}/{step}", act, methods=["POST"])]


def _denial(principal: Principal) -> str:
    return "The viewer token does not allow it." if principal.may_triage else "OPS_TOKEN is not set."


async def _done(
    situation: ProcessView, request: Request, name: str, step: str, form: Form, principal: Principal
) -> Response:
    try:
        expected = int(form["version"]) if form.get("version") else None
        person = principal.name or form.get("actor", "")
        state = await situation.controller.act(
            name, _STEPS[step](form), person, form.get("reason", ""), expected_version=expected
        )
    except ValueError as error:
        return error_page(request, 400, "Nothing was changed", str(error))
    except Refused as refusal:
        return error_page(request, 409, "Nothing was changed", str(refusal))
    except DatabaseError as error:
        return error_page(request, 503, "Nothing was changed", str(error))
    if wants_json(request):
        return JSONResponse({"route": name, "version": state.version, "share": state.change.after / 100})
    return RedirectResponse(f"/live/{name}", 303)


async def _view(situation: ProcessView, route: Route) -> Control:
    controller, rollout = situation.controller, route.rollout
    now = controller.describe(route)
    stages = rollout.stages if rollout else ()
    lower = sorted({0, *(stage for stage in stages if stage < now.effective.share)})
    try:
        changes = await controller.store.history(LISTED, route.domain)
    except DatabaseError:
        changes = ()
    return Control(
        route=route_now(now),
        stages=tuple(stage / 100 for stage in stages),
        bake_time=rollout.bake_time if rollout else None,
        approve=rollout.approve if rollout else False,
        lower=tuple(f"{share / 100:g}%" for share in lower),
        changes=changes,
    )


def _named(situation: ProcessView, request: Request) -> Route | None:
    name = request.path_params["route"]
    return next((route for route in situation.gateway.plan.config.routes if route.name == name), None)


def _unknown(request: Request) -> Response:
    return error_page(request, 404, "Route not found", "routing.yaml has no route of that name.")

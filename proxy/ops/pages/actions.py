"""The actions on one route's share: promote, pause, resume, rollback, ack.

Actions are POST requests with a `reason` and the hidden fields of the page's forms. The actor is the session's user; a
client with the bearer token names it (`actor`). `version`, if given, is the version of the state that the page showed:
an action on another version is refused. The page of a refusal retains the entered values.
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
from proxy.database.database import DatabaseError
from proxy.ops.access import Principal, principal_of
from proxy.ops.pages.live import route_now
from proxy.ops.pages.route_live import named, unknown_route
from proxy.ops.pages.session import FOREIGN_FORM, NOTHING_CHANGED, read_form, refused_form
from proxy.ops.process_view import ProcessView
from proxy.ops.rendering import answer, error_page, paged, wants_json
from proxy.ops.route_now import RouteNow
from proxy.rollout import actions
from proxy.rollout.actions import Step
from proxy.rollout.model import state_key
from proxy.rollout.transitions import Refused
from proxy.types import BasisPoints

Form = Mapping[str, str]

_STEPS: Final[Mapping[str, Callable[[Form], Step]]] = {
    "promote": lambda form: actions.promote if form.get("version") else actions.promotion(_stage(form)),
    "pause": lambda form: actions.pause,
    "resume": lambda form: actions.resume,
    "rollback": lambda form: actions.rollback(read_share(form.get("share", "0"))),
    "ack": lambda form: actions.ack(at_once=form.get("at_once") == "yes"),
}


def _stage(form: Form) -> BasisPoints | None:
    """Return the stage that a form without a version names. Raises ValueError."""
    return read_share(form["to"]) if form.get("to") else None


@dataclass(frozen=True, slots=True)
class Refusal:
    """An action that was refused: its name, the reason of the refusal, and the reason that the person entered."""

    step: str
    message: str
    entered: str
    status: int = 409


@dataclass(frozen=True, slots=True)
class RouteActions:
    """A route, or a group by its first `route`, with its actions. `name` is that of the route or of the group.

    `group`: the routes on which the actions act. `lower`: the shares for a rollback.
    """

    name: str
    route: RouteNow
    group: tuple[str, ...]
    lower: tuple[str, ...]
    refusal: Refusal | None = None


def action_routes(process: ProcessView) -> list[Path]:
    """Return the routes of the page of actions, and of the actions."""

    async def show(request: Request) -> Response:
        route = named(process, request)
        if route is None:
            return unknown_route(process, request)
        view = await _view(process, route, request.path_params["route"])
        return await answer(request, "actions.html", view, area="/")

    async def act(request: Request) -> Response:
        form, principal = await read_form(request), principal_of(request)
        if not principal.may_change:
            return refused_form(request, form, 403, _denial(principal))
        if not principal.has_sent(form.get("form", "")):
            return refused_form(request, form, 403, FOREIGN_FORM)
        route, step = named(process, request), request.path_params["step"]
        if step not in _STEPS or route is None:
            return unknown_route(process, request)
        refusal = await _carry_out(process, request.path_params["route"], step, form, principal)
        return await _respond(process, request, route, refusal)

    return [*paged("/routes/{route}/actions", show), Path("/routes/{route}/{step}", act, methods=["POST"])]


def _denial(principal: Principal) -> str:
    if principal.is_signed_in:
        return f"`ops.operators` in routing.yaml does not name {principal.name}."
    return "The viewer token does not allow it." if principal.may_triage else "OPS_TOKEN is not set."


async def _carry_out(process: ProcessView, name: str, step: str, form: Form, principal: Principal) -> Refusal | None:
    reason = form.get("reason", "")
    try:
        expected = int(form["version"]) if form.get("version") else None
        actor = principal.name or form.get("actor", "")
        await process.controller.act(name, _STEPS[step](form), actor, reason, expected_version=expected)
    except ValueError as error:
        return Refusal(step, str(error), reason, 400)
    except Refused as refusal:
        return Refusal(step, str(refusal), reason, 409)
    except DatabaseError as error:
        return Refusal(step, str(error), reason, 503)
    return None


async def _respond(process: ProcessView, request: Request, route: Route, refusal: Refusal | None) -> Response:
    name = request.path_params["route"]
    if refusal is None and wants_json(request):
        state = process.controller.describe(route).state
        return JSONResponse({"route": route.name, "version": state.version, "share": state.change.after / 100})
    if refusal is None:
        return RedirectResponse(f"/routes/{name}/live", 303)
    if wants_json(request):
        return error_page(request, refusal.status, NOTHING_CHANGED, refusal.message)
    response = await answer(request, "actions.html", await _view(process, route, name, refusal), area="/")
    response.status_code = refusal.status
    return response


async def _view(process: ProcessView, route: Route, name: str, refusal: Refusal | None = None) -> RouteActions:
    fleet = await process.fleet.read()
    now = process.controller.describe(route)
    stages = route.rollout.stages if route.rollout else ()
    lower = sorted({0, *(stage for stage in stages if stage < now.effective.share)})
    group = tuple(member.name for member in process.controller.groups.members(state_key(route)))
    return RouteActions(name, route_now(now, fleet), group, tuple(f"{share / 100:g}%" for share in lower), refusal)

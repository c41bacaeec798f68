"""The history of shares and of the configuration, newest first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from proxy.ops.pages.report_access import Unavailability
from proxy.ops.process_view import ProcessView
from proxy.ops.rendering import Endpoint, answer
from proxy.rollout.model import AuditEntry
from proxy.rollout.store import Store
from proxy.runtime.database import DatabaseError

LISTED: Final = 200
UNREACHABLE: Final = Unavailability(
    "MongoDB is unreachable", "The history is stored there, and is shown again when it is back.", fault=True
)
ALONE: Final = Unavailability("No MongoDB", "The history is this gateway's alone, and begins at its start.")


@dataclass(frozen=True, slots=True)
class History:
    """Entries of the history. `route` is the chosen one, empty for all routes and the configuration."""

    route: str
    changes: tuple[AuditEntry, ...]
    unavailable: Unavailability | None


def history(situation: ProcessView) -> Endpoint:
    """Return the endpoint of the history."""

    async def show(request: Request) -> Response:
        route = request.query_params.get("route", "")
        view = await _history(situation.controller.store, route)
        return await answer(request, "history.html", view, area="/history")

    return show


async def _history(store: Store, route: str) -> History:
    try:
        changes = await store.history(LISTED, route)
    except DatabaseError:
        return History(route, (), UNREACHABLE)
    return History(route, changes, None if store.shared else ALONE)

"""What became of shares and of the file, by whom and why, the newest first."""

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
AWAY: Final = Unavailability(
    "MongoDB is away", "What happened before is in it, and shows again when it is back.", fault=True
)
ALONE: Final = Unavailability(
    "Nobody else knows", "Without a MongoDB this is what this gateway has seen since it began."
)


@dataclass(frozen=True, slots=True)
class History:
    """`route` is the one that was asked for, empty for all and the file."""

    route: str
    changes: tuple[AuditEntry, ...]
    away: Unavailability | None


def history(situation: ProcessView) -> Endpoint:
    """The page of what happened."""

    async def show(request: Request) -> Response:
        route = request.query_params.get("route", "")
        view = await _history(situation.controller.store, route)
        return await answer(request, "history.html", view, area="/history")

    return show


async def _history(store: Store, route: str) -> History:
    try:
        changes = await store.history(LISTED, route)
    except DatabaseError:
        return History(route, (), AWAY)
    return History(route, changes, None if store.shared else ALONE)

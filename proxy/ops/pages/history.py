"""What became of shares and of the file, by whom and why, the newest first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from proxy.database import DatabaseError
from proxy.ops.pages.kept import Away
from proxy.ops.rendering import Endpoint, answer
from proxy.ops.situation import Situation
from proxy.state.model import Change
from proxy.state.store import Store

LISTED: Final = 200
AWAY: Final = Away("MongoDB is away", "What happened before is in it, and shows again when it is back.", fault=True)
ALONE: Final = Away("Nobody else knows", "Without a MongoDB this is what this gateway has seen since it began.")


@dataclass(frozen=True, slots=True)
class History:
    """`route` is the one that was asked for, empty for all and the file."""

    route: str
    changes: tuple[Change, ...]
    away: Away | None


def history(situation: Situation) -> Endpoint:
    """The page of what happened."""

    async def show(request: Request) -> Response:
        route = request.query_params.get("route", "")
        view = await _history(situation.keeper.store, route)
        return await answer(request, "history.html", view, area="/history")

    return show


async def _history(store: Store, route: str) -> History:
    try:
        changes = await store.history(LISTED, route)
    except DatabaseError:
        return History(route, (), AWAY)
    return History(route, changes, None if store.shared else ALONE)

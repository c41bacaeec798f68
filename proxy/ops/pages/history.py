"""The history of shares and of the configuration, newest first: all of it, and that of one route."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from proxy.database.database import DatabaseError
from proxy.ops.pages.report_access import Unavailability
from proxy.ops.pages.route_live import named, unknown_route
from proxy.ops.process_view import ProcessView
from proxy.ops.rendering import Endpoint, answer
from proxy.ops.rollout_views import ChangeView
from proxy.rollout.model import HistoryQuery
from proxy.rollout.store import Store

PAGE_SIZE: Final = 50
"""Entries of a page."""
MAX_PAGE_SIZE: Final = 1000
MAX_SKIPPED: Final = 100_000
UNREACHABLE: Final = Unavailability(
    "MongoDB is unreachable", "The history is stored there, and is shown again when it is back.", fault=True
)
ALONE: Final = Unavailability("No MongoDB", "The history is this gateway's alone, and begins at its start.")


@dataclass(frozen=True, slots=True)
class HistoryFilters:
    """Filters of the history, from the URL; `route` may be a group. For `until` and `skip` see `HistoryQuery`."""

    route: str = ""
    kind: str = ""
    actor: str = ""
    until: float | None = None
    skip: int = 0
    limit: int = PAGE_SIZE

    @classmethod
    def of(cls, request: Request, route: str = "") -> HistoryFilters:
        """Return the filters of a URL; values that are not numbers are ignored."""
        query = request.query_params
        try:
            until = float(query["until"])
        except (KeyError, ValueError):
            until = None
        return cls(
            *(route or query.get("route", ""), query.get("kind", ""), query.get("actor", "")),
            until if until is None or math.isfinite(until) else None,
            min(_number(query.get("skip", ""), 0), MAX_SKIPPED),
            max(1, min(_number(query.get("limit", ""), PAGE_SIZE), MAX_PAGE_SIZE)),
        )

    def query(self, group: str) -> HistoryQuery:
        """Return the query of the store; `group` is the group of the route."""
        return HistoryQuery(group, self.kind, self.actor, self.until, self.skip)

    def url_query(self, following: HistoryQuery) -> str:
        """Return the URL's query of a next page."""
        limit = "" if self.limit == PAGE_SIZE else str(self.limit)
        given = {"route": self.route, "kind": self.kind, "actor": self.actor, "limit": limit}
        until = {"until": repr(following.until), "skip": str(following.skip)}
        return urlencode({name: value for name, value in given.items() if value} | until)


@dataclass(frozen=True, slots=True)
class History:
    """Entries of the history. `older` is the query of the next page; empty on the last.

    `unknown`: a message if neither routing.yaml nor the history has the route of the filters, otherwise empty.
    """

    filters: HistoryFilters
    changes: tuple[ChangeView, ...]
    older: str
    unavailable: Unavailability | None
    unknown: str = ""


def history(process: ProcessView) -> Endpoint:
    """Return the endpoint of the history."""

    async def show(request: Request) -> Response:
        filters, groups = HistoryFilters.of(request), process.controller.groups
        route = groups.find(filters.route) if filters.route else None
        group = route.domain if route is not None else filters.route
        view = await _history(process.controller.store, filters, group)
        if filters.route and route is None and not view.changes:
            view = replace(view, unknown=f"routing.yaml has {groups.missing(filters.route)}")
        return await answer(request, "history.html", view, area="/history")

    return show


def route_history(process: ProcessView) -> Endpoint:
    """Return the endpoint of a route's history."""

    async def show(request: Request) -> Response:
        route = named(process, request)
        if route is None:
            return unknown_route(process, request)
        view = await _history(process.controller.store, HistoryFilters.of(request, route.name), route.domain)
        return await answer(request, "route_history.html", view, area="/", name=route.name)

    return show


async def _history(store: Store, filters: HistoryFilters, group: str) -> History:
    try:
        entries = await store.history(filters.limit + 1, filters.query(group))
    except DatabaseError:
        return History(filters, (), "", UNREACHABLE)
    shown = entries[: filters.limit]
    older = filters.url_query(filters.query(group).after(shown)) if len(entries) > filters.limit else ""
    return History(filters, tuple(map(ChangeView.of, shown)), older, None if store.shared else ALONE)


def _number(text: str, default: int) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else default

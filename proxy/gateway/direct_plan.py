"""Plans of requests that only legacy answers. A plan holds all that depends on the head and the client's address only.

A plan is made once for a head that recurs, and is used for all requests with it until a configuration or a share
changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Final, NamedTuple

from proxy.config.inheritance import SAFE
from proxy.gateway import bucketing
from proxy.gateway.cookies import cookie_value
from proxy.gateway.origin import RequestOrigin
from proxy.gateway.routing import Match
from proxy.gateway.snapshot import RoutingSnapshot
from proxy.gateway.starting import StartRequest
from proxy.server.request_head import RequestHead
from proxy.server.scopes import raw_path_of

CACHED: Final = 1024
"""Maximum number of cached plans."""


class DirectPlan(NamedTuple):
    """The routing of a request that only legacy answers; `start` sends it. `may_shadow`: it may be mirrored."""

    snapshot: RoutingSnapshot
    match: Match | None
    limit: bucketing.Limit
    decision: bucketing.Decision
    origin: RequestOrigin
    start: StartRequest
    may_shadow: bool


class DirectPlanner:
    """Planner of requests under one snapshot and the limits of its routes. `shadows`: routes may have a shadow."""

    def __init__(self, snapshot: RoutingSnapshot, limits: Mapping[str, bucketing.Limit], *, shadows: bool) -> None:
        self.snapshot, self.limits, self._shadows = snapshot, limits, shadows
        self._recurring: Final = lru_cache(maxsize=CACHED)(self._plan)

    def plan(self, head: RequestHead, peer: str | None, scheme: str, root_path: str = "") -> DirectPlan | None:
        """Return the plan of a request without a body; None if it cannot be passed to legacy immediately.

        `peer` is the address of the connection's peer, None on a Unix socket; `root_path` precedes the target's path.
        """
        return (self._recurring if head.recurs else self._plan)(head, peer, scheme, root_path)

    def _plan(self, head: RequestHead, peer: str | None, scheme: str, root_path: str) -> DirectPlan | None:
        snapshot = self.snapshot
        match = snapshot.match(head.method, head.headers, raw_path_of(head.target, root_path))
        route = match.route if match is not None else None
        limit = self.limits.get(route.name, bucketing.UNLIMITED) if route is not None else bucketing.UNLIMITED
        decision = snapshot.settled_decision(route, limit)
        if decision is None or decision.backend != "legacy" or snapshot.prepare is None:
            return None
        may_shadow = self._shadows and match is not None and match.may_shadow
        if (may_shadow and head.method not in SAFE) or (match is not None and self._needs_cookie(match, head)):
            return None
        origin = snapshot.resolver.resolve(head.headers, peer, scheme)
        timeouts = snapshot.timeouts.get(route.name) if route is not None else None
        start = snapshot.prepare(head.method, head.target, origin.passed, timeouts)
        return DirectPlan(snapshot, match, limit, decision, origin, start, may_shadow) if start is not None else None

    def _needs_cookie(self, match: Match, head: RequestHead) -> bool:
        """Return True for a caller without the sticky cookie, which the answer sets."""
        cookie = self.snapshot.config.bucketing.cookie
        return cookie is not None and not match.preflight and not cookie_value(head.headers, cookie.name)

"""The shares in force in this process, shared by guard evaluator, synchroniser and follower.

A state comes from the store or from this process: a cap that is set here, by the guard or a person, is in force before
it is stored.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from common.failure_trace import trace_of
from proxy.config.field_types import FULL, show_share
from proxy.config.models import Config, Route
from proxy.database.database import DatabaseError
from proxy.gateway.bucketing import Limit
from proxy.rollout.analysis.route_stats import StatsRegistry
from proxy.rollout.clock import Clock
from proxy.rollout.groups import RouteGroups
from proxy.rollout.model import AuditEntry, RouteState, state_key
from proxy.rollout.shares import Effective
from proxy.rollout.state_cache import RouteStateCache
from proxy.rollout.transitions import Refused, rebase_local_cap

logger = logging.getLogger("scribe_proxy.state")


class ControllerHooks(NamedTuple):
    """Callbacks of a controller.

    `apply` receives the limits of all routes that have any. `changed` receives each change that this process
    announces. `in_force` receives a route and its share whenever that changes. `healthy` and `legacy_down` return the
    health of the backends, and `config_text` the text of the routing.yaml in force without secrets.
    """

    apply: Callable[[Mapping[str, Limit]], None]
    healthy: Callable[[], bool] = lambda: True
    legacy_down: Callable[[], bool] = lambda: False
    changed: Callable[[AuditEntry], None] = lambda _: None
    in_force: Callable[[Route, Effective], None] = lambda _route, _effective: None
    config_text: Callable[[], str] = lambda: ""


class SharesInForce:
    """Configuration, cached states and effective shares of this process.

    `unreachable`: the last access to the store failed. `wake`: set when the synchroniser has something to store.
    """

    def __init__(
        self, config: Config, stats: StatsRegistry, hooks: ControllerHooks, clock: Clock | None = None
    ) -> None:
        self.config = config
        self.stats: Final = stats
        self.hooks: Final = hooks
        self.clock: Final = clock or Clock()
        self.cache: Final = RouteStateCache()
        self.unreachable = False
        self.wake: Final = asyncio.Event()
        self._effective: dict[str, Effective] = {}
        self._without_route: set[str] = set()
        self._set_routes()

    def apply_config(self, config: Config) -> None:
        """Apply a changed routing.yaml."""
        before = {route.name: route for route in self.config.routes}
        capped = {name: self.cache.state(route) for name, route in before.items()}
        self.config = config
        self._continue_running(before)
        self._set_routes()
        for route in config.routes:
            if route.name in before:
                self._take_cap_along(before[route.name], route, capped[route.name])
        self.report_without_route()
        self.wake.set()

    def _set_routes(self) -> None:
        self.cache.groups = RouteGroups(self.config.routes)
        self.stats.set_routes(self.config.routes, time.monotonic())
        self.refresh()

    def _continue_running(self, before: Mapping[str, Route]) -> None:
        """Continue rollouts that were added at the shares in force, so that adding one moves few callers."""
        for route in self.config.routes:
            former = before.get(route.name)
            if route.rollout is None:
                self.cache.forget_running(route)
            elif former is not None and former.rollout is None and former.revision == route.revision:
                self.cache.set_running(route, self.effective(former).share)

    def _take_cap_along(self, before: Route, route: Route, state: RouteState) -> None:
        """Apply the cap of a route's former group to the new one: changing groups must not raise a share."""
        if before.domain == route.domain or before.revision != route.revision or state.cap is None:
            return
        capped = rebase_local_cap(route, self.cache.state(route), state)
        if capped is not None:
            self.apply_local(route, capped)

    def report_without_route(self) -> None:
        """Log each cap whose route no longer exists, once."""
        for state in self.cache.without_route():
            if state.key not in self._without_route and state.cap is not None:
                cap = state.cap
                logger.warning(
                    "%s is capped at %s by %s (%s), and no route has that name or group any more",
                    *(state.key, show_share(cap.share), cap.by.actor, cap.by.reason),
                )
        self._without_route = {state.key for state in self.cache.without_route()}

    def effective(self, route: Route) -> Effective:
        """Return the share of a route that is in force."""
        return self._effective[route.name]

    def route(self, name: str) -> Route:
        """Return the route of a name, or one route of the group of that name. Raises `Refused` if there is neither."""
        route = self.cache.groups.find(name)
        if route is None:
            raise Refused(f"there is no route or group {name}")
        return route

    def members(self, route: Route) -> Sequence[Route]:
        """Return the routes that have the same state as a route."""
        return self.cache.groups.members(state_key(route))

    def apply_local(self, route: Route, after: RouteState) -> None:
        """Apply a cap in this process without waiting for the store, and pass it to the synchroniser."""
        if self.unreachable and not after.change.announced:
            self.hooks.changed(after.change)
            after = replace(after, change=replace(after.change, announced=True))
        self.cache.set_local(route, after)
        for member in self.members(route):
            self.stats.of(member.name).reset()
        self.refresh()
        self.wake.set()

    def record(self, state: RouteState) -> bool:
        """Apply a stored state; return False if it is not newer or belongs to no route.

        Statistics of another cap or bake time are discarded.
        """
        members = self.cache.groups.members(state.key)
        before = self.cache.state(members[0]) if members else None
        if not self.cache.record(state) or before is None:
            return False
        for stats in (self.stats.of(member.name) for member in members):
            if (before.cap is None) is not (state.cap is None):
                stats.reset()
            elif before.epoch != state.epoch:
                stats.take()
        self.refresh()
        return True

    def refresh(self) -> None:
        """Recompute the shares in force and apply them."""
        limits: dict[str, Limit] = {}
        before, self._effective = self._effective, {}
        for route in self.config.routes:
            share = self._effective[route.name] = self.cache.effective(route)
            if (share.stage, share.cap) != (FULL, FULL):
                limits[route.name] = Limit(share.stage, share.cap)
            if before.get(route.name) != share:
                self.hooks.in_force(route, share)
        self.hooks.apply(limits)

    @contextlib.contextmanager
    def accessing_store(self) -> Iterator[None]:
        """Record whether the store is reachable; a `DatabaseError` ends the block without being raised."""
        try:
            yield
        except DatabaseError as error:
            if not self.unreachable:
                logger.warning("the shared state cannot be reached: %s", error)
            self.unreachable = True
        else:
            if self.unreachable:
                logger.info("the shared state can be reached again")
            self.unreachable = False


@contextlib.contextmanager
def logged_errors(activity: str) -> Iterator[None]:
    """Log any error of the block instead of raising it, so that a loop continues."""
    try:
        yield
    except Exception as error:
        logger.error("%s failed: %s", activity, trace_of(error))

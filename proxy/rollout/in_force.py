"""The shares in force in this process: what its guard evaluator, its synchroniser and its follower work on.

A state comes from the store, or from this process itself: a cap that the guard or a person has set is in force here
before the store has it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Final, NamedTuple

from proxy.config.field_types import FULL
from proxy.config.models import Config, Route
from proxy.gateway.bucketing import Limit
from proxy.rollout.analysis.route_stats import StatsRegistry
from proxy.rollout.clock import Clock
from proxy.rollout.model import AuditEntry, RouteState, state_key
from proxy.rollout.shares import Effective
from proxy.rollout.state_cache import RouteStateCache
from proxy.rollout.transitions import Refused
from proxy.runtime.database import DatabaseError

logger = logging.getLogger("scribe_proxy.state")


class ControllerHooks(NamedTuple):
    """Callbacks of a controller.

    `apply` receives the limits of all routes that have one, `changed` each change that this process made, `in_force`
    a route with its share whenever that share changes. `healthy` and `legacy_down` return the backends' health.
    """

    apply: Callable[[Mapping[str, Limit]], None]
    healthy: Callable[[], bool] = lambda: True
    legacy_down: Callable[[], bool] = lambda: False
    changed: Callable[[AuditEntry], None] = lambda _: None
    in_force: Callable[[Route, Effective], None] = lambda _route, _effective: None


class SharesInForce:
    """Configuration, cached states and effective shares of this process.

    `unreachable`: the last access to the store failed. `wake`: set when the synchroniser has something to store.
    """

    def __init__(self, config: Config, stats: StatsRegistry, hooks: ControllerHooks) -> None:
        self.config = config
        self.stats: Final = stats
        self.hooks: Final = hooks
        self.clock: Final = Clock()
        self.cache: Final = RouteStateCache()
        self.unreachable = False
        self.wake: Final = asyncio.Event()
        self._effective: dict[str, Effective] = {}
        self._reported: set[str] = set()  # keys of local changes that were reported while the store was unreachable
        stats.set_routes(config.routes, time.monotonic())
        self.refresh()

    def apply_config(self, config: Config) -> None:
        """Apply a changed routing.yaml."""
        self.config = config
        self.stats.set_routes(config.routes, time.monotonic())
        self.refresh()
        self.wake.set()

    def effective(self, route: Route) -> Effective:
        """Return the share of a route that is in force."""
        return self._effective[route.name]

    def route(self, name: str) -> Route:
        """Return a route by its name. Raises `Refused` where there is none."""
        route = next((route for route in self.config.routes if route.name == name), None)
        if route is None:
            raise Refused(f"there is no route {name}")
        return route

    def apply_local(self, route: Route, after: RouteState) -> None:
        """Put a cap in force here, without waiting for the store, and hand it to the synchroniser."""
        if self.unreachable:
            self.hooks.changed(after.change)
            self._reported.add(after.key)
        self.cache.set_local(route, after)
        self.stats.of(route.name).reset()
        self.refresh()
        self.wake.set()

    def report_stored(self, own: RouteState) -> None:
        """Report a local change once the store has it, unless it was reported already."""
        if own.key not in self._reported:
            self.hooks.changed(own.change)
        self._reported.discard(own.key)

    def record(self, state: RouteState) -> None:
        """Apply a state that is in the store; statistics of another cap or another bake time no longer count."""
        route = next((route for route in self.config.routes if state_key(route) == state.key), None)
        before = self.cache.state(route) if route is not None else None
        if not self.cache.record(state) or route is None or before is None:
            return
        stats = self.stats.of(route.name)
        if (before.cap is None) is not (state.cap is None):
            stats.reset()
        elif before.epoch != state.epoch:
            stats.take()
        self.refresh()

    def refresh(self) -> None:
        """Recompute the shares in force, and apply them."""
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
        """Record whether the store could be reached; a `DatabaseError` ends the block without being raised."""
        try:
            yield
        except DatabaseError as error:
            if not self.unreachable:
                logger.warning("the shared state cannot be reached: %s", error)
            self.unreachable = True
        else:
            self.unreachable = False


@contextlib.contextmanager
def logged_errors(activity: str) -> Iterator[None]:
    """Log any error of the block instead of raising it, so that a loop continues."""
    try:
        yield
    except Exception:
        logger.exception("%s failed", activity)

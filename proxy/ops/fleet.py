"""The fleet's live state: each process publishes its own in the shared store, and pages show all of them.

Numbers are sums. Every process has its own circuit breaker, health checks and guards. Of these, the worst state is
shown, with the processes in this state.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import platform
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Final

from common.background_tasks import BackgroundTasks
from proxy.config.models import Config
from proxy.database.database import DatabaseError
from proxy.observability.recent_failures import RecentFailures
from proxy.periodic import tick
from proxy.rollout.analysis.analysis import SEVEREST, Analysis
from proxy.rollout.analysis.route_stats import StatsRegistry
from proxy.rollout.controller import RolloutController
from proxy.rollout.fleet import ProcessHealth, ProcessSnapshot, RouteTraffic

PUBLISH_INTERVAL: Final = 3.0
"""Seconds between two publications."""
CACHE_TIME: Final = 1.0
READ_TIMEOUT: Final = 1.0
"""Seconds that a page waits for the numbers of other processes."""


class Fleet:
    """Background service that publishes this process's numbers, and reads those of all."""

    def __init__(
        self,
        controller: RolloutController,
        failures: RecentFailures,
        in_flight: Callable[[], int],
        health: Callable[[], ProcessHealth] = ProcessHealth,
    ) -> None:
        self._controller: Final = controller
        self._failures: Final = failures
        self._in_flight: Final = in_flight
        self._health: Final = health
        self._name: Final = f"{platform.node()}:{os.getpid()}"
        self._id: Final = secrets.token_hex(8)
        self._tasks: Final = BackgroundTasks()
        self._others: tuple[ProcessSnapshot, ...] = ()
        self._clock_ahead = 0.0  # as last read
        self._guards: dict[str, Analysis] = {}  # as last published
        self._read_at = -CACHE_TIME

    async def start(self) -> None:
        """Start publishing."""
        self._tasks.start(self._publish())

    async def stop(self) -> None:
        """Stop publishing; the other processes drop this one after a few seconds."""
        await self._tasks.stop()

    def apply_config(self, config: Config) -> None:
        """Do nothing: the controller applies the routes."""

    async def read(self) -> FleetNumbers:
        """Return the numbers of all processes; of this one alone while the store is unreachable."""
        if time.monotonic() - self._read_at >= CACHE_TIME:
            read_at = time.monotonic()
            self._others = await self._read_others()
            self._read_at = read_at
        return FleetNumbers(self._own(), self._controller.stats, self._others)

    async def _read_others(self) -> tuple[ProcessSnapshot, ...]:
        try:
            async with asyncio.timeout(READ_TIMEOUT):
                snapshots = await self._controller.store.snapshots()
        except (DatabaseError, TimeoutError):
            return ()
        self._clock_ahead = next((one.clock_ahead for one in snapshots if one.id == self._id), 0.0)
        return tuple(one for one in snapshots if one.id != self._id)

    async def _publish(self) -> None:
        while True:
            with contextlib.suppress(DatabaseError):
                served = await self._served()
                self._guards = self._judged(served)
                await self._controller.store.publish(replace(self._own(), routes=served, clock=time.time()))
            await tick(PUBLISH_INTERVAL)

    async def _served(self) -> dict[str, RouteTraffic]:
        """Return the traffic of the routes that have any; the event loop serves requests in between."""
        served: dict[str, RouteTraffic] = {}
        for stats in tuple(self._controller.stats):
            if not stats.window.is_empty:
                served[stats.route.name] = RouteTraffic.of(stats.window)
                await asyncio.sleep(0)
        return served

    def _judged(self, routes: Iterable[str]) -> dict[str, Analysis]:
        """Return the analyses of the guards of some routes."""
        healthy, wanted = self._controller.healthy, frozenset(routes)
        judged = [stats for stats in self._controller.stats if stats.route.name in wanted]
        guards = {stats.route.name: stats.analyse(healthy=healthy) for stats in judged}
        return {name: analysis for name, analysis in guards.items() if analysis is not None}

    def _own(self) -> ProcessSnapshot:
        failures, health = self._failures.of("legacy"), self._health()
        return ProcessSnapshot(
            self._id,
            self._in_flight(),
            failures,
            guards=self._guards,
            health=health,
            name=self._name,
            clock_ahead=self._clock_ahead,
        )


@dataclass(frozen=True, slots=True)
class FleetGuard:
    """The worst analysis of a guard among all processes, and the names of the processes with that outcome."""

    analysis: Analysis
    processes: tuple[str, ...]


class FleetNumbers:
    """The sums of this process's statistics and the snapshots of the others."""

    def __init__(self, own: ProcessSnapshot, stats: StatsRegistry, others: tuple[ProcessSnapshot, ...]) -> None:
        self._stats: Final = stats
        self._others: Final = others
        self.members: Final = (own, *others)
        self.processes: Final = len(self.members)
        self.in_flight: Final = own.in_flight + sum(one.in_flight for one in others)
        failures = (Counter(one.legacy_failures) for one in self.members)
        self.legacy_failures: Final[dict[str, int]] = dict(sum(failures, Counter[str]()))

    def route(self, name: str) -> RouteTraffic:
        """Return the traffic of a route."""
        own = RouteTraffic.of(self._stats.of(name).window)
        others = [one.routes[name] for one in self._others if name in one.routes]
        return RouteTraffic.sum_of([own, *others]) if others else own

    def guard(self, name: str, own: Analysis | None) -> FleetGuard | None:
        """Return the worst analysis of a route's guard in any process; `own` is that of this one."""
        judged = [(one.guards[name], one.name) for one in self._others if name in one.guards]
        if own is not None:
            judged.insert(0, (own, self.members[0].name))
        if not judged:
            return None
        worst, _ = min(judged, key=lambda each: SEVEREST.index(each[0].outcome))
        return FleetGuard(worst, tuple(process for each, process in judged if each.outcome == worst.outcome))

    @property
    def suspended(self) -> dict[str, str]:
        """The reason for each route whose guard is suspended in any process."""
        guards = (guard for one in self.members for guard in one.guards.items())
        return {name: analysis.reason for name, analysis in guards if analysis.suspended}

    def requests(self, name: str) -> tuple[int, int]:
        """Return the requests of a route within its window, of legacy and of native."""
        legacy, native = self._stats.of(name).window.requests
        parts = [one.routes[name] for one in self._others if name in one.routes]
        legacy += sum(part.legacy.total.requests for part in parts)
        return legacy, native + sum(part.native.total.requests for part in parts)

    @property
    def legacy_requests(self) -> int:
        """The requests of all routes to legacy within their windows."""
        return sum(self.requests(stats.route.name)[0] for stats in self._stats)

"""Rollout controller of one process: evaluates guards, applies caps, promotes stages.

    GuardEvaluator      each second    evaluates guards; caps failing routes, in this process immediately
    StateSynchroniser   each 2 s       stores local caps; exchanges evidence; promotes and releases
    StateFollower       on changes     applies the changes that other replicas and people stored
            │ all work on
    SharesInForce                      configuration, cached states, effective shares

While the store is unreachable, a process continues with the states it knows: guards still cap, and no rollout is
promoted.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass
from typing import Final, NamedTuple

from common.background_tasks import BackgroundTasks
from proxy.config.models import Config, Route
from proxy.database.database import Unavailable
from proxy.rollout.actions import Step, carry_out, require_actor, require_reason
from proxy.rollout.analysis.analysis import Analysis
from proxy.rollout.analysis.route_stats import RouteStats, StatsRegistry
from proxy.rollout.announcer import ChangeAnnouncer
from proxy.rollout.evaluator import GuardEvaluator
from proxy.rollout.evidence import EvidenceCollector
from proxy.rollout.follower import StateFollower
from proxy.rollout.groups import RouteGroups
from proxy.rollout.in_force import ControllerHooks, SharesInForce
from proxy.rollout.model import Attribution, Cap, Evidence, RouteState
from proxy.rollout.progress import Progress
from proxy.rollout.shares import Effective
from proxy.rollout.store import Store
from proxy.rollout.synchroniser import StateSynchroniser


class ControllerIntervals(NamedTuple):
    """Seconds between two evaluations, synchronisations and stores of baselines. `start`: limit of the first read."""

    evaluate: float = 1.0
    synchronise: float = 2.0
    baselines: float = 60.0
    start: float = 2.0


@dataclass(frozen=True, slots=True)
class RouteRollout:
    """A route with its share, state, progress, guard's analysis, statistics and evidence, for display.

    `now` is the time of the description, by the clock that replicas share.
    """

    route: Route
    effective: Effective
    state: RouteState
    progress: Progress | None
    stats: RouteStats
    evidence: Evidence
    healthy: bool
    now: float

    @property
    def analysis(self) -> Analysis | None:
        """The guard's analysis of this process's statistics; None without a guard."""
        return self.stats.analyse(healthy=self.healthy)


class RolloutController:
    """Background service of the gateway that updates the routes' shares."""

    def __init__(
        self,
        config: Config,
        store: Store,
        stats: StatsRegistry,
        hooks: ControllerHooks,
        intervals: ControllerIntervals | None = None,
    ) -> None:
        intervals = intervals or ControllerIntervals()
        self.store: Final = store
        self._start_timeout: Final = intervals.start
        self._shares: Final = SharesInForce(config, stats, hooks)
        self._evidence: Final = EvidenceCollector(stats, store)
        self._announcer: Final = ChangeAnnouncer(self._shares, store)
        self._evaluator: Final = GuardEvaluator(self._shares, intervals.evaluate)
        self._synchroniser: Final = StateSynchroniser(
            self._shares, store, self._evidence, self._announcer, intervals.synchronise, intervals.baselines
        )
        self._follower: Final = StateFollower(self._shares, store, self._evidence, self._announcer, intervals.evaluate)
        self._tasks: Final = BackgroundTasks()

    async def start(self) -> None:
        """Start the tasks; wait up to `intervals.start` seconds for the shared states, for the first request."""
        for part in (self._evaluator, self._synchroniser, self._follower):
            self._tasks.start(part.run())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._start_timeout):
                await self._follower.loaded.wait()

    async def stop(self) -> None:
        """Cancel the tasks and wait until they have ended."""
        await self._tasks.stop()

    def apply_config(self, config: Config) -> None:
        """Apply a changed routing.yaml."""
        self._shares.apply_config(config)

    def evaluate(self, now: float | None = None) -> None:
        """Evaluate all guards at a time (monotonic seconds, by default now), and cap failing routes."""
        self._evaluator.evaluate(time.monotonic() if now is None else now)

    def effective(self, route: Route) -> Effective:
        """Return the share of a route that is in force."""
        return self._shares.effective(route)

    @property
    def now(self) -> float:
        """The time by the clock that replicas share, in seconds since the epoch: caps and changes have its times."""
        return self._shares.clock.now()

    @property
    def config(self) -> Config:
        """The configuration in force."""
        return self._shares.config

    @property
    def groups(self) -> RouteGroups:
        """The groups of routes of the configuration in force."""
        return self._shares.cache.groups

    @property
    def stats(self) -> StatsRegistry:
        """The statistics of all routes in this process."""
        return self._shares.stats

    def caps(self) -> list[Cap]:
        """Return the caps in force, one for each capped group."""
        leaders = [leader for leader in self.groups.leaders() if self.effective(leader).by == "cap"]
        caps = [self._shares.cache.state(leader).cap for leader in leaders]
        return [cap for cap in caps if cap is not None]

    @property
    def unreachable(self) -> bool:
        """True if the last access to the store failed."""
        return self._shares.unreachable

    @property
    def legacy_down(self) -> bool:
        """True while legacy accepts no connections, and its circuit breaker is open."""
        return self._shares.hooks.legacy_down()

    @property
    def healthy(self) -> bool:
        """False while native fails its health checks."""
        return self._shares.hooks.healthy()

    def describe(self, route: Route) -> RouteRollout:
        """Return all that the ops pages show of a route."""
        shares, state, now = self._shares, self._shares.cache.state(route), self.now
        stats = shares.stats.of(route.name)
        progress = self._evidence.progress(route, state, now)
        evidence = self._evidence.shared(state)
        return RouteRollout(route, shares.effective(route), state, progress, stats, evidence, self.healthy, now)

    async def act(
        self, name: str, step: Step, actor: str, reason: str, *, expected_version: int | None = None
    ) -> RouteState:
        """Carry out a person's action on a route or group (see `actions`), and apply it here.

        While the store is unreachable, a route can still be rolled back. This process alone applies that, until the
        store is reachable again. Raises `Refused`, `DatabaseError`.
        """
        shares = self._shares
        route = shares.route(name)
        try:
            members = shares.members(route)
            after = await carry_out(self.store, members, step, actor, reason, expected_version=expected_version)
        except Unavailable:
            by = Attribution(require_actor(actor), require_reason(reason), shares.clock.now())
            after = step(route, shares.cache.state(route), by)
            if after.change.kind != "rollback":
                raise
            shares.apply_local(route, after)
        else:
            shares.record(after)
            await self._announcer.announce(after)
        return after

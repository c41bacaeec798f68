"""One process's part in what becomes of shares: it judges, caps, and takes turns with other replicas at promoting.

    looking     each second      watches turn; a guard that fails is capped here at once, and told to the store
    sharing     each 2 s         what was done here; evidence; bake times that have passed, gates that are missed
    following   as they come     what other replicas and people did

Looking never waits for the store. While the store is away this process goes on with what it last knew: it still
caps, and promotes nothing, since that is what only sharing does.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from proxy.config.field_types import FULL, show_duration, show_share
from proxy.config.models import Config, Route
from proxy.gateway.bucketing import Limit
from proxy.rollout.actions import Step, carry_out, named, reasoned
from proxy.rollout.analysis.analysis import Analysis, FailureRatio
from proxy.rollout.analysis.route_stats import RouteStats, StatsRegistry
from proxy.rollout.clock import Clock
from proxy.rollout.evidence import EvidenceCollector
from proxy.rollout.model import FILE, SCHEDULE, Attribution, AuditEntry, RouteState, ceiling, state_key
from proxy.rollout.progress import Progress, progress
from proxy.rollout.shares import Effective
from proxy.rollout.state_cache import RouteStateCache
from proxy.rollout.store import Store
from proxy.rollout.transitions import (
    Refused,
    gate_failed,
    guard_failed,
    initial_state,
    promote,
    release_if_due,
    share_changed,
    start_rollout,
)
from proxy.runtime.database import DatabaseError, Unavailable

logger = logging.getLogger("scribe_proxy.state")


class ControllerIntervals(NamedTuple):
    """Seconds: between two looks, two sharings, two rememberings of what legacy shows; for the first reading."""

    look: float = 1.0
    share: float = 2.0
    remember: float = 60.0
    start: float = 2.0


@dataclass(frozen=True, slots=True)
class RouteRollout:
    """All that is known of a route, for people."""

    route: Route
    effective: Effective
    state: RouteState
    progress: Progress | None
    judgement: Analysis | None
    watch: RouteStats


class ControllerHooks(NamedTuple):
    """What a keeper asks, and whom it tells.

    `apply` is given the limits of the routes that have any, `changed` what this process has changed, `in_force` each
    route's share whenever one of them is another.
    """

    apply: Callable[[Mapping[str, Limit]], None]
    healthy: Callable[[], bool] = lambda: True
    legacy_down: Callable[[], bool] = lambda: False
    changed: Callable[[AuditEntry], None] = lambda _: None
    in_force: Callable[[Route, Effective], None] = lambda _route, _effective: None


class RolloutController:
    """A companion of the gateway. `away` is whether the store could not be reached the last time it was asked."""

    def __init__(
        self,
        config: Config,
        store: Store,
        watches: StatsRegistry,
        surroundings: ControllerHooks,
        pace: ControllerIntervals | None = None,
    ) -> None:
        self.store: Final = store
        self.away = False
        self._config = config
        self._watches: Final = watches
        self._around: Final = surroundings
        self._pace: Final = pace or ControllerIntervals()
        self._clock: Final = Clock()
        self._ledger: Final = RouteStateCache()
        self._effective: dict[str, Effective] = {}
        self._witness: Final = EvidenceCollector(watches, store)
        self._noticed: set[str] = set()  # keys of what was done here and told while the store was away
        self._announced = False  # that this file is in force
        self._woken = asyncio.Event()
        self._read = asyncio.Event()
        self._tasks: tuple[asyncio.Task[None], ...] = ()
        watches.adopt(config.routes, time.monotonic())
        self._refresh()

    async def start(self) -> None:
        """Begins; waits a moment for what replicas share, so that the first request finds it in force."""
        loops = (self._looking(), self._sharing(), self._following())
        self._tasks = tuple(asyncio.create_task(loop) for loop in loops)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._pace.start):
                await self._read.wait()

    async def stop(self) -> None:
        """Ends."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = ()

    def apply_config(self, config: Config) -> None:
        """Go on by a changed file."""
        self._config = config
        self._watches.adopt(config.routes, time.monotonic())
        self._announced = False
        self._refresh()
        self._woken.set()

    def effective(self, route: Route) -> Effective:
        """The share of a route that is in force."""
        return self._effective[route.name]

    @property
    def legacy_down(self) -> bool:
        """Whether legacy accepts no connections, and is spared (see `breaker`)."""
        return self._around.legacy_down()

    @property
    def healthy(self) -> bool:
        """Whether native answers its health checks, if it is asked any."""
        return self._around.healthy()

    def standing(self, route: Route) -> RouteRollout:
        """All that is known of a route."""
        watch = self._watches.of(route.name)
        judgement = watch.judgement(healthy=self.healthy)
        state = self._ledger.state(route)
        return RouteRollout(route, self._effective[route.name], state, self._progress(route, state), judgement, watch)

    async def act(self, name: str, step: Step, actor: str, reason: str, *, seen: int | None = None) -> RouteState:
        """Do what a person asks for a route (see `operations`), here at once. Raises `Refused`, `DatabaseError`.

        While the store is away a route can still be capped, by this process alone until the store is back.
        """
        route = self._named(name)
        try:
            after = await carry_out(self.store, route, step, actor, reason, seen=seen)
        except Unavailable:
            after = step(
                route, self._ledger.state(route), Attribution(named(actor), reasoned(reason), self._clock.now())
            )
            if after.change.kind != "rollback":
                raise
            self._do(route, after)
        else:
            self._took(after)
            self._around.changed(after.change)
        return after

    def _named(self, name: str) -> Route:
        found = next((route for route in self._config.routes if route.name == name), None)
        if found is None:
            raise Refused(f"there is no route {name}")
        return found

    # -- looking

    async def _looking(self) -> None:
        while True:
            await asyncio.sleep(self._pace.look)
            with _undisturbed("looking at the routes"):
                self.look()

    def look(self) -> None:
        """Go on to now, and cap what fails; not while legacy is down, since there is nowhere to go back to."""
        self._watches.turn(time.monotonic())
        healthy = self.healthy
        for route in self._config.routes:
            if route.guard is None or route.pin is not None or not self._effective[route.name].share:
                continue
            judgement = self._watches.of(route.name).judgement(healthy=healthy)
            if judgement is not None and judgement.outcome == "fail" and not self.legacy_down:
                self._fail(route, judgement.reason)

    def _fail(self, route: Route, reason: str) -> None:
        after = guard_failed(route, self._ledger.state(route), reason, self._clock.now())
        if after is not None:
            logger.warning("%s goes from %s to %s: %s", route.name, *_shares(after.change), reason)
            self._do(route, after)

    def _do(self, route: Route, after: RouteState) -> None:
        """In force here from now on, whatever the store is doing; which hears of it as soon as may be."""
        if self.away:
            self._around.changed(after.change)
            self._noticed.add(after.key)
        self._ledger.do(route, after)
        self._watches.of(route.name).forget()
        self._refresh()
        self._woken.set()

    def _refresh(self) -> None:
        """The shares in force, by what is known now."""
        limits: dict[str, Limit] = {}
        before, self._effective = self._effective, {}
        for route in self._config.routes:
            found = self._effective[route.name] = self._ledger.effective(route)
            if (found.stage, found.cap) != (FULL, FULL):
                limits[route.name] = Limit(found.stage, found.cap)
            if before.get(route.name) != found:
                self._around.in_force(route, found)
        self._around.apply(limits)

    # -- sharing

    async def _sharing(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._pace.share):
                    await self._woken.wait()
            self._woken.clear()
            with _undisturbed("sharing what became of the routes"), self._reaching():
                await self.share()

    async def share(self) -> None:
        """Tell the store what was done here, and do what is due. Raises `DatabaseError`."""
        self._clock.set(await self.store.now())
        await self._tell()
        if not self._ledger.read:
            return
        if not self._announced:
            await self._announce()
        states = {route.name: self._ledger.state(route) for route in self._config.routes if route.rollout is not None}
        await self._witness.exchange({name: state for name, state in states.items() if state.stage is not None})
        config = self._config
        for route in config.routes:
            after = self._due(route) if config is self._config else None  # else a reload came between
            if after is not None:
                await self._replace(after)
        await self._witness.remember(self._pace.remember)

    async def _tell(self) -> None:
        for route, own in self._ledger.untold():
            if await self.store.replace(own):
                self._ledger.told(own, None)
                if own.key not in self._noticed:
                    self._around.changed(own.change)
                self._noticed.discard(own.key)
            else:
                self._ledger.told(own, await self.store.state(own.key) or initial_state(route))
                self._woken.set()
            self._refresh()

    async def _replace(self, after: RouteState) -> None:
        """Put a state in place, unless another replica was faster, of which we hear."""
        if await self.store.replace(after):
            self._took(after)
            self._around.changed(after.change)
            logger.info("%s: %s by %s, from %s to %s: %s", *_told(after.change))

    async def _announce(self) -> None:
        """Say which file is in force, and what it changes in shares; the first replica that does notes it."""
        revision, routes = self._config.revision, self._config.routes
        before = await self.store.adopt(revision, {route.name: ceiling(route) for route in routes})
        self._announced = True
        if before is None:
            return
        reason = f"revision {revision} follows {before[0]}" if before[0] else f"revision {revision} is the first"
        by = Attribution(FILE, reason, self._clock.now())
        await self.store.note(AuditEntry("config", by, 0, 0, revision=revision))
        for route in routes:
            was = before[1].get(route.name)
            if was is not None and was != ceiling(route):
                await self._announce_share(route, was, by)

    async def _announce_share(self, route: Route, was: int, by: Attribution) -> None:
        state = self._ledger.state(route)
        by = Attribution(by.actor, f"`native` was {show_share(was)}, and is {show_share(ceiling(route))}", by.at)
        if state.stage is not None and route.rollout is not None:
            await self._replace(share_changed(route, state, by))
        else:
            await self.store.note(AuditEntry("share", by, was, ceiling(route), route.name, route.revision or ""))

    def _due(self, route: Route) -> RouteState | None:
        """What becomes of a route by itself, if anything does now."""
        state, now = self._ledger.state(route), self._clock.now()
        free = release_if_due(route, state, now)
        if free is not None or route.rollout is None or route.pin is not None:
            return free
        if state.stage is None:
            return start_rollout(route, state, now)
        found = self._progress(route, state)
        if found is None or found.waits not in ("gate", "nothing"):
            return None
        if found.missing is not None:
            return gate_failed(route, state, found.missing.told, now)
        reason = f"every gate was passed for {show_duration(route.rollout.bake_time)}"
        return promote(route, state, Attribution(SCHEDULE, reason, now))

    def _progress(self, route: Route, state: RouteState) -> Progress | None:
        baseline = self._watches.of(route.name).baseline
        usual = FailureRatio(baseline.errors, baseline.requests) if baseline is not None else None
        return progress(route, state, self._witness.seen(state), usual, self._clock.now())

    # -- following

    async def _following(self) -> None:
        while True:
            with _undisturbed("following other replicas"), self._reaching():
                async with self.store.following() as changes:
                    await self._learn()
                    async for state in changes:
                        self._took(state)
            await asyncio.sleep(self._pace.look)

    async def _learn(self) -> None:
        await self._witness.recall()
        self._clock.set(await self.store.now())
        states = await self.store.states()
        for state in states.values():
            self._took(state)
        self._ledger.learn(states)
        self._refresh()
        self._read.set()
        self._woken.set()

    def _took(self, state: RouteState) -> None:
        """A route was changed. What was seen under another cap, or for another bake time, counts no more."""
        route = next((route for route in self._config.routes if state_key(route) == state.key), None)
        before = self._ledger.state(route) if route is not None else None
        if not self._ledger.hear(state) or route is None or before is None:
            return
        watch = self._watches.of(route.name)
        if (before.cap is None) is not (state.cap is None):
            watch.forget()
        elif before.epoch != state.epoch:
            watch.take()
        self._refresh()

    @contextlib.contextmanager
    def _reaching(self) -> Iterator[None]:
        """Notes whether the store could be reached."""
        try:
            yield
        except DatabaseError as error:
            if not self.away:
                logger.warning("what replicas share is out of reach: %s", error)
            self.away = True
        else:
            self.away = False


@contextlib.contextmanager
def _undisturbed(doing: str) -> Iterator[None]:
    """No fault of ours ends what must go on."""
    try:
        yield
    except Exception:
        logger.exception("%s failed", doing)


def _shares(change: AuditEntry) -> tuple[str, str]:
    return show_share(change.before), show_share(change.after)


def _told(change: AuditEntry) -> tuple[str, ...]:
    return change.route, change.kind, change.by.actor, *_shares(change), change.by.reason

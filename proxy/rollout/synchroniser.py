"""Synchronise this process with the store: local caps, evidence, and due steps of rollouts.

Lowering a share takes effect immediately in the process that does it. Raising one needs a successful compare-and-set in
the store: nothing is promoted while the store is unreachable, and exactly one of several replicas promotes.
"""

from __future__ import annotations

import asyncio
import contextlib
import difflib
import logging
from dataclasses import replace
from typing import Final

from proxy.config.field_types import ZERO, show_duration, show_share
from proxy.config.models import Config, Route
from proxy.periodic import until_tick
from proxy.rollout.announcer import ChangeAnnouncer, log_change
from proxy.rollout.clock import ClockJump
from proxy.rollout.evidence import EvidenceCollector
from proxy.rollout.groups import changed_settings, setting_digests
from proxy.rollout.in_force import SharesInForce, logged_errors
from proxy.rollout.model import FILE, SCHEDULE, AnnouncedConfig, Attribution, AuditEntry, RouteState, ceiling
from proxy.rollout.progress import start_of
from proxy.rollout.shares import share_before
from proxy.rollout.store import Store
from proxy.rollout.transitions import (
    continue_rollout,
    gate_failed,
    initial_state,
    move_cooldown,
    promote,
    release_if_due,
    share_changed,
    start_rollout,
)
from proxy.types import BasisPoints

logger = logging.getLogger("scribe_proxy.state")

MAX_JUMP: Final = 60.0
"""Maximum seconds by which the store's clock may deviate from the expected time without counting as a jump."""


class StateSynchroniser:
    """Stores this process's changes and carries out due steps. Intervals are in seconds."""

    def __init__(
        self,
        shares: SharesInForce,
        store: Store,
        evidence: EvidenceCollector,
        announcer: ChangeAnnouncer,
        interval: float,
        baseline_interval: float,
    ) -> None:
        self._shares: Final = shares
        self._store: Final = store
        self._evidence: Final = evidence
        self._interval: Final = interval
        self._baseline_interval: Final = baseline_interval
        self._announcer: Final = announcer
        self._announced: Config | None = None  # the configuration announced last
        self._jump = ClockJump()  # of the store's clock

    async def run(self) -> None:
        """Synchronise every `interval` seconds, and immediately when woken, until cancelled."""
        shares = self._shares
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(until_tick(self._interval)):
                    await shares.wake.wait()
            shares.wake.clear()
            with logged_errors("synchronising with the store"), shares.accessing_store():
                await self.synchronise()

    async def synchronise(self) -> None:
        """Store local caps, exchange evidence, and carry out due steps. Raises `DatabaseError`."""
        shares = self._shares
        shares.clock.set(await self._store.now())
        self._jump = shares.clock.take_jump()
        await self._store_local_caps()
        if not shares.cache.loaded:
            return
        known = self._announced is shares.config
        may_start = known or await self._announce_config()  # else the replica that announced the file starts rollouts
        states = {r.name: shares.cache.state(r) for r in shares.config.routes if r.rollout is not None}
        await self._evidence.exchange({name: state for name, state in states.items() if state.stage is not None})
        config = shares.config
        for route in shares.cache.groups.leaders():
            if config is not shares.config:  # reloaded during the exchange
                break
            after = self._due(route, may_start=may_start)
            if after is not None:
                await self._replace(after)
        await self._evidence.store_baselines(self._baseline_interval)

    async def _store_local_caps(self) -> None:
        shares = self._shares
        for route, own in shares.cache.local_states():
            if await self._store.replace(own):
                shares.cache.confirm_local(own)
                await self._announcer.announce(own, log=False)
            else:
                shares.cache.rebase_local(own, await self._store.state(own.key) or initial_state(route))
                shares.wake.set()
            shares.refresh()

    async def _replace(self, after: RouteState) -> None:
        """Store a state, unless another replica has stored that version; the follower then receives it."""
        if await self._store.replace(after):
            self._shares.record(after)
            await self._announcer.announce(after)

    async def _announce_config(self) -> bool:
        """Announce the revision in force; return True to the first replica that does.

        It records its changes of shares in the history.
        """
        config = self._shares.config
        text = await asyncio.to_thread(self._shares.hooks.config_text)
        revision, shares = config.revision, {route.name: ceiling(route) for route in config.routes}
        rollouts = tuple(route.name for route in config.routes if route.rollout is not None)
        digests = setting_digests(config.routes)
        before = await self._store.announce(AnnouncedConfig(revision, shares, rollouts, text, digests))
        self._announced = config
        if before is None:
            return False
        follows = f"follows {before.revision}" if before.revision else "is the first"
        reason = f"revision {revision} {follows}"
        by = Attribution(FILE, reason, self._shares.clock.now())
        difference = unified_difference(before.text, text) if before.text else ""
        routes = changed_settings(before.digests, digests)
        await self._store.record(AuditEntry("config", by, ZERO, ZERO, "", revision, difference, routes=routes))
        for route in self._shares.cache.groups.leaders():
            former = before.shares.get(route.name)
            had_rollout = route.name in before.rollouts
            if former is not None and (former, had_rollout) != (ceiling(route), route.rollout is not None):
                await self._announce_share(route, former, by, had_rollout=had_rollout)
        return True

    async def _announce_share(self, route: Route, former: BasisPoints, by: Attribution, *, had_rollout: bool) -> None:
        """Record a change of the share in force by the file. `former`: the share that the file allowed before."""
        cache = self._shares.cache
        state, allowed = cache.state(route), ceiling(route)
        before = share_before(state, former, had_rollout=had_rollout)
        if route.rollout is not None and not had_rollout:  # also after a restart with the new file
            cache.set_running(route, before)
            self._shares.refresh()
        if cache.continues_at(route) is not None:
            return  # recorded by the start of the rollout
        after = self._shares.effective(route).share
        by = Attribution(by.actor, _reason(former, allowed, route), by.at)
        if state.stage is not None and route.rollout is not None:
            changed = share_changed(route, state, by)
            await self._replace(replace(changed, change=replace(changed.change, before=before)))
            return
        entry = AuditEntry("share", by, before, after, route.domain, route.revision or "")
        await self._store.record(entry)
        log_change(entry)
        self._shares.hooks.changed(entry)

    def _due(self, route: Route, *, may_start: bool) -> RouteState | None:
        """Return the next state if it is due now without a person's action; None otherwise."""
        state = self._shares.cache.state(route)
        now = self._shares.clock.now()
        if state.cap is not None and state.cap.cooldown and clock_jumped(state.change.by.at, now, self._jump.seconds):
            is_measured = self._jump.within <= MAX_JUMP  # else another replica may have moved it before
            return move_cooldown(route, state, now, state.cap.by.at + self._jump.seconds if is_measured else now)
        released = release_if_due(route, state, now)
        if released is not None or route.rollout is None or route.pin is not None:
            return released
        running = self._shares.cache.continues_at(route)
        if running is not None:
            return continue_rollout(route, state, running, now)
        if state.stage is None:
            is_held = state.paused is not None or state.cap is not None
            is_due = may_start and not is_held and start_of(route.rollout, now) == now
            return start_rollout(route, state, now) if is_due else None
        if clock_jumped(state.passing, now, self._jump.seconds):
            return gate_failed(route, state, "the clock jumped, so the bake time starts again", now)
        progress = self._evidence.progress(route, state, now)
        if progress is None or progress.waits not in ("gate", "nothing"):
            return None
        if progress.failed_gate is not None:
            return gate_failed(route, state, progress.failed_gate.description, now)
        reason = f"every gate was passed for {show_duration(route.rollout.bake_time_of(progress.stage))}"
        return promote(route, state, Attribution(SCHEDULE, reason, now))


def clock_jumped(began: float, now: float, jump: float) -> bool:
    """Return True if the time since `began` is unreliable: `began` is before a clock jump, or in the future."""
    before_jump = abs(jump) > MAX_JUMP and abs(now - began) > MAX_JUMP
    return before_jump or began > now + MAX_JUMP


def _reason(former: BasisPoints, allowed: BasisPoints, route: Route) -> str:
    if former != allowed:
        return f"`native` was {show_share(former)}, and is {show_share(allowed)}"
    return "a `rollout` was added" if route.rollout is not None else "the `rollout` was removed"


def unified_difference(before: str, after: str) -> str:
    """Return the difference of two texts as a unified diff without file names."""
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), n=2, lineterm="")
    return "\n".join(list(lines)[2:])

"""Replicas of a gateway with a rollout controller."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from proxy.config.loading import parse
from proxy.config.models import Config, Route
from proxy.gateway.bucketing import Limit
from proxy.gateway.request_record import RequestRecord
from proxy.rollout.analysis.route_stats import StatsRegistry
from proxy.rollout.controller import ControllerIntervals, RolloutController
from proxy.rollout.in_force import ControllerHooks
from proxy.rollout.model import AuditEntry, HistoryQuery
from proxy.rollout.store import Store
from tests.support.waiting import HANG_TIMEOUT

RECORD = RequestRecord("1", "http", "GET", "a", "/a", "native", "share", 7, 200, None, 0.01, 0.02)
QUICK = ControllerIntervals(evaluate=0.02, synchronise=0.03, baselines=0.0, start=2.0)
GUARD = "guard: {window: 12s, minimum: 20, cooldown: 10m}"
PLAIN = f"{{name: a, match: GET /a, native: 50%, {GUARD}}}"
STAGED = f"""{{name: a, match: GET /a, {GUARD},
  rollout: {{stages: [10%, 50%, 100%], bake_time: 200ms, minimum: 10, gates: {{errors: 1%}}}}}}"""


def config(*routes: str) -> Config:
    return parse(
        "\n".join(["legacy: {url: http://x}", "native: a:b", "routes:", *(f"- {each}" for each in routes)]), {}
    )


@dataclass
class Replica:
    """A controller with the limits and changes that it has applied."""

    controller: RolloutController
    stats: StatsRegistry
    limits: Mapping[str, Limit] = field(default_factory=dict)
    changes: list[AuditEntry] = field(default_factory=list)
    legacy_down: bool = False
    healthy: bool = True
    hook_fails: bool = False

    def is_healthy(self) -> bool:
        if self.hook_fails:
            raise ZeroDivisionError
        return self.healthy

    def share(self, name: str = "a") -> int:
        return self.controller.describe(self.route(name)).effective.share

    def route(self, name: str = "a") -> Route:
        return next(route for route in self.controller.config.routes if route.name == name)

    def serve(self, times: int = 100, status: int = 200, backend: str = "native", name: str = "a") -> None:
        for _ in range(times):
            self.stats(replace(RECORD, route=name, backend=backend, status=status))

    async def until(self, holds: Callable[[], bool], seconds: float = HANG_TIMEOUT) -> None:
        async with asyncio.timeout(seconds):
            while not holds():
                await asyncio.sleep(0.01)


def replica(
    config_: Config,
    store: Store,
    pace: ControllerIntervals = QUICK,
    text: Callable[[], str] = lambda: "",
) -> Replica:
    stats = StatsRegistry()
    created: Replica | None = None

    def apply(limits: Mapping[str, Limit]) -> None:
        early.update(limits) if created is None else setattr(created, "limits", limits)

    early: dict[str, Limit] = {}
    around = ControllerHooks(
        apply,
        healthy=lambda: created is None or created.is_healthy(),
        legacy_down=lambda: created is not None and created.legacy_down,
        changed=lambda change: created.changes.append(change) if created is not None else None,
        config_text=text,
    )
    created = Replica(RolloutController(config_, store, stats, around, pace), stats, early)
    return created


@asynccontextmanager
async def running(*replicas: Replica) -> AsyncIterator[None]:
    for each in replicas:
        await each.controller.start()
    try:
        yield
    finally:
        for each in replicas:
            await each.controller.stop()


async def recorded(one: Replica, *reasons: str) -> None:
    """Wait until the history of the route's share has exactly these reasons; it is written after the state."""

    async def read() -> set[str]:
        entries = await one.controller.store.history(9, HistoryQuery("a"))
        return {entry.by.reason for entry in entries if entry.kind != "config"}

    async with asyncio.timeout(HANG_TIMEOUT):
        while await read() != set(reasons):
            await asyncio.sleep(0.01)


async def recorded_config(one: Replica, number: int) -> None:
    """Wait until the history has so many revisions of the file."""
    async with asyncio.timeout(HANG_TIMEOUT):
        while len(await one.controller.store.history(9, HistoryQuery(kind="config"))) < number:
            await asyncio.sleep(0.01)


def is_at_zero(one: Replica) -> bool:
    return one.share() == 0

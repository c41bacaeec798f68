"""The status of a process, for `/status.json` and the pages."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from proxy.config.models import Route
from proxy.config.problems import Problem
from proxy.gateway.admission import LimitUsage
from proxy.ops.process_view import ProcessView
from proxy.rollout.fleet import ProcessHealth
from proxy.rollout.model import ceiling
from proxy.rollout.shares import Effective


@dataclass(frozen=True, slots=True)
class RouteStatus:
    """One route. Shares are in percent of callers; `native` is the file's, `effective` the one in force."""

    name: str
    match: str
    native: float
    effective: float
    shadow: float
    pin: str | None
    group: str | None


@dataclass(frozen=True, slots=True)
class Status:
    """One process. `revision` is that of the configuration in force; `problems` are those of the file on disk.

    `shadow_ready`: its shadow process has started. `limits`: every limit. `limits_reached`: a sentence for each that is
    full, or refused a request in the last minute.
    """

    revision: str
    legacy_url: str
    legacy: bool
    native: bool
    shadow_ready: bool
    in_flight: int
    routes: tuple[RouteStatus, ...]
    problems: tuple[Problem, ...]
    limits: tuple[LimitUsage, ...] = ()
    limits_reached: tuple[str, ...] = ()

    @property
    def ready(self) -> bool:
        """True if a backend is available. A refused file does not matter, because the last good one is in force."""
        return self.legacy or self.native


Current = Callable[[], Awaitable[Status]]
"""Returns the current status of the process."""


def describe(process: ProcessView, *, legacy: bool) -> Status:
    """Return the status of a process. `legacy`: it accepts connections."""
    config = process.gateway.snapshot.config
    limits = _limits(process)
    return Status(
        revision=config.revision,
        legacy_url=config.legacy.url,
        legacy=legacy,
        native=process.native_started,
        shadow_ready=process.shadow_ready,
        in_flight=process.gateway.in_flight,
        routes=tuple(_route(route, process.controller.effective(route)) for route in config.routes),
        problems=process.watcher.problems,
        limits=limits,
        limits_reached=tuple(str(each) for each in limits if each.reached),
    )


def process_health(process: ProcessView, wall: Callable[[], float] = time.time) -> ProcessHealth:
    """Return the health of both backends as observed by a process, for the pages of the others."""
    problems, snapshots = process.watcher.problems, process.watcher.snapshots
    age = wall() - snapshots[-1].at if snapshots else -1.0
    return ProcessHealth(
        legacy_down=process.controller.legacy_down,
        native_started=process.native_started,
        native_healthy=process.controller.healthy,
        limits=tuple(str(each) for each in _limits(process) if each.reached),
        revision=process.gateway.snapshot.config.revision,
        refused=problems[0].located("routing.yaml", column=True) if problems else "",
        revision_age=age if age >= 0 else None,  # the clock has jumped
        shadow_failures=process.shadow_failures,
    )


def _limits(process: ProcessView) -> tuple[LimitUsage, ...]:
    memory = process.memory
    refused = process.failures.of("limit")
    buffered = LimitUsage("memory", memory.used, memory.limit, refused.get("memory", 0))
    known = (*process.gateway.admission.usage(refused), buffered)
    names = {each.name for each in known}
    return (*known, *(LimitUsage(name, 0, 0, count) for name, count in refused.items() if name not in names))


def _route(route: Route, effective: Effective) -> RouteStatus:
    return RouteStatus(
        name=route.name,
        match=route.match,
        native=ceiling(route) / 100,
        effective=effective.share / 100,
        shadow=route.shadow.share / 100,
        pin=route.pin,
        group=route.group,
    )

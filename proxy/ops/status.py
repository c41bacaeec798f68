"""What a process would say of itself, as data: the JSON of `/status.json`, and the head of the pages."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from proxy.config.models import Route
from proxy.config.problems import Problem
from proxy.ops.process_view import ProcessView
from proxy.rollout.model import ceiling
from proxy.rollout.shares import Effective


@dataclass(frozen=True, slots=True)
class RouteStatus:
    """One route in force. Shares are in percent of callers; `native` is the file's, `effective` what is left of it."""

    name: str
    match: str
    native: float
    effective: float
    shadow: float
    pin: str | None
    group: str | None


@dataclass(frozen=True, slots=True)
class Status:
    """One process. `revision` is that of the configuration in force; `problems` are those of the file as it stands."""

    revision: str
    legacy_url: str
    legacy: bool
    native: bool
    in_flight: int
    routes: tuple[RouteStatus, ...]
    problems: tuple[Problem, ...]

    @property
    def ready(self) -> bool:
        """A refused file does not make a process unready: it serves by the last good one."""
        return self.legacy or self.native


Current = Callable[[], Awaitable[Status]]
"""Gives the process's status as it is now."""


def describe(situation: ProcessView, *, legacy: bool) -> Status:
    """A process as it is now. `legacy`: whether it accepts connections."""
    config = situation.gateway.plan.config
    return Status(
        revision=config.revision,
        legacy_url=config.legacy.url,
        legacy=legacy,
        native=situation.native_started,
        in_flight=situation.gateway.in_flight,
        routes=tuple(_route(route, situation.controller.effective(route)) for route in config.routes),
        problems=situation.watcher.problems,
    )


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

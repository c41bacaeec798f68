"""What a process would say of itself, as data: the JSON of `/status.json`, and the head of the pages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from proxy.config import Problem, Route
from proxy.gateway import Gateway


@dataclass(frozen=True, slots=True)
class RouteStatus:
    """One route in force. Shares are in percent of callers."""

    name: str
    match: str
    native: float
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


def describe(gateway: Gateway, problems: Sequence[Problem], *, legacy: bool, native: bool) -> Status:
    """A process as it is now. `legacy`: whether it accepts connections; `native`: whether it has started."""
    config = gateway.plan.config
    return Status(
        revision=config.revision,
        legacy_url=config.legacy.url,
        legacy=legacy,
        native=native,
        in_flight=gateway.in_flight,
        routes=tuple(_route(route) for route in config.routes),
        problems=tuple(problems),
    )


def _route(route: Route) -> RouteStatus:
    return RouteStatus(
        name=route.name,
        match=route.match,
        native=route.native / 100,
        shadow=route.shadow.share / 100,
        pin=route.pin,
        group=route.group,
    )

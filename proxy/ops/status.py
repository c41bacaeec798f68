"""What a process would say of itself, as data: the JSON of `/status.json`, and all that the overview page shows."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel

from proxy.config import Problem, Route
from proxy.gateway import Gateway


class RouteStatus(BaseModel):
    """One route in force. Shares are in percent of callers."""

    name: str
    match: str
    native: float
    shadow: float
    pin: str | None
    group: str | None


class ProblemStatus(BaseModel):
    """Why the file is refused."""

    line: int
    where: str
    message: str


class Status(BaseModel):
    """One process. `revision` is that of the configuration in force; `problems` are those of the file as it stands."""

    revision: str
    legacy_url: str
    legacy: bool
    native: bool
    in_flight: int
    routes: list[RouteStatus]
    problems: list[ProblemStatus]

    @property
    def ready(self) -> bool:
        """A refused file does not make a process unready: it serves by the last good one."""
        return self.legacy or self.native


def describe(gateway: Gateway, problems: Sequence[Problem], *, legacy: bool, native: bool) -> Status:
    config = gateway.plan.config
    return Status(
        revision=config.revision,
        legacy_url=config.legacy.url,
        legacy=legacy,
        native=native,
        in_flight=gateway.in_flight,
        routes=[_route(route) for route in config.routes],
        problems=[ProblemStatus(line=each.line, where=each.where, message=each.message) for each in problems],
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

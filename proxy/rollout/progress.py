"""Progress of a rollout: its bake time, its gates, the reason why it waits, and its earliest timetable. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from proxy.config.field_types import FULL
from proxy.config.models import Route, Schedule
from proxy.config.rules import SAFE
from proxy.gateway.patterns import ANY, WEBSOCKET
from proxy.rollout.analysis.analysis import FailureRatio, MetricResult, exceeding
from proxy.rollout.model import Evidence, RouteState
from proxy.rollout.shares import effective, following, reached

WaitReason = Literal["cap", "completed", "paused", "file", "gate", "bake_time", "evidence", "approval", "nothing"]
"""Why a rollout stays at its stage: a cap; no further stage; paused by a person; the file allows no more; a gate fails;
the bake time has not passed; too little evidence; approval by a person. `nothing`: it can be promoted."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a rollout stands. `left` is what is left of the bake time, in seconds."""

    stage: int
    following: int | None
    waits: WaitReason
    left: float
    gates: tuple[MetricResult, ...]

    @property
    def missing(self) -> MetricResult | None:
        """The first gate that is missed."""
        return next((gate for gate in self.gates if gate.outcome == "fail"), None)


def progress(
    route: Route, state: RouteState, seen: Evidence, usual: FailureRatio | None, now: float
) -> Progress | None:
    """Where the rollout of a route stands; None where it has none, or has not begun.

    `seen`: by all replicas since the bake time began. `usual`: legacy's errors where they are not in what was seen.
    """
    if route.rollout is None or state.stage is None:
        return None
    stage = reached(route, state)
    found = gates(route, route.rollout, seen, usual)
    left = max(0.0, state.passing + route.rollout.bake_time - now)
    follows = following(route, stage)
    return Progress(stage, follows, _waits(route, state, follows, left, found), left, found)


def gates(route: Route, schedule: Schedule, seen: Evidence, usual: FailureRatio | None) -> tuple[MetricResult, ...]:
    """What the gates say of all that was seen. A route that is not compared has no gate of mismatches."""
    legacy = FailureRatio(seen.legacy_errors, seen.legacy) if seen.legacy >= schedule.minimum else usual
    limit = schedule.gates.errors / FULL
    found = [exceeding("errors", FailureRatio(seen.native_errors, seen.native), legacy, limit, schedule.minimum)]
    if is_compared(route):
        differing = FailureRatio(seen.differing, seen.compared)
        found.append(exceeding("mismatch", differing, None, schedule.gates.mismatch / FULL, schedule.minimum))
    return tuple(found)


def is_compared(route: Route) -> bool:
    """Whether any of a route's requests run in the shadow."""
    method = route.pattern.method
    some = method in SAFE or method == ANY or route.shadow.writes == "dry_run"
    return route.shadow.share > 0 and some and method != WEBSOCKET


def timetable(rollout: Schedule, start: float) -> Iterator[tuple[int, float]]:
    """Each stage with the time it is reached at the earliest, from `start` on: every gate passed, nobody in the way."""
    for index, stage in enumerate(rollout.stages):
        yield stage, start + index * rollout.bake_time


def _waits(
    route: Route, state: RouteState, follows: int | None, left: float, found: tuple[MetricResult, ...]
) -> WaitReason:
    assert route.rollout is not None
    outcomes = {gate.outcome for gate in found}
    reasons: dict[WaitReason, bool] = {
        "cap": state.cap is not None,
        "gate": "fail" in outcomes,
        "completed": follows is None,
        "paused": state.paused is not None,
        "file": effective(route, state, read=True).by in ("file", "pin"),
        "bake_time": left > 0,
        "evidence": "unknown" in outcomes,
        "approval": route.rollout.approve,
    }
    return next((reason for reason, holds in reasons.items() if holds), "nothing")

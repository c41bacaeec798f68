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
    """Progress of a rollout. `left` is the rest of the bake time, in seconds."""

    stage: int
    following: int | None
    waits: WaitReason
    left: float
    gates: tuple[MetricResult, ...]

    @property
    def failed_gate(self) -> MetricResult | None:
        """The first gate that fails; None where none does."""
        return next((gate for gate in self.gates if gate.outcome == "fail"), None)


def progress(
    route: Route, state: RouteState, evidence: Evidence, usual: FailureRatio | None, now: float
) -> Progress | None:
    """Return the progress of a route's rollout; None where it has none, or has not started.

    `evidence`: of all replicas since the bake time began. `usual`: legacy's error ratio where the evidence has too few
    requests of legacy.
    """
    if route.rollout is None or state.stage is None:
        return None
    stage = reached(route, state)
    results = gates(route, route.rollout, evidence, usual)
    left = max(0.0, state.passing + route.rollout.bake_time - now)
    follows = following(route, stage)
    return Progress(stage, follows, _waits(route, state, follows, left, results), left, results)


def gates(route: Route, schedule: Schedule, evidence: Evidence, usual: FailureRatio | None) -> tuple[MetricResult, ...]:
    """Evaluate the gates. A route without shadow comparisons has no mismatch gate."""
    legacy = FailureRatio(evidence.legacy_errors, evidence.legacy) if evidence.legacy >= schedule.minimum else usual
    limit = schedule.gates.errors / FULL
    native = FailureRatio(evidence.native_errors, evidence.native)
    results = [exceeding("errors", native, legacy, limit, schedule.minimum)]
    if is_compared(route):
        differing = FailureRatio(evidence.differing, evidence.compared)
        results.append(exceeding("mismatch", differing, None, schedule.gates.mismatch / FULL, schedule.minimum))
    return tuple(results)


def is_compared(route: Route) -> bool:
    """Return True where any of a route's requests are shadowed."""
    method = route.pattern.method
    some = method in SAFE or method == ANY or route.shadow.writes == "dry_run"
    return route.shadow.share > 0 and some and method != WEBSOCKET


def timetable(rollout: Schedule, start: float) -> Iterator[tuple[int, float]]:
    """Yield each stage with the earliest time it is reached, where the rollout starts at `start` and all gates pass."""
    for index, stage in enumerate(rollout.stages):
        yield stage, start + index * rollout.bake_time


def _waits(
    route: Route, state: RouteState, follows: int | None, left: float, results: tuple[MetricResult, ...]
) -> WaitReason:
    assert route.rollout is not None
    outcomes = {gate.outcome for gate in results}
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
    return next((reason for reason, applies in reasons.items() if applies), "nothing")

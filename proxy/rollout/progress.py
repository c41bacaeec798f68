"""Progress of a rollout: its bake time, its gates, the reason for waiting, and its earliest timetable. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from proxy.config.field_types import FULL
from proxy.config.inheritance import is_compared
from proxy.config.models import Route
from proxy.config.promotion_window import HORIZON
from proxy.config.route_models import Schedule
from proxy.rollout.analysis.analysis import MetricResult, exceeding
from proxy.rollout.analysis.callers import FailureRatio
from proxy.rollout.model import Evidence, RouteState, WaitReason
from proxy.rollout.shares import effective, following, reached
from proxy.types import BasisPoints


@dataclass(frozen=True, slots=True)
class Progress:
    """Progress of a rollout. `left`: seconds until the next stage at the earliest, by its bake time and its window.

    Before it has `started`, `stage` is the share that precedes its first stage.
    """

    started: bool
    stage: BasisPoints
    following: BasisPoints | None
    waits: WaitReason
    left: float
    gates: tuple[MetricResult, ...]

    @property
    def failed_gate(self) -> MetricResult | None:
        """The first failing gate, or None."""
        return next((gate for gate in self.gates if gate.outcome == "fail"), None)


def progress(
    route: Route,
    state: RouteState,
    evidence: Evidence,
    usual: FailureRatio | None,
    now: float,
    *,
    compared: bool | None = None,
) -> Progress | None:
    """Return the progress of a route's rollout; None if it has none.

    `evidence` is that of all replicas since the bake time began. `usual` is legacy's error ratio, used if the
    evidence has too few requests of legacy. `compared`: requests of the group run in the shadow; by default, those of
    the route.
    """
    if route.rollout is None:
        return None
    if state.stage is None:
        return _before_start(route, state, route.rollout, now)
    stage = reached(route, state)
    compared = is_compared(route.pattern.method, route.shadow) if compared is None else compared
    results = gates(route.rollout, evidence, usual, compared=compared)
    baking = max(0.0, state.passing + route.rollout.bake_time_of(stage) - now)
    left = opening(route.rollout, now + baking) - now
    follows = following(route, stage)
    waits = _waits(route, state, follows, baking, results, is_open=not left)
    return Progress(True, stage, follows, waits, left, results)


def _before_start(route: Route, state: RouteState, rollout: Schedule, now: float) -> Progress:
    """Return the progress of a rollout that has not started, which needs neither evidence nor approval."""
    left = start_of(rollout, now) - now
    waits: WaitReason = "window" if left else "nothing"
    if state.paused is not None:
        waits = "paused"
    if route.pin is not None:
        waits = "file"
    if state.cap is not None:
        waits = "cap"
    return Progress(False, reached(route, state), rollout.first, waits, left, ())


def gates(
    schedule: Schedule, evidence: Evidence, usual: FailureRatio | None, *, compared: bool
) -> tuple[MetricResult, ...]:
    """Evaluate the gates. Without shadow comparisons there is no mismatch gate."""
    legacy = FailureRatio(evidence.legacy_errors, evidence.legacy) if evidence.legacy >= schedule.minimum else usual
    limit = schedule.gates.errors / FULL
    native = FailureRatio(evidence.native_errors, evidence.native)
    results = [exceeding("errors", native, legacy, limit, schedule.minimum)]
    if compared:
        differing = FailureRatio(evidence.differing, evidence.compared)
        results.append(exceeding("mismatch", differing, None, schedule.gates.mismatch / FULL, schedule.minimum))
    return tuple(results)


def opening(rollout: Schedule, at: float) -> float:
    """Return the first time at or after `at` at which a rollout may be promoted, at most HORIZON days later."""
    opens = rollout.window.next_open(at) if rollout.window is not None else at
    return opens if opens is not None else at + HORIZON * 86_400.0


def start_of(rollout: Schedule, at: float) -> float:
    """Return the first time at or after `at` at which a rollout starts: with `start_at`, its window does not count."""
    return at if rollout.start_at is not None else opening(rollout, at)


def timetable(rollout: Schedule, start: float) -> Iterator[tuple[BasisPoints, float]]:
    """Yield each stage with its earliest time, for a rollout that starts at `start` and passes all gates."""
    yield from _times(rollout, rollout.first, start_of(rollout, start))


def end_of(rollout: Schedule, stage: BasisPoints, at: float) -> float:
    """Return the earliest time of the last stage, if `stage` is reached at `at` and all gates pass."""
    return max(time for _, time in _times(rollout, stage, opening(rollout, at)))


def _times(rollout: Schedule, stage: BasisPoints, at: float) -> Iterator[tuple[BasisPoints, float]]:
    for each in rollout.stages:
        if each >= stage:
            yield each, at
            at = opening(rollout, at + rollout.bake_time_of(each))


def _waits(
    route: Route,
    state: RouteState,
    follows: BasisPoints | None,
    baking: float,
    results: tuple[MetricResult, ...],
    *,
    is_open: bool,
) -> WaitReason:
    assert route.rollout is not None
    outcomes = {gate.outcome for gate in results}
    reasons: dict[WaitReason, bool] = {
        "cap": state.cap is not None,
        "gate": "fail" in outcomes,
        "completed": follows is None,
        "paused": state.paused is not None,
        "file": effective(route, state, read=True).by in ("file", "pin"),
        "bake_time": baking > 0,
        "evidence": "unknown" in outcomes,
        "approval": route.rollout.approve,
        "window": not is_open,
    }
    return next((reason for reason, applies in reasons.items() if applies), "nothing")

"""The state of each group of routes on the migration board: its next step, when, and what blocks it. Pure.

    not compared ─▶ comparing ─▶ clean ─▶ rolling out ─▶ done
                                    rolled back ◀─┘

Shares are in percent, times in seconds since the epoch, durations in seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from proxy.config.inheritance import is_compared
from proxy.config.models import Route
from proxy.config.quantities import FULL, show_share
from proxy.ops.board.lines import GroupLine, NeededEvidence, NextStep, State
from proxy.ops.rollout_views import CapView
from proxy.reports.models import RouteSummary
from proxy.rollout.model import Evidence, RouteState, ceiling
from proxy.rollout.progress import Progress, end_of, timetable
from proxy.rollout.shares import Effective
from proxy.types import BasisPoints

MINIMUM: Final = 100
"""Comparisons that a group without a rollout needs to be clean, within the span of the reports."""


@dataclass(frozen=True, slots=True)
class GroupFacts:
    """The facts about a group; its routes share `state`, `effective` and `progress`.

    `summary` are the requests and comparisons of its routes in the reports' span, `evidence` those of the bake time.
    """

    name: str
    routes: Sequence[Route]
    state: RouteState
    effective: Effective
    progress: Progress | None
    evidence: Evidence
    summary: RouteSummary

    @property
    def leader(self) -> Route:
        """The route that represents the group, preferably one that is not pinned."""
        return next((route for route in self.routes if route.pin is None), self.routes[0])


def group_line(facts: GroupFacts, now: float) -> GroupLine:
    """Return the line of a group. `now` is a time by the clock that replicas share."""
    state = _state(facts)
    return GroupLine(
        name=facts.name,
        routes=tuple(route.name for route in facts.routes),
        state=state,
        share=facts.effective.share / 100,
        file=ceiling(facts.leader) / 100,
        step=_step(facts, state, now),
        requests=sum(facts.summary.requests.values()),
        compared=facts.summary.compared,
        mismatch=facts.summary.mismatch,
        violation=facts.summary.violation,
        both=facts.summary.both,
        cap=CapView.of(facts.state.cap, now) if state == "rolled back" else None,
        ends=_end(facts, state, now),
    )


def _state(facts: GroupFacts) -> State:
    route, share = facts.leader, facts.effective.share
    if facts.effective.by == "cap":
        return "rolled back"
    if route.pin == "legacy":
        return "pinned"
    if share == FULL:
        return "done"
    if share or route.rollout is not None or route.native_traffic.include:
        return "rolling out"
    if not _is_shadowed(facts.routes):
        return "not compared"
    return "comparing" if facts.summary.failed or facts.summary.compared < MINIMUM else "clean"


def _is_shadowed(routes: Sequence[Route]) -> bool:
    return any(is_compared(route.pattern.method, route.shadow) for route in routes)


def _step(facts: GroupFacts, state: State, now: float) -> NextStep:
    if state == "rolled back":
        return _step_after_cap(facts, now)
    if state == "rolling out":
        return _step_of_rollout(facts)
    if state == "comparing":
        return _step_of_comparing(facts)
    actions: dict[State, str] = {
        "pinned": "remove `pin`",
        "done": "",
        "clean": "raise `native`, or add a `rollout`",
        "not compared": "set `shadow`",
    }
    return NextStep(actions[state], blocked="pinned to legacy" if state == "pinned" else "")


def _step_after_cap(facts: GroupFacts, now: float) -> NextStep:
    cap = facts.state.cap
    if cap is None:
        return NextStep("acknowledge")
    blocked = f"capped by {cap.by.actor}: {cap.by.reason}"
    if cap.acknowledged is not None:
        return NextStep("the cap is removed", max(0.0, cap.until - now), blocked)
    return NextStep("fix native, then acknowledge" if cap.by.actor == "guard" else "lift the rollback", None, blocked)


def _step_of_comparing(facts: GroupFacts) -> NextStep:
    if facts.summary.failed:
        return NextStep("fix or declare the differences", blocked=facts.summary.failures)
    return NextStep("becomes clean", needed=(NeededEvidence("comparisons", facts.summary.compared, MINIMUM),))


def _step_of_rollout(facts: GroupFacts) -> NextStep:
    progress, route = facts.progress, facts.leader
    if route.rollout is None or progress is None:
        return NextStep("raise `native`, or add a `rollout`")
    following = _following(progress, ceiling(route))
    needed = _needed(facts, route.rollout.minimum) if progress.started else ()
    if progress.waits == "bake_time":
        return NextStep(following, progress.left, needed=needed)
    if progress.waits == "window":
        return NextStep(following, progress.left, blocked="its window is closed")
    if progress.waits == "nothing":
        return NextStep(following, 0.0)
    if progress.waits == "paused" and facts.state.paused is not None:
        by = facts.state.paused
        blocked = f"paused by {by.actor}: {by.reason}"
        return NextStep(f"resume, then {following}", blocked=blocked, problem=True, advice=f"Resume; next: {following}")
    if progress.waits == "gate" and progress.failed_gate is not None:
        blocked = f"gate fails: {progress.failed_gate.description}"
        advice = f"Read the reports of its routes, then fix native or roll back; next: {following}"
        return NextStep(following, blocked=blocked, problem=True, advice=advice, needed=needed)
    if progress.waits == "file":
        allowed = show_share(ceiling(route))
        return NextStep(f"raise `native` above {allowed}", blocked=f"`native` allows {allowed}")
    if progress.waits == "approval":
        advice = f"Promote it to {following} if you approve"
        return NextStep(f"approve {following}", blocked="needs approval", problem=True, advice=advice)
    if progress.waits == "evidence":
        advice = f"Wait for more requests, or promote it; next: {following}"
        return NextStep(following, blocked="too little evidence", problem=True, advice=advice, needed=needed)
    return NextStep(following, blocked=progress.waits.replace("_", " "))


def _following(progress: Progress, limit: BasisPoints) -> str:
    """Return the share of the next stage, of which `native` allows at most `limit`."""
    if progress.following is None:
        return "the last stage"
    return f"{'' if progress.started else 'starts at '}{show_share(min(progress.following, limit))}"


def _needed(facts: GroupFacts, minimum: int) -> tuple[NeededEvidence, ...]:
    """Return the evidence that is still missing."""
    required = [NeededEvidence("requests", facts.evidence.native, minimum)]
    if _is_shadowed(facts.routes):
        required.append(NeededEvidence("comparisons", facts.evidence.compared, minimum))
    return tuple(one for one in required if one.have < one.need)


def _end(facts: GroupFacts, state: State, now: float) -> float | None:
    """Return the earliest time at which native answers all callers; None if the file does not plan that."""
    rollout, progress = facts.leader.rollout, facts.progress
    if state == "done":
        return now
    if rollout is None or state == "pinned" or ceiling(facts.leader) < FULL or rollout.stages[-1] < FULL:
        return None
    if progress is None or not progress.started:
        return max(at for _, at in timetable(rollout, now))
    if progress.following is None:
        return now + progress.left
    return end_of(rollout, progress.following, now + progress.left)

"""The share in force: the lowest of the file's share, the rollout's stage and the cap. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from proxy.config.field_types import FULL, ZERO, show_share
from proxy.config.models import Route
from proxy.rollout.model import LimitedBy, RouteState, ceiling
from proxy.types import BasisPoints


@dataclass(frozen=True, slots=True)
class Effective:
    """Native's share in basis points; `by` names the limit that applies and `reason` describes it.

    `stage` and `cap` are those two limits, 10,000 if they do not limit anything; `bucketing.decide` receives them.
    """

    share: BasisPoints
    by: LimitedBy
    reason: str
    stage: BasisPoints = FULL
    cap: BasisPoints = FULL


def effective(route: Route, state: RouteState | None, *, read: bool) -> Effective:
    """Return the share in force. `read`: the shared states have been read since this process started.

    Until then, a route that may have a cap or a stage stays on legacy: a restart during an outage of MongoDB must not
    lift a cap.
    """
    if route.pin is not None:
        return Effective(ceiling(route), "pin", f"the route is pinned to {route.pin}")
    if not read and (route.guard is not None or route.rollout is not None):
        return Effective(ZERO, "unread", "the shared state has not been read yet", stage=ZERO)
    stage = reached(route, state)
    left = min(route.native, stage)
    cap = state.cap if state is not None else None
    if cap is not None and cap.share <= left:
        reason = f"limited to {show_share(cap.share)} by {cap.by.actor}: {cap.by.reason}"
        return Effective(cap.share, "cap", reason, stage, cap.share)
    cap_share = cap.share if cap is not None else FULL
    if stage < route.native:
        has_started = state is not None and state.stage is not None
        reason = f"the rollout is at {show_share(stage)}" if has_started else "the rollout has not started"
        return Effective(stage, "stage", reason, stage, cap_share)
    return Effective(route.native, "file", "the file's share", stage, cap_share)


def lowers(route: Route, state: RouteState, share: BasisPoints) -> bool:
    """Return True if a cap at a share moves any callers away from native, targeted callers included."""
    now = effective(route, state, read=True)
    if share < now.share:
        return True
    return share == 0 and bool(route.native_traffic.include) and route.pin is None and now.cap > 0


def share_before(state: RouteState, former: BasisPoints, *, had_rollout: bool) -> BasisPoints:
    """Return the share in force for a state while the file allowed `former`, with or without a rollout."""
    stage = state.stage if had_rollout and state.stage is not None else FULL
    return min(former, stage, state.cap.share if state.cap is not None else FULL)


def reached(route: Route, state: RouteState | None) -> BasisPoints:
    """Return the rollout's stage: before the start `start_at` or 0; 10,000 without a rollout.

    If the stages have changed since, return the highest stage not above the stored one, or else the first.
    """
    if route.rollout is None:
        return FULL
    if state is None or state.stage is None:
        return route.rollout.start_at or ZERO
    return at_most(route, state.stage)


def at_most(route: Route, share: BasisPoints) -> BasisPoints:
    """Return the highest stage not above a share, or else the first."""
    assert route.rollout is not None
    stages = route.rollout.stages
    return max((stage for stage in stages if stage <= share), default=stages[0])


def below(route: Route, share: BasisPoints) -> BasisPoints:
    """Return the highest stage below a share, or 0."""
    stages = route.rollout.stages if route.rollout is not None else ()
    return max((stage for stage in stages if stage < share), default=ZERO)


def following(route: Route, share: BasisPoints) -> BasisPoints | None:
    """Return the stage after a share; None at the last."""
    stages = route.rollout.stages if route.rollout is not None else ()
    return min((stage for stage in stages if stage > share), default=None)

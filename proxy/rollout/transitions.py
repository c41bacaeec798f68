"""Transitions of a route's state, each a function from one state to the next. Pure.

The caller decides when a transition is due (see `progress`); the store decides which of two concurrent ones succeeds. A
transition that the current state does not allow raises `Refused`.
"""

from __future__ import annotations

from dataclasses import replace

from proxy.config.field_types import ZERO, show_duration, show_share
from proxy.config.models import Route
from proxy.rollout.model import GUARD, SCHEDULE, Attribution, AuditEntry, Cap, Kind, RouteState, state_key
from proxy.rollout.shares import at_most, below, effective, following, lowers, reached
from proxy.types import BasisPoints


class Refused(Exception):
    """An action that the current state does not allow; the message gives the reason."""


def initial_state(route: Route) -> RouteState:
    """Return the state of a route without a stored state; its version 0 is never stored."""
    return RouteState(state_key(route), AuditEntry("start", Attribution("", "", 0.0), ZERO, ZERO), version=0)


def start_rollout(route: Route, state: RouteState, now: float) -> RouteState:
    """Start the rollout at its first stage."""
    assert route.rollout is not None
    first = route.rollout.first
    by = Attribution(SCHEDULE, f"the rollout starts at {show_share(first)}", now)
    return _changed(route, state, "start", by, stage=first, since=now, passing=now)


def continue_rollout(route: Route, state: RouteState, running: BasisPoints, now: float) -> RouteState:
    """Start a rollout that was added to a route with a running share, at its highest stage of at most that."""
    assert route.rollout is not None
    stage = route.rollout.continuing(running)
    reason = f"a `rollout` was added at {show_share(running)}, and continues at {show_share(stage or ZERO)}"
    after = _changed(route, state, "start", Attribution(SCHEDULE, reason, now), stage=stage, since=now, passing=now)
    return replace(after, change=replace(after.change, before=running))


def promote(route: Route, state: RouteState, by: Attribution) -> RouteState:
    """Move the rollout to its next stage."""
    if route.rollout is None:
        raise Refused(f"{route.domain} has no rollout; its share is `native` in the file")
    if state.cap is not None:
        raise Refused(
            f"{route.domain} is capped at {show_share(state.cap.share)} by {state.cap.by.actor}; ack it first"
        )
    if state.stage is None:
        raise Refused(f"the rollout of {route.domain} has not started yet; with `start_at` it starts at once")
    stage = following(route, reached(route, state))
    if stage is None:
        raise Refused(f"{route.domain} is at its last stage")
    return _changed(route, state, "promotion", by, stage=stage, since=by.at, passing=by.at, missed=None)


def pause(route: Route, state: RouteState, by: Attribution) -> RouteState:
    """Pause the rollout at its current stage."""
    if route.rollout is None:
        raise Refused(f"{route.domain} has no rollout that could be paused")
    if state.paused is not None:
        raise Refused(f"{route.domain} is paused already, by {state.paused.actor}: {state.paused.reason}")
    return _changed(route, state, "pause", by, paused=by)


def resume(route: Route, state: RouteState, by: Attribution) -> RouteState:
    """Resume a paused rollout."""
    if state.paused is None:
        raise Refused(f"{route.domain} is not paused")
    return _changed(route, state, "resume", by, paused=None)


def gate_failed(route: Route, state: RouteState, reason: str, now: float) -> RouteState:
    """Record a failed gate; the bake time starts again."""
    by = Attribution(SCHEDULE, reason, now)
    return _changed(route, state, "gate", by, passing=now, missed=by)


def share_changed(route: Route, state: RouteState, by: Attribution) -> RouteState:
    """Record that the file allows another share; the bake time starts again, because evidence is about the former."""
    return _changed(route, state, "share", by, passing=by.at)


def guard_failed(route: Route, state: RouteState, reason: str, now: float) -> RouteState | None:
    """Cap a route whose native fails, at 0% or the previous stage; None if the share is not above that."""
    assert route.guard is not None
    now_at = effective(route, state, read=True).share
    share = below(route, now_at) if route.guard.on_failure == "previous" else 0
    if not lowers(route, state, BasisPoints(share)):
        return None
    return _with_cap(route, state, BasisPoints(share), "cap", Attribution(GUARD, reason, now), route.guard.cooldown)


def rebase_local_cap(route: Route, state: RouteState, own: RouteState) -> RouteState | None:
    """Apply a local cap to the store's newer state; None if the share there is not above the cap."""
    assert own.cap is not None
    cap = own.cap
    if not lowers(route, state, cap.share):
        return None
    after = _with_cap(route, state, cap.share, own.change.kind, cap.by, cap.cooldown)
    return replace(after, change=replace(after.change, announced=own.change.announced))


def roll_back(route: Route, state: RouteState, share: BasisPoints, by: Attribution) -> RouteState:
    """Cap the share for a person, until it is acknowledged."""
    if route.pin is not None:
        raise Refused(f"{route.domain} is pinned to {route.pin} in the file, which takes precedence over every share")
    now_at = effective(route, state, read=True)
    if not lowers(route, state, share) and not (share <= now_at.share and _rises_by_itself(route, state)):
        raise Refused(f"{route.domain} is at {show_share(now_at.share)} already: {now_at.reason}")
    return _with_cap(route, state, share, "rollback", by, 0.0)


def _rises_by_itself(route: Route, state: RouteState) -> bool:
    """Return True if a rollout is to start, or a cap is removed once its cooldown has passed."""
    if state.cap is not None:
        return state.cap.acknowledged is not None
    return route.rollout is not None and state.stage is None


def acknowledge(route: Route, state: RouteState, by: Attribution, *, at_once: bool) -> RouteState:
    """Acknowledge the cap. Remove it now if its cooldown has passed or `at_once` is set, otherwise later."""
    cap = state.cap
    if cap is None:
        raise Refused(f"{route.domain} is not capped")
    if at_once or by.at >= cap.until or not cap.cooldown:
        return _released(route, state, "release", by)
    if cap.acknowledged is not None:
        left = show_duration(float(round(cap.until - by.at) or 1))
        raise Refused(f"{route.domain} is acknowledged already, by {cap.acknowledged.actor}, and cools down for {left}")
    return _changed(route, state, "ack", by, cap=replace(cap, acknowledged=by))


def release_if_due(route: Route, state: RouteState, now: float) -> RouteState | None:
    """Remove an acknowledged cap whose cooldown has passed; None if no removal is due."""
    cap = state.cap
    if cap is None or cap.acknowledged is None or now < cap.until:
        return None
    return _released(route, state, "release", Attribution(GUARD, "acknowledged, and its cooldown has passed", now))


def move_cooldown(route: Route, state: RouteState, now: float, began: float) -> RouteState:
    """Let a guard's cap have begun at `began`, at the latest `now`, because the clock that timed it has jumped."""
    assert state.cap is not None
    began = min(began, now)
    until = began + state.cap.cooldown
    cap = replace(state.cap, by=replace(state.cap.by, at=began), until=until)
    left = show_duration(float(max(1, round(until - now))))
    by = Attribution(GUARD, f"the clock jumped; {left} of the cooldown are left", now)
    return _changed(route, state, "cap", by, cap=cap, since=began)


def _with_cap(
    route: Route, state: RouteState, share: BasisPoints, kind: Kind, by: Attribution, cooldown: float
) -> RouteState:
    """Add a cap. A rollout falls back to a stage below the cap, and continues there after the cap is removed."""
    has_started = route.rollout is not None and state.stage is not None
    stage = at_most(route, share) if has_started else state.stage
    cap = Cap(share, by, by.at + cooldown)
    return _changed(route, state, kind, by, cap=cap, stage=stage, since=by.at, passing=by.at)


def _released(route: Route, state: RouteState, kind: Kind, by: Attribution) -> RouteState:
    return _changed(route, state, kind, by, cap=None, since=by.at, passing=by.at, missed=None)


def _changed(route: Route, state: RouteState, kind: Kind, by: Attribution, **fields: object) -> RouteState:
    after = replace(state, version=state.version + 1, **fields)  # type: ignore[arg-type]
    before_at, after_at = (effective(route, each, read=True).share for each in (state, after))
    change = AuditEntry(kind, by, before_at, after_at, route=route.domain, revision=route.revision or "")
    return replace(after, change=change)

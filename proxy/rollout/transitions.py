"""All that can become of a route's state, each as a function from one to the next. Pure.

Nothing here asks whether it is time (`progress` does), nor whether somebody else was faster (the store does). What
makes no sense as things are is `Refused`, in words for whoever asked.
"""

from __future__ import annotations

from dataclasses import replace

from proxy.config.field_types import show_duration, show_share
from proxy.config.models import Route
from proxy.rollout.model import GUARD, SCHEDULE, Attribution, AuditEntry, Cap, Kind, RouteState, state_key
from proxy.rollout.shares import at_most, below, effective, following, reached


class Refused(Exception):
    """What was asked for cannot be, as things are."""


def initial_state(route: Route) -> RouteState:
    """A route of which nothing is known yet: version 0 is never stored."""
    return RouteState(state_key(route), AuditEntry("start", Attribution("", "", 0.0), 0, 0), version=0)


def start_rollout(route: Route, state: RouteState, now: float) -> RouteState:
    """The rollout at its first stage."""
    assert route.rollout is not None
    first = route.rollout.stages[0]
    by = Attribution(SCHEDULE, f"the rollout begins, at {show_share(first)}", now)
    return _changed(route, state, "start", by, stage=first, since=now, passing=now)


def promote(route: Route, state: RouteState, by: Attribution) -> RouteState:
    """The next stage."""
    if route.rollout is None:
        raise Refused(f"{route.name} has no rollout; its share is `native` in the file")
    if state.clamp is not None:
        raise Refused(f"{route.name} is held at {show_share(state.clamp.share)} by {state.clamp.by.who}; ack it first")
    if state.stage is None:
        raise Refused(f"the rollout of {route.name} has not begun yet")
    stage = following(route, reached(route, state))
    if stage is None:
        raise Refused(f"{route.name} is at its last stage")
    return _changed(route, state, "promotion", by, stage=stage, since=by.at, passing=by.at, missed=None)


def pause(route: Route, state: RouteState, by: Attribution) -> RouteState:
    """No stage follows by itself any more."""
    if route.rollout is None:
        raise Refused(f"{route.name} has no rollout that could be held")
    if state.held is not None:
        raise Refused(f"{route.name} is held already, by {state.held.who}: {state.held.why}")
    return _changed(route, state, "hold", by, held=by)


def resume(route: Route, state: RouteState, by: Attribution) -> RouteState:
    """Stages follow by themselves again."""
    if state.held is None:
        raise Refused(f"{route.name} is not held")
    return _changed(route, state, "resume", by, held=None)


def gate_failed(route: Route, state: RouteState, why: str, now: float) -> RouteState:
    """A gate was missed: the hold begins anew."""
    by = Attribution(SCHEDULE, why, now)
    return _changed(route, state, "gate", by, passing=now, missed=by)


def share_changed(route: Route, state: RouteState, by: Attribution) -> RouteState:
    """The file allows another share than it did: what was seen before was seen of that, and the hold begins anew."""
    return _changed(route, state, "share", by, passing=by.at)


def guard_failed(route: Route, state: RouteState, why: str, now: float) -> RouteState | None:
    """The guard found native to fail: nothing is left of its share, or the previous stage. None: no less than is."""
    assert route.guard is not None
    now_at = effective(route, state, read=True).share
    share = below(route, now_at) if route.guard.on_failure == "previous" else 0
    if share >= now_at:
        return None
    return _clamped(route, state, share, "clamp", Attribution(GUARD, why, now), route.guard.cooldown)


def rebase_local_cap(route: Route, state: RouteState, own: RouteState) -> RouteState | None:
    """What a process did on its own, on top of what others did meanwhile. None: they left no more than it would."""
    assert own.clamp is not None
    if effective(route, state, read=True).share <= own.clamp.share:
        return None
    clamp = own.clamp
    return _clamped(route, state, clamp.share, own.change.kind, clamp.by, clamp.until - clamp.by.at)


def roll_back(route: Route, state: RouteState, share: int, by: Attribution) -> RouteState:
    """A person holds the share down, until it is acknowledged."""
    if route.pin is not None:
        raise Refused(f"{route.name} is pinned to {route.pin} in the file, which stands above every share")
    now_at = effective(route, state, read=True)
    if share >= now_at.share:
        raise Refused(f"{route.name} is at {show_share(now_at.share)} already: {now_at.why}")
    return _clamped(route, state, share, "rollback", by, 0.0)


def acknowledge(route: Route, state: RouteState, by: Attribution, *, at_once: bool) -> RouteState:
    """The clamp goes: now if it has cooled down (or `at_once`), else as soon as it has."""
    clamp = state.clamp
    if clamp is None:
        raise Refused(f"{route.name} is not held down by anything")
    if at_once or by.at >= clamp.until:
        return _released(route, state, "ack", by)
    if clamp.acknowledged is not None:
        left = show_duration(float(round(clamp.until - by.at) or 1))
        raise Refused(f"{route.name} is acknowledged already, by {clamp.acknowledged.who}, and cools down for {left}")
    return _changed(route, state, "ack", by, clamp=replace(clamp, acknowledged=by))


def release_if_due(route: Route, state: RouteState, now: float) -> RouteState | None:
    """The clamp goes because it is acknowledged and has cooled down; None while that is not so."""
    clamp = state.clamp
    if clamp is None or clamp.acknowledged is None or now < clamp.until:
        return None
    return _released(route, state, "release", Attribution(GUARD, "acknowledged, and cooled down", now))


def _clamped(route: Route, state: RouteState, share: int, kind: Kind, by: Attribution, cooldown: float) -> RouteState:
    """A rollout goes back to a stage that the clamp allows, and goes on from there once it is gone."""
    stage = at_most(route, share) if route.rollout is not None else state.stage
    clamp = Cap(share, by, by.at + cooldown)
    return _changed(route, state, kind, by, clamp=clamp, stage=stage, since=by.at, passing=by.at)


def _released(route: Route, state: RouteState, kind: Kind, by: Attribution) -> RouteState:
    return _changed(route, state, kind, by, clamp=None, since=by.at, passing=by.at, missed=None)


def _changed(route: Route, state: RouteState, kind: Kind, by: Attribution, **fields: object) -> RouteState:
    after = replace(state, version=state.version + 1, **fields)  # type: ignore[arg-type]
    before_at, after_at = (effective(route, each, read=True).share for each in (state, after))
    change = AuditEntry(kind, by, before_at, after_at, route=route.name, revision=route.revision or "")
    return replace(after, change=change)

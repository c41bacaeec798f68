"""Changes of a route's state that its processes and the clock cause: local caps, added rollouts, jumps, cooldowns."""

from __future__ import annotations

from dataclasses import replace

import pytest

from proxy.config.models import Route
from proxy.rollout.model import Attribution, RouteState
from proxy.rollout.shares import effective
from proxy.rollout.transitions import (
    Refused,
    acknowledge,
    continue_rollout,
    gate_failed,
    guard_failed,
    initial_state,
    move_cooldown,
    pause,
    promote,
    rebase_local_cap,
    release_if_due,
    resume,
    roll_back,
    share_changed,
    start_rollout,
)
from proxy.types import BasisPoints

ROUTE = Route.model_validate(
    {
        "name": "a",
        "match": "GET /a",
        "revision": "7",
        "guard": {"cooldown": "10m"},
        "rollout": {"stages": ["1%", "10%", "50%"], "bake_time": "1d"},
    }
)


def by(at: float) -> Attribution:
    return Attribution("amara", "because", at)


def at_second_stage() -> RouteState:
    return promote(ROUTE, start_rollout(ROUTE, initial_state(ROUTE), 10.0), by(20.0))


def capped(at: float = 100.0) -> RouteState:
    state = guard_failed(ROUTE, at_second_stage(), "errors 40%", at)
    assert state is not None
    return state


def test_every_change_names_its_kind_route_and_revision() -> None:
    assert initial_state(ROUTE).change.kind == "start"
    state = start_rollout(ROUTE, initial_state(ROUTE), 10.0)
    assert (state.change.kind, state.change.route, state.change.revision) == ("start", "a", "7")
    assert (state.change.before, state.change.after, state.change.by.at) == (0, 100, 10.0)


@pytest.mark.parametrize(("running", "stage", "shown"), [(500, 100, "1%"), (1000, 1000, "10%"), (50, None, "0%")])
def test_added_rollout_continues_at_the_highest_stage(running: int, stage: int | None, shown: str) -> None:
    state = continue_rollout(ROUTE, initial_state(ROUTE), BasisPoints(running), 30.0)
    assert (state.stage, state.since, state.passing) == (stage, 30.0, 30.0)
    assert (state.change.kind, state.change.before, state.change.after) == ("start", running, stage or 0)
    assert state.change.by.reason.endswith(f"and continues at {shown}")


@pytest.mark.parametrize("announced", [False, True])
def test_local_cap_is_applied_to_the_newer_state(announced: bool) -> None:
    local, newer = capped(), promote(ROUTE, at_second_stage(), by(90.0))
    own = replace(local, change=replace(local.change, announced=announced))
    state = rebase_local_cap(ROUTE, newer, own)
    assert state is not None
    assert (state.version, state.cap, state.change.kind) == (newer.version + 1, own.cap, "cap")
    assert (state.change.before, state.change.after) == (5000, 0)
    assert state.change.announced is announced
    assert rebase_local_cap(ROUTE, capped(95.0), own) is None


def test_acknowledged_cap_names_the_time_that_is_left() -> None:
    state = acknowledge(ROUTE, capped(), by(100.0), at_once=False)
    assert (state.change.kind, effective(ROUTE, state, read=True).share) == ("ack", 0)
    for now, left in ((100.0, "10m"), (640.0, "1m"), (699.2, "1s"), (699.9, "1s")):
        with pytest.raises(Refused, match=f"by amara, and cools down for {left}$"):
            acknowledge(ROUTE, state, by(now), at_once=False)
    assert release_if_due(ROUTE, state, 699.9) is None
    released = release_if_due(ROUTE, state, 700.0)
    assert released is not None
    assert (released.cap, released.change.kind) == (None, "release")
    assert released.change.by.reason == "acknowledged, and its cooldown has passed"


def test_state_without_a_cap_has_nothing_to_release() -> None:
    assert release_if_due(ROUTE, at_second_stage(), 1e9) is None
    assert release_if_due(ROUTE, capped(), 1e9) is None


@pytest.mark.parametrize(("began", "start"), [(500.0, 500.0), (900.0, 800.0)])
def test_cooldown_moves_with_a_jump_of_the_clock(began: float, start: float) -> None:
    state = move_cooldown(ROUTE, capped(), 800.0, began)
    assert state.cap is not None
    assert (state.cap.by.at, state.cap.until, state.since) == (start, start + 600.0, start)
    assert (state.change.kind, state.change.by.at, state.cap.share) == ("cap", 800.0, 0)
    assert state.change.by.reason.startswith("the clock jumped; ")


def test_pinned_route_is_not_rolled_back() -> None:
    pinned = Route.model_validate({"name": "a", "match": "GET /a", "guard": {}, "native": "25%", "pin": "native"})
    with pytest.raises(Refused, match="a is pinned to native in the file"):
        roll_back(pinned, initial_state(pinned), BasisPoints(0), by(5.0))


def test_each_change_has_its_kind() -> None:
    state, cap = at_second_stage(), BasisPoints(0)
    rolled_back = roll_back(ROUTE, state, cap, by(30.0))
    changed = {
        "pause": pause(ROUTE, state, by(30.0)),
        "resume": resume(ROUTE, pause(ROUTE, state, by(30.0)), by(31.0)),
        "gate": gate_failed(ROUTE, state, "errors 40%", 30.0),
        "share": share_changed(ROUTE, state, by(30.0)),
        "rollback": rolled_back,
        "release": acknowledge(ROUTE, rolled_back, by(29.0), at_once=False),  # also by a clock that is behind
    }
    assert {kind: after.change.kind for kind, after in changed.items()} == {kind: kind for kind in changed}


@pytest.mark.parametrize("rollout", [True, False])
def test_rollback_to_the_present_share_is_refused(rollout: bool) -> None:
    plain = Route.model_validate({"name": "a", "match": "GET /a", "guard": {}, "native": "10%"})
    route, state = (ROUTE, at_second_stage()) if rollout else (plain, initial_state(plain))
    with pytest.raises(Refused, match="a is at 10% already"):
        roll_back(route, state, BasisPoints(1000), by(30.0))

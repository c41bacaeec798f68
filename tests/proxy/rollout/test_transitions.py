"""A route's state from one change to the next, and the resulting share of native."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.field_types import FULL, ZERO
from proxy.config.models import Route
from proxy.rollout.model import Attribution, RouteState, state_key
from proxy.rollout.shares import effective
from proxy.rollout.transitions import (
    Refused,
    acknowledge,
    gate_failed,
    guard_failed,
    initial_state,
    pause,
    promote,
    release_if_due,
    resume,
    roll_back,
    share_changed,
    start_rollout,
)
from proxy.types import BasisPoints

STAGES = ("1%", "10%", "50%", "100%")


def route(**more: object) -> Route:
    values: dict[str, object] = {"name": "a", "match": "GET /a", "guard": {"cooldown": "10m"}}
    return Route.model_validate({**values, "rollout": {"stages": STAGES, "bake_time": "1d"}, **more})


PLAIN = route(rollout=None, native="25%")
BACK = route(guard={"on_failure": "previous"})


def by(at: float = 100.0, reason: str = "because") -> Attribution:
    return Attribution("amara", reason, at)


def at(stage: int, chosen: Route | None = None) -> RouteState:
    """Return a rollout that has reached a stage."""
    chosen = chosen or route()
    state = start_rollout(chosen, initial_state(chosen), 10.0)
    while state.stage != stage:
        state = promote(chosen, state, by(20.0))
    return state


def capped_of(state: RouteState) -> RouteState:
    capped = guard_failed(route(), state, "bad", 600.0)
    assert capped is not None
    return capped


def share(chosen: Route, state: RouteState | None) -> int:
    return effective(chosen, state, read=True).share


def test_rollout_starts_at_its_first_stage_and_rises_to_its_last() -> None:
    state = at(100)
    assert (state.version, state.since, state.passing, share(route(), state)) == (1, 10.0, 10.0, 100)
    for expected in (1000, 5000, FULL):
        state = promote(route(), state, by(50.0))
        assert (share(route(), state), state.since, state.passing) == (expected, 50.0, 50.0)
        assert (state.change.kind, state.change.after, state.change.by.actor) == ("promotion", expected, "amara")
    with pytest.raises(Refused, match="at its last stage"):
        promote(route(), state, by())


def test_unstarted_rollout_has_a_share_of_zero() -> None:
    assert share(route(), None) == share(route(), initial_state(route())) == 0
    with pytest.raises(Refused, match="not started"):
        promote(route(), initial_state(route()), by())


def test_cappable_routes_stay_on_legacy_until_the_state_is_read() -> None:
    for chosen, expected in ((route(), 0), (PLAIN, 0), (route(rollout=None, guard=None, native="25%"), 2500)):
        assert effective(chosen, None, read=False).share == expected


def test_file_is_a_ceiling_and_a_pin_precedes_all() -> None:
    assert share(route(native="5%"), at(1000)) == 500
    assert effective(route(native="5%"), at(1000), read=True).by == "file"
    assert share(route(pin="native"), None) == FULL
    assert effective(route(pin="legacy"), at(1000), read=False).by == "pin"


def test_changed_stages_are_applied_downwards_only() -> None:
    assert share(route(rollout={"stages": ["5%", "25%"]}), at(1000)) == 500
    assert share(route(rollout={"stages": ["20%", "25%"]}), at(1000)) == 2000


def test_failure_sets_share_0_and_the_first_stage() -> None:
    state = guard_failed(route(), at(5000), "errors 40%", 100.0)
    assert state is not None
    assert (share(route(), state), state.stage) == (0, 100)
    in_force = effective(route(), state, read=True)
    assert (in_force.by, in_force.reason) == ("cap", "limited to 0% by guard: errors 40%")
    assert (state.change.kind, state.change.before, state.change.after) == ("cap", 5000, 0)
    assert guard_failed(route(), state, "again", 101.0) is None


def test_failure_can_step_back_one_stage() -> None:
    state = at(5000, BACK)
    for expected, stage in ((1000, 1000), (100, 100), (0, 100)):
        after = guard_failed(BACK, state, "slow", 100.0)
        assert after is not None
        assert (share(BACK, after), after.stage) == (expected, stage)
        assert effective(BACK, after, read=True).by == "cap"
        state = after
    assert guard_failed(BACK, state, "slow", 100.0) is None


def test_cap_needs_an_acknowledgement_and_its_cooldown() -> None:
    state = guard_failed(route(), at(5000), "errors", 100.0)
    assert state is not None
    assert release_if_due(route(), state, 10_000.0) is None  # no evaluation yet
    acknowledged = acknowledge(route(), state, by(200.0), at_once=False)
    assert share(route(), acknowledged) == 0
    with pytest.raises(Refused, match="already, by amara, and cools down for 9m"):
        acknowledge(route(), acknowledged, by(160.0), at_once=False)
    assert release_if_due(route(), acknowledged, 699.0) is None
    free = release_if_due(route(), acknowledged, 700.0)
    assert free is not None
    assert (free.cap, free.stage, free.passing, free.change.kind, free.change.after) == (
        None,
        100,
        700.0,
        "release",
        100,
    )


def test_explicit_release_skips_the_cooldown() -> None:
    state = guard_failed(route(), at(5000), "errors", 100.0)
    assert state is not None
    free = acknowledge(route(), state, by(101.0, "a false alarm"), at_once=True)
    assert (free.cap, share(route(), free), free.change.by.reason) == (None, 100, "a false alarm")
    late = acknowledge(route(), state, by(100_000.0), at_once=False)
    assert late.cap is None


def test_manual_rollback_stays_until_acknowledged() -> None:
    for chosen, state in ((route(), at(5000)), (PLAIN, initial_state(PLAIN))):
        down = roll_back(chosen, state, ZERO, by())
        assert share(chosen, down) == 0
        assert effective(chosen, down, read=True).reason == "limited to 0% by amara: because"
        up = acknowledge(chosen, down, by(100.5), at_once=False)  # nothing to cool down from
        assert share(chosen, up) == (100 if chosen.rollout else 2500)


def test_rollback_can_leave_a_stage() -> None:
    down = roll_back(route(), at(5000), BasisPoints(1000), by())
    assert (share(route(), down), down.stage) == (1000, 1000)
    with pytest.raises(Refused, match="capped at 10% by amara; ack it first"):
        promote(route(), down, by())


def test_rollback_never_raises_a_share() -> None:
    for chosen, state, text in (
        (PLAIN, initial_state(PLAIN), "is at 25% already: the file's share"),
        (route(), at(1000), "is at 10% already: the rollout is at 10%"),
        (route(pin="legacy"), initial_state(route()), "is pinned to legacy"),
    ):
        with pytest.raises(Refused, match=text):
            roll_back(chosen, state, BasisPoints(5000), by())


def test_rollout_is_paused_and_resumed() -> None:
    state = pause(route(), at(1000), by())
    assert share(route(), state) == 1000
    with pytest.raises(Refused, match="paused already, by amara: because"):
        pause(route(), state, by())
    free = resume(route(), state, by())
    assert (free.paused, free.passing) == (None, at(1000).passing)
    with pytest.raises(Refused, match="is not paused"):
        resume(route(), free, by())
    assert promote(route(), state, by()).paused is not None  # a person may go on and still hold it there


def test_rollback_before_the_start_prevents_the_start_only() -> None:
    before = initial_state(route())
    state = roll_back(route(), before, ZERO, by())
    assert (share(route(), state), state.stage) == (0, None)
    with pytest.raises(Refused, match="at 0% already"):
        roll_back(route(), state, ZERO, by())
    lifted = acknowledge(route(), state, by(), at_once=False)
    assert (lifted.cap, lifted.stage, share(route(), lifted)) == (None, None, 0)


def test_rollback_takes_over_an_acknowledged_cap() -> None:
    capped = guard_failed(route(), at(5000), "errors", 100.0)
    assert capped is not None
    with pytest.raises(Refused, match="at 0% already"):
        roll_back(route(), capped, ZERO, by())
    acknowledged = acknowledge(route(), capped, by(200.0), at_once=False)
    state = roll_back(route(), acknowledged, ZERO, by(300.0))
    assert release_if_due(route(), state, 10_000.0) is None
    assert state.cap is not None
    assert (state.cap.by.actor, share(route(), state)) == ("amara", 0)
    with pytest.raises(Refused, match="at 0% already"):
        roll_back(route(), acknowledged, BasisPoints(1000), by(300.0))  # never raises a share


def test_routes_without_rollout_or_cap_refuse_the_actions() -> None:
    for action in (promote, pause):
        with pytest.raises(Refused, match="no rollout"):
            action(PLAIN, initial_state(PLAIN), by())
    with pytest.raises(Refused, match="is not capped"):
        acknowledge(PLAIN, initial_state(PLAIN), by(), at_once=True)


def test_failed_gate_or_new_file_share_restarts_the_bake_time() -> None:
    state = gate_failed(route(), at(1000), "errors 2%", 500.0)
    assert (state.passing, state.since, state.stage) == (500.0, 20.0, 1000)
    assert state.missed is not None
    assert share_changed(route(), state, by(600.0)).passing == 600.0
    for passed in (promote(route(), state, by(700.0)), acknowledge(route(), capped_of(state), by(9e9), at_once=False)):
        assert (passed.missed, passed.cap) == (None, None)


def test_revisions_have_separate_states() -> None:
    assert state_key(route()) == "a"
    assert state_key(route(revision="2026-11")) == "a@2026-11"


def test_unknown_fields_of_a_later_release_are_ignored() -> None:
    document = at(1000).document()
    later = {**document, "mood": "fine", "change": {**document["change"], "weather": "dry"}}
    assert RouteState.of(later) == at(1000)


def after(step: str, chosen: Route, state: RouteState, now: float) -> RouteState:
    attribution = by(now)
    if step == "fail":
        return guard_failed(chosen, state, "bad", now) or state
    if step == "miss":
        return gate_failed(chosen, state, "gate", now) if chosen.rollout else state
    if step == "ack":
        return acknowledge(chosen, state, attribution, at_once=True)
    if step == "rollback":
        return roll_back(chosen, state, ZERO, attribution)
    return {"promote": promote, "pause": pause, "resume": resume}[step](chosen, state, attribution)


STEPS = st.lists(st.sampled_from(["promote", "fail", "ack", "pause", "resume", "miss", "rollback"]), max_size=30)


@given(STEPS, st.sampled_from([route(), BACK, PLAIN, route(native="30%")]))
def test_shares_stay_within_the_file_and_versions_increase(steps: list[str], chosen: Route) -> None:
    state = start_rollout(chosen, initial_state(chosen), 0.0) if chosen.rollout else initial_state(chosen)
    for now, step in enumerate(steps, 1):
        before, at_before = state, share(chosen, state)
        try:
            state = after(step, chosen, before, float(now))
        except Refused:
            continue
        at_after = share(chosen, state)
        assert 0 <= at_after <= chosen.native
        assert RouteState.of(state.document()) == state
        if step in ("fail", "rollback"):
            assert at_after <= at_before
        if state is not before:
            assert state.version == before.version + 1
            assert (state.change.before, state.change.after) == (at_before, at_after)

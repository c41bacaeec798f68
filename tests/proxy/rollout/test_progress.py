"""The promotion of a rollout, and the reasons to wait."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from proxy.config.field_types import FULL, ZERO
from proxy.config.inheritance import is_compared
from proxy.config.models import Route
from proxy.rollout.analysis.callers import FailureRatio
from proxy.rollout.model import Attribution, Cap, Evidence, RouteState
from proxy.rollout.progress import end_of, progress, timetable
from proxy.rollout.shares import effective
from proxy.rollout.transitions import initial_state, promote, start_rollout
from proxy.types import BasisPoints

DAY = 86_400.0
HOUR = 3600.0
GOOD = Evidence(native=5000, native_errors=1, legacy=5000, legacy_errors=2, compared=4000, differing=0)


def route(**more: object) -> Route:
    rollout = {"stages": ["1%", "50%"], "bake_time": "1d", "gates": {"errors": "0.1%", "mismatch": "0.1%"}}
    values = {"name": "a", "match": "GET /a", "shadow": "100%", "guard": {}, "rollout": rollout}
    return Route.model_validate({**values, **more})


ROUTE = route()
FIRST = start_rollout(ROUTE, initial_state(ROUTE), 0.0)
MARK = Attribution("amara", "because", 5.0)


def waits(
    state: RouteState = FIRST,
    evidence: Evidence = GOOD,
    now: float = DAY,
    chosen: Route = ROUTE,
    usual: FailureRatio | None = None,
) -> str:
    result = progress(chosen, state, evidence, usual, now)
    assert result is not None
    return result.waits


def test_stage_rises_once_gates_held_for_the_bake_time() -> None:
    assert waits() == "nothing"
    assert waits(now=DAY - 1) == "bake_time"


def test_remaining_bake_time_is_never_negative() -> None:
    for now, left in ((0.0, DAY), (DAY / 4, DAY * 0.75), (9 * DAY, 0.0)):
        result = progress(ROUTE, FIRST, GOOD, None, now)
        assert result is not None
        assert (result.stage, result.following, result.left) == (100, 5000, left)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"cap": Cap(ZERO, MARK, 0.0)}, "cap"),
        ({"paused": MARK}, "paused"),
    ],
)
def test_cap_and_pause_block_the_promotion(change: dict[str, Cap | Attribution], expected: str) -> None:
    assert waits(replace(FIRST, **change)) == expected  # type: ignore[arg-type]


def test_failed_gate_blocks_and_possible_chance_waits() -> None:
    assert waits(evidence=replace(GOOD, native_errors=50)) == "gate"
    assert waits(evidence=replace(GOOD, differing=40)) == "gate"
    assert waits(evidence=replace(GOOD, native_errors=8)) == "evidence"  # above, and perhaps by chance
    assert (
        waits(evidence=replace(GOOD, native_errors=50, legacy_errors=50)) == "nothing"
    )  # legacy's callers err as much


def test_missing_evidence_blocks_the_promotion() -> None:
    assert waits(evidence=Evidence()) == "evidence"
    assert waits(evidence=replace(GOOD, native=99, native_errors=0)) == "evidence"
    assert waits(evidence=replace(GOOD, compared=99)) == "evidence"


def test_baseline_is_used_where_legacy_has_no_requests() -> None:
    alone = replace(GOOD, native_errors=500, legacy=0, legacy_errors=0)
    assert waits(evidence=alone) == "gate"
    assert waits(evidence=alone, usual=FailureRatio(100, 1000)) == "nothing"


def test_minimum_of_requests_of_legacy_replaces_the_baseline() -> None:
    minimum = replace(GOOD, native_errors=500, legacy=100, legacy_errors=10)
    assert waits(evidence=minimum, usual=FailureRatio(0, 1000)) == "nothing"
    assert waits(evidence=replace(minimum, legacy=99), usual=FailureRatio(0, 1000)) == "gate"


def test_uncompared_route_has_no_mismatch_gate() -> None:
    assert waits(evidence=replace(GOOD, compared=0), chosen=route(shadow=0)) == "nothing"


@pytest.mark.parametrize(
    ("match", "shadow", "expected"),
    [
        ("GET /a", "1%", True),
        ("* /a", "1%", True),
        ("POST /a", "1%", False),
        ("POST /a", {"share": "1%", "writes": "dry_run"}, True),
        ("GET /a", 0, False),
    ],
)
def test_comparable_routes_depend_on_method_and_shadow(match: str, shadow: object, expected: bool) -> None:
    assert is_compared(match.partition(" ")[0], route(match=match, shadow=shadow).shadow) is expected


def test_file_limit_blocks_the_promotion() -> None:
    assert waits(chosen=route(native="0.5%")) == "file"
    assert waits(chosen=route(native="1%")) == "file"
    assert waits(chosen=route(pin="legacy")) == "file"
    assert waits(chosen=route(native="2%")) == "nothing"


def test_promotion_requires_an_approval_where_configured() -> None:
    assert ROUTE.rollout is not None
    assert (
        waits(chosen=ROUTE.model_copy(update={"rollout": ROUTE.rollout.model_copy(update={"approve": True})}))
        == "approval"
    )


def test_last_stage_is_completed_and_still_gated() -> None:
    last = promote(ROUTE, FIRST, MARK)
    assert waits(last, now=9 * DAY) == "completed"
    assert waits(last, replace(GOOD, differing=400), now=9 * DAY) == "gate"


def test_route_without_a_rollout_has_no_progress() -> None:
    plain = route(rollout=None, native="5%")
    assert progress(plain, initial_state(plain), GOOD, None, DAY) is None


def test_timetable_has_the_earliest_time_of_each_stage() -> None:
    assert ROUTE.rollout is not None
    assert list(timetable(ROUTE.rollout, 1000.0)) == [(100, 1000.0), (5000, 1000.0 + DAY)]


MONDAY = datetime(2026, 11, 30, tzinfo=UTC).timestamp()
WINDOW = {"days": "mon-fri", "hours": "09:00-17:00", "zone": "UTC", "never_on": "2026-12-01"}


def scheduled(**rollout: object) -> Route:
    return route(shadow=0, rollout={"stages": ["1%", "50%", "100%"], "bake_time": "1d", **rollout})


def test_stages_can_have_their_own_bake_times() -> None:
    chosen = scheduled(stages=["1%", {"share": "50%", "bake_time": "3d"}, "100%"])
    assert chosen.rollout is not None
    assert list(timetable(chosen.rollout, 0.0)) == [(100, 0.0), (5000, DAY), (FULL, 4 * DAY)]
    second = promote(chosen, start_rollout(chosen, initial_state(chosen), 0.0), MARK)
    assert waits(second, now=2.9 * DAY, chosen=chosen) == "bake_time"
    assert waits(second, now=3.1 * DAY, chosen=chosen) == "nothing"


@pytest.mark.parametrize(
    ("hours", "expected", "left"),
    [(9, "nothing", 0.0), (16.9, "nothing", 0.0), (17, "window", 40 * HOUR), (24, "window", 33 * HOUR)],
)
def test_rollout_waits_for_its_window(hours: float, expected: str, left: float) -> None:
    # Tuesday, the 1st of December, is a date on which nothing is promoted.
    chosen = scheduled(window=WINDOW)
    state = start_rollout(chosen, initial_state(chosen), MONDAY - 2 * DAY)
    result = progress(chosen, state, GOOD, None, MONDAY + hours * HOUR)
    assert result is not None
    assert result.waits == expected
    assert result.left == pytest.approx(left)


@pytest.mark.parametrize(
    ("more", "fields", "expected"),
    [
        ({}, {}, ("nothing", 0.0, 0)),
        ({"window": WINDOW}, {}, ("window", 9 * HOUR, 0)),
        ({"window": WINDOW, "start_at": "50%"}, {}, ("nothing", 0.0, 5000)),
        ({"window": WINDOW}, {"paused": MARK}, ("paused", 9 * HOUR, 0)),
        ({}, {"cap": Cap(ZERO, MARK, 0.0)}, ("cap", 0.0, 0)),
        ({"approve": True}, {}, ("nothing", 0.0, 0)),
    ],
    ids=("due", "window", "start_at", "paused", "capped", "approval"),
)
def test_progress_before_the_start_says_when_it_starts(
    more: dict[str, object], fields: dict[str, object], expected: tuple[str, float, int]
) -> None:
    chosen = scheduled(**more)
    assert chosen.rollout is not None
    state = replace(initial_state(chosen), **fields)  # type: ignore[arg-type]
    result = progress(chosen, state, Evidence(), None, MONDAY)
    assert result is not None
    assert (result.waits, result.left, result.stage) == expected
    assert (result.started, result.following, result.gates) == (False, chosen.rollout.first, ())


@pytest.mark.parametrize("baked", [0.0, 0.5, 1.0], ids=("began", "half", "over"))
def test_time_left_of_a_bake_time_lasts_until_the_window_opens(baked: float) -> None:
    chosen = scheduled(window=WINDOW)
    began = MONDAY + 16 * HOUR  # the bake time ends on a date on which nothing is promoted
    result = progress(chosen, start_rollout(chosen, initial_state(chosen), began), GOOD, None, began + baked * DAY)
    assert result is not None
    assert result.left == (41 - 24 * baked) * HOUR
    assert result.waits == ("bake_time" if baked < 1 else "window")


def test_timetable_skips_times_outside_the_window() -> None:
    chosen = scheduled(window=WINDOW)
    assert chosen.rollout is not None
    times = [at for _, at in timetable(chosen.rollout, MONDAY - DAY)]
    assert times == [MONDAY + hours * HOUR for hours in (9, 57, 81)]
    assert end_of(chosen.rollout, BasisPoints(5000), MONDAY) == MONDAY + 57 * HOUR


def test_rollout_starts_at_the_running_share() -> None:
    chosen = scheduled(start_at="50%", window=WINDOW)
    assert (chosen.share, effective(chosen, None, read=True).share) == (5000, 5000)
    state = start_rollout(chosen, initial_state(chosen), 0.0)
    assert (state.stage, state.change.before, state.change.after) == (5000, 5000, 5000)
    assert chosen.rollout is not None
    assert list(timetable(chosen.rollout, MONDAY)) == [(5000, MONDAY), (FULL, MONDAY + 57 * HOUR)]

"""The migration board: each group's state, next step and problems, as data and as a page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from proxy.config.field_types import ZERO
from proxy.config.loading import parse
from proxy.config.problems import Problem
from proxy.gateway.request_record import RequestRecord
from proxy.observability.recent_failures import SPAN, RecentFailures
from proxy.ops.app import create_ops
from proxy.ops.board.alerts import SETTLE_TIME, BackendsHealth, alerts
from proxy.ops.board.groups import MINIMUM, GroupFacts, group_line
from proxy.ops.board.lines import GroupLine, NextStep, State
from proxy.ops.board.migration import migration
from proxy.ops.pages.board import ordered
from proxy.ops.status import process_health
from proxy.reports.models import RouteSummary
from proxy.rollout.model import Attribution, Cap, Evidence, RouteState
from proxy.rollout.progress import progress
from proxy.rollout.shares import effective
from proxy.rollout.transitions import initial_state
from proxy.runtime.config_watcher import ConfigSnapshot
from proxy.types import Backend
from tests.support.board_scene import GROUPS, board_stage
from tests.support.ops_server import stage
from tests.support.page_text import text_of

NOW = 1_800_000_000.0
HOUR = 3600.0
ADA = Attribution("Ada", "notes came out twice", NOW - 720)
GUARD = Attribution("guard", "errors 12% of 402", NOW - 720)
ROLLOUT = "rollout: {stages: [10%, 50%, 100%], bake_time: 2h}"


def facts(
    settings: str, *, stage: int | None = None, age: float = 0.0, evidence: Evidence | None = None, **more: object
) -> GroupFacts:
    """Return a group of one route; `age` is the time since its bake time began, `more` goes into its state."""
    text = f"legacy: {{url: http://x}}\nnative: a:b\nroutes: [{{name: notes, match: GET /notes, {settings}}}]"
    route = parse(text, {}).routes[0]
    summary, evidence = more.pop("summary", RouteSummary("notes")), evidence or Evidence()
    began = {"stage": stage, "since": NOW - age, "passing": NOW - age, **more}
    state = RouteState(**{**_fields(initial_state(route)), **began})  # type: ignore[arg-type]
    shown = progress(route, state, evidence, None, NOW)
    in_force = effective(route, state, read=True)
    return GroupFacts("notes", (route,), state, in_force, shown, evidence, summary)  # type: ignore[arg-type]


def _fields(state: RouteState) -> dict[str, object]:
    return {name: getattr(state, name) for name in RouteState.__dataclass_fields__}


def summary_of(match: int, mismatch: int = 0) -> RouteSummary:
    return RouteSummary("notes", match=match, mismatch=mismatch, requests={"legacy": match + mismatch})


WINDOWED = (
    "rollout: {stages: [10%, 50%, 100%], bake_time: 2h, window: {hours: '09:00-17:00', zone: UTC}}"  # NOW is 08:00
)
ENOUGH = Evidence(native=500, compared=500)
CASES: tuple[tuple[GroupFacts, str, str, float | None, str, str], ...] = (
    (facts("native: 0%"), "not compared", "set `shadow`", None, "", ""),
    (facts("shadow: 5%", summary=summary_of(7)), "comparing", "becomes clean", None, "", f"7 of {MINIMUM} comparisons"),
    (
        facts("shadow: 5%", summary=summary_of(999, 3)),
        "comparing",
        "fix or declare the differences",
        None,
        "3 mismatches and 0 violations",
        "",
    ),
    (facts("shadow: 5%", summary=summary_of(999)), "clean", "raise `native`, or add a `rollout`", None, "", ""),
    (facts("native: 25%"), "rolling out", "raise `native`, or add a `rollout`", None, "", ""),
    (facts(ROLLOUT), "rolling out", "starts at 10%", 0.0, "", ""),
    (facts(WINDOWED), "rolling out", "starts at 10%", HOUR, "its window is closed", ""),
    (
        facts(WINDOWED, paused=ADA),
        "rolling out",
        "resume, then starts at 10%",
        None,
        f"paused by Ada: {ADA.reason}",
        "",
    ),
    (facts(WINDOWED, stage=1000, age=HOUR), "rolling out", "50%", HOUR, "", "0 of 100 requests"),
    (
        facts(WINDOWED, stage=1000, age=3 * HOUR, evidence=ENOUGH),
        *("rolling out", "50%", HOUR, "its window is closed", ""),
    ),
    (facts(ROLLOUT, stage=1000, age=HOUR), "rolling out", "50%", HOUR, "", "0 of 100 requests"),
    (facts(ROLLOUT, stage=1000, age=3 * HOUR), "rolling out", "50%", None, "too little evidence", "0 of 100 requests"),
    (facts(ROLLOUT, stage=1000, age=3 * HOUR, evidence=ENOUGH), "rolling out", "50%", 0.0, "", ""),
    (
        facts(f"{ROLLOUT}, shadow: 5%", stage=1000, age=3 * HOUR, evidence=Evidence(native=200, compared=3)),
        *("rolling out", "50%", None, "too little evidence", "3 of 100 comparisons"),
    ),
    (
        facts(ROLLOUT, stage=1000, paused=ADA, evidence=ENOUGH),
        *("rolling out", "resume, then 50%", None, "paused by Ada: notes came out twice", ""),
    ),
    (
        facts(f"native: 30%, {ROLLOUT}", stage=1000, age=HOUR),
        *("rolling out", "30%", HOUR, "", "0 of 100 requests"),
    ),
    (
        facts(f"native: 10%, {ROLLOUT}", stage=1000, age=3 * HOUR, evidence=ENOUGH),
        *("rolling out", "raise `native` above 10%", None, "`native` allows 10%", ""),
    ),
    (facts(ROLLOUT, stage=10_000), "done", "", None, "", ""),
    (facts("native: 100%"), "done", "", None, "", ""),
    (facts("native: 100%, pin: legacy"), "pinned", "remove `pin`", None, "pinned to legacy", ""),
    (
        facts("native: 25%", cap=Cap(ZERO, GUARD, NOW + 60)),
        *("rolled back", "fix native, then acknowledge", None, "capped by guard: errors 12% of 402", ""),
    ),
    (
        facts("native: 25%", cap=Cap(ZERO, ADA, NOW)),
        *("rolled back", "lift the rollback", None, "capped by Ada: notes came out twice", ""),
    ),
    (
        facts("native: 25%", cap=Cap(ZERO, GUARD, NOW + 60, acknowledged=ADA)),
        *("rolled back", "the cap is removed", 60.0, "capped by guard: errors 12% of 402", ""),
    ),
)


@pytest.mark.parametrize(("given", "state", "action", "left", "blocked", "needed"), CASES)
def test_group_state_and_next_step_follow_its_routes(
    given: GroupFacts, state: str, action: str, left: float | None, blocked: str, needed: str
) -> None:
    line = group_line(given, NOW)
    assert (line.state, line.step.action, line.step.left) == (state, action, left)
    assert (line.step.blocked, ", ".join(map(str, line.step.needed))) == (blocked, needed)


@pytest.mark.parametrize(
    ("given", "ends"),
    [
        (facts(ROLLOUT), NOW + 4 * HOUR),
        (facts(ROLLOUT, stage=1000, age=HOUR), NOW + 3 * HOUR),
        (facts(ROLLOUT, stage=5000, age=9 * HOUR), NOW),
        (facts(f"native: 50%, {ROLLOUT}", stage=1000), None),
        (facts("native: 25%"), None),
        (facts("native: 100%"), NOW),
    ],
)
def test_end_is_estimated_from_bake_times(given: GroupFacts, ends: float | None) -> None:
    assert group_line(given, NOW).ends == ends


def line(settings: str, **more: object) -> GroupLine:
    return group_line(facts(settings, **more), NOW)  # type: ignore[arg-type]


def test_migration_weighs_shares_by_traffic() -> None:
    lines = [line("native: 100%", summary=summary_of(100)), line("native: 25%", summary=summary_of(300)), line(ROLLOUT)]
    progress_of_all = migration(lines)
    assert (progress_of_all.traffic, progress_of_all.requests) == (43.75, 400)
    assert (progress_of_all.routes, progress_of_all.all_routes) == (1, 3)
    assert (progress_of_all.states, progress_of_all.unplanned) == ({"rolling out": 2, "done": 1}, 1)
    assert progress_of_all.ends == NOW + 4 * HOUR


def test_alerts_name_the_problem_and_the_next_action_worst_first() -> None:
    lines = [
        line(ROLLOUT, stage=1000, age=3 * HOUR),
        line("native: 25%", cap=Cap(ZERO, GUARD, NOW + 60)),
    ]
    health = BackendsHealth(
        native_failing=1,
        legacy_requests=9,
        legacy_failures={"legacy_timeout": 8},
        limits=("per_client is reached",),
        suspended={"ai.codes": "failures of dependencies 100% of 6 (limit 50%)", "ai.search": "others"},
        processes=2,
        shadow_failing=1,
        wrong_clocks=("web-2:7 is 2 min ahead of MongoDB's clock",),
    )
    shown = alerts(lines, (Problem(7, "routes[1].native", "wrong"), Problem(9, "x", "y")), "abc", health, NOW)
    assert [(one.severity, one.title, one.detail) for one in shown] == [
        ("bad", "notes is rolled back to 0%", "by the guard, 12 min ago: errors 12% of 402"),
        ("bad", "routing.yaml is refused", "line 7: routes[1].native: wrong (and 1 more)"),
        ("bad", "Legacy does not answer", "legacy_timeout 8 of 9 requests in the last minute"),
        ("bad", "Native fails its health checks in 1 of 2 processes", "Guards cap its share"),
        (
            "bad",
            "Dependencies of native fail",
            "ai.codes: failures of dependencies 100% of 6 (limit 50%); and 1 more route",
        ),
        ("warn", "notes is blocked at 10%", "too little evidence: 0 of 100 requests"),
        ("warn", "A limit is reached", "per_client is reached"),
        (
            "warn",
            "The shadow process keeps ending in 1 of 2 processes",
            "Nothing is compared there; callers are not affected",
        ),
        (
            "warn",
            "A clock is wrong",
            "web-2:7 is 2 min ahead of MongoDB's clock. Counts are stored under wrong times, and tokens expire at them",
        ),
    ]
    assert [shown[at].action for at in (0, 1, 5)] == [
        "Fix native, then acknowledge",
        "Correct the file; revision abc stays in force",
        "Wait for more requests, or promote it; next: 50%",
    ]


@pytest.mark.parametrize(
    ("pin", "share", "titles"),
    [
        (None, "100%", ["Legacy is unreachable"]),
        ("legacy", "100%", ["Legacy is unreachable", "SCRIBE_PROXY_PIN is legacy"]),
        ("native", "25%", ["SCRIBE_PROXY_PIN is native"]),
        ("native", "100%", []),
    ],
)
def test_pin_of_the_environment_is_shown_while_it_has_an_effect(
    pin: Backend | None, share: str, titles: list[str]
) -> None:
    health = BackendsHealth(legacy_reachable=False, pin=pin)
    assert [one.title for one in alerts([line(f"native: {share}")], (), "abc", health, NOW)] == titles


@pytest.mark.parametrize(
    ("failures", "requests", "legacy"), [(4, 4, "reachable"), (5, 10, "does not answer"), (5, 11, "reachable")]
)
def test_legacy_that_times_out_is_not_reachable(failures: int, requests: int, legacy: str) -> None:
    health = BackendsHealth(legacy_requests=requests, legacy_failures={"legacy_timeout": failures})
    assert health.legacy == legacy


@pytest.mark.parametrize(
    ("health", "legacy", "native"),
    [
        (BackendsHealth(processes=3), "reachable", "started"),
        (BackendsHealth(processes=3, legacy_down=1), "unreachable from 1 of 3 processes", "started"),
        (BackendsHealth(processes=3, legacy_down=3), "unreachable", "started"),
        (BackendsHealth(processes=2, native_stopped=1), "reachable", "not running in 1 of 2 processes"),
        (BackendsHealth(processes=2, native_failing=1), "reachable", "fails its health checks in 1 of 2 processes"),
    ],
)
def test_health_names_the_number_of_processes(health: BackendsHealth, legacy: str, native: str) -> None:
    assert (health.legacy, health.native) == (legacy, native)
    sound = (legacy, native) == ("reachable", "started")
    assert bool(alerts((), (), "", health, NOW)) is not sound


def test_different_or_refused_files_are_alerts() -> None:
    health = BackendsHealth(processes=2, refused=("b:7: routing.yaml:3: wrong",), revisions=("abc", "def"))
    assert [(one.title, one.detail) for one in alerts((), (), "abc", health, NOW)] == [
        ("routing.yaml is refused by a process", "b:7: routing.yaml:3: wrong"),
        ("Processes run different files", "Revisions abc, def are in force"),
    ]


@pytest.mark.parametrize(
    ("age", "different"),
    [(None, True), (0.0, False), (SETTLE_TIME - 0.1, False), (SETTLE_TIME, True), (8e4, True)],
)
def test_different_files_are_an_alert_once_a_change_settles(age: float | None, different: bool) -> None:
    health = BackendsHealth(processes=2, revisions=("abc", "def"), revision_age=age)
    assert bool(alerts((), (), "abc", health, NOW)) is different
    same = BackendsHealth(processes=2, revisions=("abc", "abc"), revision_age=age)
    assert not alerts((), (), "abc", same, NOW)


@pytest.mark.parametrize(("seconds", "age"), [(0.0, 0.0), (7.0, 7.0), (-3600.0, None)], ids=("now", "later", "jump"))
def test_age_of_a_revision_survives_a_clock_that_jumps(tmp_path: Path, seconds: float, age: float | None) -> None:
    staged = stage(tmp_path, 1)
    staged.watcher.snapshots = (ConfigSnapshot("", NOW - 60), ConfigSnapshot("", NOW))
    assert process_health(staged, wall=lambda: NOW + seconds).revision_age == age


def failed(code: str, cause: str | None = None) -> RequestRecord:
    return RequestRecord("i", "http", "GET", "notes", None, "legacy", "share", None, 504, code, 1.0, 1.0, cause)


def test_recent_failures_are_those_of_the_last_minute() -> None:
    now = 1000.0
    failures = RecentFailures(lambda: now)
    for number in range(3 * SPAN):
        now = 1000.0 + number
        failures(failed("legacy_timeout"))
    failures(failed("gateway_overloaded", "per_client"))
    assert failures.of("legacy") == {"legacy_timeout": SPAN}
    assert failures.of("limit") == {"per_client": 1}
    now += SPAN
    assert failures.of("legacy") == {}


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    with TestClient(Starlette()) as setup:
        assert setup.portal is not None
        staged = setup.portal.call(board_stage, tmp_path)
        with TestClient(create_ops(staged)) as client:
            yield client
        setup.portal.call(staged.controller.stop)


def test_board_shows_problems_first_and_a_banner_on_every_page(client: TestClient) -> None:
    text = text_of(client.get("/").text)
    assert text.index("notes is rolled back to 0%") < text.index("prompts is blocked at 10%") < text.index("8 of 28")
    for path in ("/live", "/history", "/config", "/nothing"):
        assert "1 group rolled back · by the guard" in text_of(client.get(path).text)
    data = client.get("/index.json").json()
    assert {line["name"]: len(line["routes"]) for line in data["groups"]} == GROUPS
    assert [line["name"] for line in data["groups"]][:2] == ["notes", "prompts"]


def test_group_with_differences_is_before_others_in_its_state() -> None:
    def line(name: str, state: State, mismatch: int, violation: int) -> GroupLine:
        return GroupLine(name, (name,), state, 0, 0, NextStep("next"), 9, 9, mismatch, violation, 0, None, None)

    lines = [
        line("clean so far", "comparing", 0, 0),
        line("done", "done", 1, 0),
        line("violates", "comparing", 0, 2),
        line("differs", "comparing", 1, 0),
    ]
    assert [one.name for one in ordered(lines, "problems")] == ["violates", "differs", "clean so far", "done"]


def test_board_is_searched_and_sorted(client: TestClient) -> None:
    names = [line["name"] for line in client.get("/index.json?sort=name&q=a").json()["groups"]]
    assert names == sorted(names)
    assert "ai" in names
    assert "v1" not in names
    assert "No group matches “nothing”" in text_of(client.get("/?q=nothing").text)
    shares = [line["share"] for line in client.get("/index.json?sort=share").json()["groups"]]
    assert shares == sorted(shares, reverse=True)

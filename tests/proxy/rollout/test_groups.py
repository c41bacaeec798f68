"""The routes of a group have one state: a cap, a stage and a rollback hold for all of them."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from proxy.config.field_types import FULL, ZERO
from proxy.config.loading import parse
from proxy.config.models import Config
from proxy.gateway.request_record import RequestRecord
from proxy.rollout.actions import ack, carry_out, rollback
from proxy.rollout.analysis.route_stats import StatsRegistry
from proxy.rollout.announcer import ChangeAnnouncer
from proxy.rollout.evaluator import GuardEvaluator
from proxy.rollout.evidence import EvidenceCollector
from proxy.rollout.groups import RouteGroups, changed_settings, merged_state, setting_digests
from proxy.rollout.in_force import ControllerHooks, SharesInForce
from proxy.rollout.model import Attribution, Cap, RouteState
from proxy.rollout.store import MemoryStore
from proxy.rollout.synchroniser import StateSynchroniser
from proxy.rollout.transitions import Refused, initial_state, roll_back
from proxy.types import BasisPoints
from tests.support.waiting import until_async

GUARD = "guard: {window: 12s, minimum: 20}"
SERVED = RequestRecord("1", "http", "GET", "list", "/a", "native", "share", 7, 200, None, 0.01, 0.02)
LIST, CREATE, OTHER = "name: list, match: GET /n", "name: create, match: POST /n", "name: other, match: GET /o"


def config(*routes: str, groups: str = f"{{notes: {{native: 50%, {GUARD}}}}}") -> Config:
    listed = "".join(f"- {{{route}}}\n" for route in routes)
    used = groups if any("group: notes" in route for route in routes) else "{}"
    return parse(f"legacy: {{url: http://x}}\nnative: a:b\ngroups: {used}\nroutes:\n{listed}", {})


GROUPED = config(f"{LIST}, group: notes", f"{CREATE}, group: notes", f"{OTHER}, native: 5%, {GUARD}")


class Process:
    """The shares of one process, without its tasks."""

    def __init__(self, text: Config = GROUPED, store: MemoryStore | None = None) -> None:
        self.store = store or MemoryStore()
        self.stats = StatsRegistry()
        self.shares = SharesInForce(text, self.stats, ControllerHooks(apply=lambda _: None))
        self.shares.cache.loaded = True
        self.evaluator = GuardEvaluator(self.shares, 1.0)
        self.evidence = EvidenceCollector(self.stats, self.store)
        announcer = ChangeAnnouncer(self.shares, self.store)
        self.synchroniser = StateSynchroniser(self.shares, self.store, self.evidence, announcer, 1.0, 60.0)
        self.shares.refresh()

    def serve(self, name: str, status: int, times: int = 100) -> None:
        for _ in range(times):
            self.stats(replace(SERVED, route=name, status=status))

    def shares_now(self) -> dict[str, int]:
        return {route.name: self.shares.effective(route).share for route in self.shares.config.routes}

    async def restarted(self, text: Config | None = None) -> Process:
        """Start another process on the same store."""
        other = Process(text or self.shares.config, self.store)
        other.shares.cache.load(await self.store.states())
        other.shares.refresh()
        return other


async def test_guard_failing_on_one_route_caps_its_group() -> None:
    process = Process()
    process.serve("create", 500)
    process.evaluator.evaluate(time.monotonic())
    assert process.shares_now() == {"list": 0, "create": 0, "other": 500}
    await process.synchroniser.synchronise()
    (state,) = (await process.store.states()).values()
    assert (state.key, state.change.route, state.change.kind) == ("notes", "notes", "cap")
    assert state.change.by.reason.startswith("create: errors 100% of 100")
    assert (await process.restarted()).shares_now() == {"list": 0, "create": 0, "other": 500}


async def test_cap_begins_a_new_window_for_each_route_of_its_group() -> None:
    guard, stages = "guard: {window: 12s, minimum: 20, on_failure: previous}", "rollout: {stages: [1%, 10%, 50%]}"
    process = Process(
        config(f"{LIST}, group: notes", f"{CREATE}, group: notes", groups=f"{{notes: {{{guard}, {stages}}}}}")
    )
    route = process.shares.route("notes")
    process.shares.record(replace(initial_state(route), version=1, stage=BasisPoints(5000)))
    for name in ("list", "create"):
        process.serve(name, 500)
    for _ in range(2):
        process.evaluator.evaluate(time.monotonic())
        assert process.shares_now() == {"list": 1000, "create": 1000}


@pytest.mark.parametrize("name", ["list", "create", "notes"])
async def test_rollback_by_route_or_group_applies_to_the_group(name: str) -> None:
    process = Process()
    route = process.shares.route(name)
    state = await carry_out(
        process.store, process.shares.members(route), rollback(BasisPoints(100)), "amara", "because"
    )
    process.shares.record(state)
    assert process.shares_now() == {"list": 100, "create": 100, "other": 500}


async def test_evidence_of_a_group_is_the_sum_of_its_routes() -> None:
    text = config(
        f"{LIST}, group: notes",
        f"{CREATE}, group: notes",
        groups="{notes: {rollout: {stages: [1%, 10%], bake_time: 1ms}}}",
    )
    process = Process(text)
    await process.synchroniser.synchronise()
    process.serve("list", 200, 60)
    process.serve("create", 200, 60)
    process.stats.advance(float("1e9"))

    async def are_promoted() -> bool:
        await process.synchroniser.synchronise()
        return process.shares_now() == {"list": 1000, "create": 1000}

    await until_async(are_promoted)
    (change,) = [entry for entry in await process.store.history(9) if entry.kind == "promotion"]
    assert change.route == "notes"


async def test_cap_moves_with_a_route_into_and_out_of_a_group() -> None:
    alone = config(f"{LIST}, native: 50%, {GUARD}", f"{CREATE}, native: 50%")
    process = Process(alone)
    process.serve("list", 500)
    process.evaluator.evaluate(time.monotonic())
    process.shares.apply_config(GROUPED)
    assert process.shares_now() == {"list": 0, "create": 0, "other": 500}
    await process.synchroniser.synchronise()
    process.shares.apply_config(alone)
    assert process.shares_now() == {"list": 0, "create": 0}


def test_cap_of_one_revision_does_not_move_to_another_in_a_group() -> None:
    process = Process(config(f"{LIST}, native: 50%, {GUARD}", f"{CREATE}, native: 50%"))
    process.serve("list", 500)
    process.evaluator.evaluate(time.monotonic())
    assert process.shares_now() == {"list": 0, "create": 5000}
    process.shares.apply_config(
        config(f"{LIST}, group: notes, revision: '2', native: 50%, {GUARD}", f"{CREATE}, native: 50%")
    )
    assert process.shares_now() == {"list": 5000, "create": 5000}


async def test_local_cap_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    process = Process()
    process.serve("list", 500)
    with caplog.at_level(logging.INFO, "scribe_proxy.state"):
        process.evaluator.evaluate(time.monotonic())
        for _ in range(2):
            await process.synchroniser.synchronise()
    assert [message for message in caplog.messages if "capped" in message] == [
        message for message in caplog.messages if message.startswith("notes is capped, from 50% to 0%: list: ")
    ]
    assert len([message for message in caplog.messages if "capped" in message]) == 1


async def test_new_group_starts_with_the_states_of_its_routes() -> None:
    alone = Process(config(f"{LIST}, native: 50%, {GUARD}", f"{CREATE}, native: 50%"))
    alone.serve("list", 500)
    alone.evaluator.evaluate(time.monotonic())
    await alone.synchroniser.synchronise()
    process = await alone.restarted(GROUPED)
    assert process.shares_now() == {"list": 0, "create": 0, "other": 500}
    members = process.shares.members(process.shares.route("notes"))
    process.shares.record(await carry_out(process.store, members, ack(at_once=True), "amara", "because"))
    assert process.shares_now() == {"list": 5000, "create": 5000, "other": 500}


async def test_cap_of_removed_routes_is_logged_and_returns_with_them(caplog: pytest.LogCaptureFixture) -> None:
    process = Process()
    process.serve("list", 500)
    process.evaluator.evaluate(time.monotonic())
    await process.synchroniser.synchronise()
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        process.shares.apply_config(config(OTHER))
        process.shares.apply_config(config(f"{OTHER}, native: 1%"))
    (message,) = caplog.messages
    assert message.startswith("notes is capped at 0% by guard (list: errors")
    assert message.endswith("and no route has that name or group any more")
    with pytest.raises(Refused, match="there is no route or group notes"):
        process.shares.route("notes")
    process.shares.apply_config(GROUPED)
    assert process.shares_now() == {"list": 0, "create": 0, "other": 500}


def test_group_has_the_lowest_cap_and_stage_of_its_routes() -> None:
    route = GROUPED.routes[0]
    by = Attribution("amara", "because", 5.0)
    low, high = (replace(initial_state(route), stage=BasisPoints(stage), passing=float(stage)) for stage in (100, 1000))
    capped = replace(high, cap=Cap(BasisPoints(500), by, 9.0), paused=by)
    merged = merged_state(route, [capped, low])
    assert (merged.key, merged.version, merged.stage, merged.passing) == ("notes", 0, 100, 1000.0)
    assert (merged.cap, merged.paused) == (capped.cap, by)
    assert merged_state(route, []) == initial_state(route)


def test_leader_of_a_group_is_pinned_with_all_routes_only() -> None:
    text = config(f"{LIST}, group: notes, pin: legacy", f"{CREATE}, group: notes")
    leaders = RouteGroups(text.routes).leaders()
    assert [route.name for route in leaders] == ["create"]
    state: RouteState = roll_back(leaders[0], initial_state(leaders[0]), ZERO, Attribution("amara", "because", 1.0))
    assert state.change.route == "notes"


async def test_included_callers_at_share_0_are_guarded_and_rolled_back() -> None:
    text = config(f"{LIST}, native: {{include: {{header:x: a}}}}, {GUARD}")
    (route,) = text.routes
    process = Process(text)
    assert process.shares.effective(route).cap == FULL
    process.serve("list", 500)
    process.evaluator.evaluate(time.monotonic())
    effective = process.shares.effective(route)
    assert (effective.by, effective.share, effective.cap) == ("cap", 0, 0)
    await process.synchroniser.synchronise()
    assert (await process.restarted()).shares.effective(route).cap == 0
    released = await carry_out(process.store, [route], ack(at_once=True), "amara", "because")
    process.shares.record(released)
    assert process.shares.effective(route).cap == FULL
    again = await carry_out(process.store, [route], rollback(), "amara", "because")
    assert again.cap is not None
    with pytest.raises(Refused, match="is at 0% already"):
        await carry_out(process.store, [route], rollback(), "amara", "because")


def test_changed_settings_are_those_of_groups_and_routes() -> None:
    before = setting_digests(
        config(f"{LIST}, group: notes", f"{CREATE}, group: notes", OTHER, "name: gone, match: GET /g").routes
    )
    after = setting_digests(
        config(
            f"{LIST}, group: notes",
            f"{CREATE}, group: notes, on_legacy_down: native",
            OTHER,
            "name: new, match: GET /w",
        ).routes
    )
    assert changed_settings(before, after) == ("notes", "new", "gone")
    assert changed_settings(before, dict(before)) == ()
    assert changed_settings({}, after) == ()  # of the first file, or one of a release without digests


DIGESTS = """
from proxy.config.loading import parse
from proxy.rollout.groups import setting_digests
route = "{name: a, match: GET /a, native: {include: {'header:x-a': [a, b, c, d, e, f, g, h]}}}"
print(setting_digests(parse(f"legacy: {{url: http://x}}\\nnative: a:b\\nroutes: [{route}]", {}).routes))
"""


def test_settings_have_one_digest_in_all_processes() -> None:
    runs = [
        subprocess.run(
            [sys.executable, "-c", DIGESTS],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            timeout=60,
        )
        for seed in ("1", "2")
    ]
    assert len({run.stdout for run in runs}) == 1


def test_every_setting_of_a_route_changes_its_digest() -> None:
    window = "window: {zone: UTC, days: mon, hours: 09:00-17:00, never_on: 2026-12-25}"
    rollout = f"rollout: {{stages: [1%, {{share: 10%, bake_time: 1h}}], {window}}}"
    others = {
        "native: {include: {header:a: [b, c]}}": "native: {include: {header:a: [b, d]}}",
        rollout: rollout.replace("12-25", "12-26"),
        f"{rollout} ": rollout.replace("1h", "2h"),
        "timeouts: {idle: 3s}": "timeouts: {idle: 4s}",
        GUARD: GUARD.replace("12s", "13s"),
    }
    for settings, changed in others.items():
        before, after = (setting_digests(config(f"{OTHER}, {each}").routes) for each in (settings, changed))
        assert before != after, settings

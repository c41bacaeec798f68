"""A process's part in what becomes of shares; where replicas matter there are two, on a real MongoDB."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import pytest
from pymongo import MongoClient

from proxy.config.field_types import FULL, ZERO
from proxy.config.loading import parse
from proxy.config.models import Config, Route
from proxy.gateway.bucketing import Limit
from proxy.gateway.request_record import RequestRecord
from proxy.rollout.actions import ack, carry_out, pause, promote, resume, rollback
from proxy.rollout.analysis.route_stats import StatsRegistry
from proxy.rollout.clock import Clock
from proxy.rollout.controller import ControllerIntervals, RolloutController
from proxy.rollout.in_force import ControllerHooks
from proxy.rollout.model import AuditEntry, RouteState
from proxy.rollout.mongo import MongoStore
from proxy.rollout.store import MemoryStore, Store
from proxy.rollout.transitions import Refused
from proxy.runtime.database import Database, Unavailable
from proxy.types import BasisPoints
from tests.support.mongodb_relay import Relay

DATABASE = "state_keeper_tests"
SEEN = RequestRecord("1", "http", "GET", "a", "/a", "native", "share", 7, 200, None, 0.01, 0.02)
QUICK = ControllerIntervals(evaluate=0.02, synchronise=0.03, baselines=0.0, start=2.0)
GUARD = "guard: {window: 12s, minimum: 20, cooldown: 10m}"
PLAIN = f"{{name: a, match: GET /a, native: 50%, {GUARD}}}"
STAGED = f"""{{name: a, match: GET /a, {GUARD},
  rollout: {{stages: [10%, 50%, 100%], bake_time: 200ms, minimum: 10, gates: {{errors: 1%}}}}}}"""


def config(*routes: str) -> Config:
    return parse(
        "\n".join(["legacy: {url: http://x}", "native: a:b", "routes:", *(f"- {each}" for each in routes)]), {}
    )


@dataclass
class Replica:
    """A controller and what it did to its surroundings."""

    controller: RolloutController
    stats: StatsRegistry
    limits: Mapping[str, Limit] = field(default_factory=dict)
    changes: list[AuditEntry] = field(default_factory=list)
    legacy_down: bool = False
    healthy: bool = True
    hook_fails: bool = False

    def is_healthy(self) -> bool:
        if self.hook_fails:
            raise ZeroDivisionError
        return self.healthy

    def share(self, name: str = "a") -> int:
        return self.controller.describe(self.route(name)).effective.share

    def route(self, name: str = "a") -> Route:
        return next(route for route in self.controller.config.routes if route.name == name)

    def serve(self, times: int = 100, status: int = 200, backend: str = "native", name: str = "a") -> None:
        for _ in range(times):
            self.stats(replace(SEEN, route=name, backend=backend, status=status))

    async def until(self, holds: Callable[[], bool], seconds: float = 5.0) -> None:
        async with asyncio.timeout(seconds):
            while not holds():
                await asyncio.sleep(0.01)


def replica(
    config_: Config,
    store: Store,
    pace: ControllerIntervals = QUICK,
    text: Callable[[], str] = lambda: "",
    clock: Clock | None = None,
) -> Replica:
    stats = StatsRegistry()
    found: Replica | None = None

    def apply(limits: Mapping[str, Limit]) -> None:
        early.update(limits) if found is None else setattr(found, "limits", limits)

    early: dict[str, Limit] = {}
    around = ControllerHooks(
        apply,
        healthy=lambda: found is None or found.is_healthy(),
        legacy_down=lambda: found is not None and found.legacy_down,
        changed=lambda change: found.changes.append(change) if found is not None else None,
        config_text=text,
    )
    found = Replica(RolloutController(config_, store, stats, around, pace, clock), stats, early)
    return found


@asynccontextmanager
async def running(*replicas: Replica) -> AsyncIterator[None]:
    for each in replicas:
        await each.controller.start()
    try:
        yield
    finally:
        for each in replicas:
            await each.controller.stop()


async def recorded(one: Replica, *reasons: str) -> None:
    """Until the history of the route holds these reasons and no others; it is written after the state."""
    async with asyncio.timeout(5):
        while {entry.by.reason for entry in await one.controller.store.history(9, "a")} != set(reasons):
            await asyncio.sleep(0.01)


@pytest.fixture(scope="module", autouse=True)
def _dropped(mongodb_url: str) -> Iterator[None]:
    yield
    with MongoClient[dict[str, Any]](mongodb_url) as client:
        client.drop_database(DATABASE)


Stores = Callable[..., MongoStore]


@pytest.fixture
async def databases(mongodb_url: str) -> AsyncIterator[Stores]:
    """Makes stores, each on a connection of its own to the same database, which is empty at first."""
    with MongoClient[dict[str, Any]](mongodb_url) as client:
        for name in client[DATABASE].list_collection_names():
            client[DATABASE][name].delete_many({})
    made: list[Database] = []

    def make(url: str = mongodb_url) -> MongoStore:
        made.append(Database(url, DATABASE, timeout=0.2 if url != mongodb_url else 2.0))
        return MongoStore(made[-1])

    yield make
    for each in made:
        await each.close()


async def test_a_native_that_fails_is_capped_when_it_is_looked_at() -> None:
    one = replica(config(PLAIN), MemoryStore())
    async with running(one):
        assert (one.share(), one.limits) == (5000, {})
        one.serve(status=500)
        one.controller.evaluate()
        assert (one.share(), one.limits) == (0, {"a": Limit(cap=ZERO)})
        await one.until(lambda: bool(one.changes))
        [change] = one.changes
        assert (change.kind, change.before, change.after, change.by.actor) == ("cap", 5000, 0, "guard")
        assert "server errors 100% of 100" in change.by.reason
        await recorded(one, change.by.reason)


async def test_nothing_is_capped_without_legacy_or_native_callers() -> None:
    one = replica(config(PLAIN, "{name: b, match: GET /b, native: 0%, guard: {}}"), MemoryStore())
    async with running(one):
        one.legacy_down = True
        for name in ("a", "b"):
            one.serve(status=500, name=name)
        one.controller.evaluate()
        assert one.share() == 5000
        one.legacy_down = False
        one.controller.evaluate()
        assert one.share() == 0
        await one.until(lambda: bool(one.changes))
        assert [change.route for change in one.changes] == ["a"]


async def test_failed_health_checks_cap_a_share_without_traffic() -> None:
    one = replica(config(PLAIN, "{name: b, match: GET /b, native: 5%}"), MemoryStore())
    one.healthy = False
    async with running(one):
        await one.until(lambda: one.share() == 0)
        assert one.share("b") == 500  # nobody asked for a guard


async def test_rollout_rises_to_its_end_but_not_without_evidence() -> None:
    one = replica(config(STAGED), MemoryStore())
    async with running(one):
        await one.until(lambda: one.share() == 1000)
        await asyncio.sleep(0.4)
        assert one.share() == 1000
        progress = one.controller.describe(one.route()).progress
        assert progress is not None
        assert (progress.waits, progress.left) == ("evidence", 0.0)
        for expected in (5000, FULL):
            one.serve(50)
            one.stats.advance(time.monotonic() + 1.1)  # ends the slice
            await one.until(lambda expected=expected: one.share() == expected)  # type: ignore[misc]
        assert [change.kind for change in one.changes] == ["start", "promotion", "promotion"]
        assert one.changes[-1].by.reason == "every gate was passed for 200ms"
        assert one.limits == {}


async def test_a_missed_gate_begins_the_hold_anew() -> None:
    one = replica(config(STAGED.replace("200ms", "10s")), MemoryStore())
    async with running(one):
        await one.until(lambda: one.share() == 1000)
        one.serve(1000)
        one.serve(30, status=404)
        one.stats.advance(time.monotonic() + 1.1)
        await one.until(lambda: len(one.changes) == 2)
        assert one.changes[1].kind == "gate"
        assert one.changes[1].by.reason == "errors 2.91% of 1,030 (limit 1%)"
        standing = one.controller.describe(one.route())
        assert standing.progress is not None
        assert standing.progress.left > 9
        assert standing.state.missed is not None


async def test_people_take_the_wheel() -> None:
    one = replica(config(STAGED.replace("200ms", "1d")), MemoryStore())
    async with running(one):
        await one.until(lambda: one.share() == 1000)
        version = one.controller.describe(one.route()).state.version
        await one.controller.act("a", promote, "amara", "looks fine", expected_version=version)
        assert one.share() == 5000
        with pytest.raises(Refused, match="has changed meanwhile"):
            await one.controller.act("a", promote, "ben", "looks fine", expected_version=version)
        await one.controller.act("a", pause, "amara", "over the weekend")
        await one.controller.act("a", rollback(BasisPoints(1000)), "amara", "  too \n many calls ")
        assert one.share() == 1000
        await one.controller.act("a", ack(), "amara", "calmer")
        await one.controller.act("a", resume, "amara", "monday")
        assert [(c.kind, c.by.reason) for c in one.changes[1:]] == [
            ("promotion", "looks fine"),
            ("pause", "over the weekend"),
            ("rollback", "too many calls"),
            ("release", "calmer"),
            ("resume", "monday"),
        ]


@pytest.mark.parametrize(
    ("name", "actor", "reason", "text"),
    [
        ("b", "amara", "because", "there is no route or group b"),
        ("a", " ", "because", "say who you are"),
        ("a", "amara", "\n", "a reason is required"),
    ],
)
async def test_what_a_person_asks_needs_a_route_a_name_and_a_reason(
    name: str, actor: str, reason: str, text: str
) -> None:
    one = replica(config(PLAIN), MemoryStore())
    async with running(one):
        with pytest.raises(Refused, match=text):
            await one.controller.act(name, rollback(), actor, reason)
        assert one.share() == 5000


async def test_step_is_retried_on_concurrent_changes_up_to_a_limit() -> None:
    class Busy(MemoryStore):
        """Somebody else is always faster, `times` over."""

        times = 2

        async def replace(self, after: RouteState) -> bool:
            self.times -= 1
            return self.times < 0 and await super().replace(after)

    one = replica(config(PLAIN), Busy())
    async with running(one):
        await one.controller.act("a", rollback(BasisPoints(1000)), "amara", "down")
        assert one.share() == 1000
        one.controller.store.times = 99  # type: ignore[attr-defined]
        with pytest.raises(Refused, match="a keeps changing: check it and try again"):
            await one.controller.act("a", rollback(), "amara", "down")


async def test_acknowledged_cap_is_released_after_its_cooldown() -> None:
    one = replica(config(PLAIN.replace("10m", "300ms")), MemoryStore())
    async with running(one):
        one.serve(status=500)
        one.controller.evaluate()
        await one.until(lambda: bool(one.changes))
        await one.controller.act("a", ack(), "amara", "mended")
        assert one.share() == 0
        await one.until(lambda: one.share() == 5000)
        assert [change.kind for change in one.changes] == ["cap", "ack", "release"]
        one.controller.evaluate()
        assert one.share() == 5000  # what was seen before does not count again


async def test_a_clock_that_jumps_moves_nothing() -> None:
    wall = [1.8e9]
    store, clock = MemoryStore(Clock(lambda: wall[0])), Clock(lambda: wall[0])
    one = replica(config(STAGED.replace("200ms", "1h")), store, clock=clock)
    async with running(one):
        await one.until(lambda: one.share() == 1000)
        for jump in (1e7, -1e7):
            wall[0] = 1.8e9 + jump
            one.serve(100)
            one.stats.advance(time.monotonic() + 1.1)
            await asyncio.sleep(0.1)
            progress = one.controller.describe(one.route()).progress
            assert progress is not None
            assert 3590 < progress.left <= 3600
        assert one.share() == 1000


async def test_a_changed_file_is_followed_and_noted() -> None:
    one = replica(config(PLAIN, STAGED.replace("name: a, match: GET /a", "name: b, match: GET /b")), MemoryStore())
    async with running(one):
        await one.until(lambda: one.share("b") == 1000)
        began = one.controller.describe(one.route("b")).state.passing
        lowered = STAGED.replace("name: a, match: GET /a", "name: b, match: GET /b, native: 20%")
        one.controller.apply_config(config(PLAIN.replace("50%", "30%"), lowered))
        assert (one.share(), one.share("b")) == (3000, 1000)
        await one.until(lambda: one.controller.describe(one.route("b")).state.passing > began)
        history = await one.controller.store.history(9)
        assert {(entry.kind, entry.route) for entry in history} >= {("config", ""), ("share", "a"), ("share", "b")}
        [told] = [entry.by.reason for entry in history if (entry.kind, entry.route) == ("share", "a")]
        assert told == "`native` was 50%, and is 30%"


async def test_an_error_does_not_end_the_evaluation(caplog: pytest.LogCaptureFixture) -> None:
    one = replica(config(PLAIN), MemoryStore())
    async with running(one):
        one.hook_fails = True
        await one.until(lambda: "evaluating the guards failed" in caplog.text)
        one.hook_fails = False
        one.serve(status=500)
        await one.until(lambda: one.share() == 0)


async def test_what_one_replica_caps_the_other_has_within_two_seconds(databases: Stores) -> None:
    one, other = replica(config(PLAIN), databases()), replica(config(PLAIN), databases())
    async with running(one, other):
        one.serve(status=500)
        other.serve(50, status=500, backend="native")
        one.controller.evaluate()
        await other.until(lambda: other.share() == 0, 2.0)
        assert other.limits == {"a": Limit(cap=ZERO)}
        other.controller.evaluate()
        await one.until(lambda: bool(one.changes or other.changes))
        assert [change.kind for change in (*one.changes, *other.changes)] == ["cap"]
        await other.controller.act("a", ack(at_once=True), "amara", "mended")
        await one.until(lambda: one.share() == 5000, 2.0)
        assert one.stats.of("a").window.total().native.requests == 0


async def test_replicas_never_promote_twice(databases: Stores) -> None:
    text = config(STAGED)
    replicas = [replica(text, databases()) for _ in range(3)]
    async with running(*replicas):
        for expected in (1000, 5000):
            for each in replicas:
                each.serve(20)
                each.stats.advance(time.monotonic() + 1.1)
                await each.until(lambda each=each, expected=expected: each.share() >= expected)  # type: ignore[misc]
        await asyncio.sleep(0.1)  # the history is written after the state
        history = await replicas[0].controller.store.history(50)
        promotions = [(entry.before, entry.after) for entry in reversed(history) if entry.kind == "promotion"]
        assert promotions == [(1000, 5000), (5000, FULL)][: len(promotions)]
        assert len([entry for entry in history if entry.kind == "start"]) == 1
        assert sum(len(each.changes) for each in replicas) == len(promotions) + 1


async def test_evidence_is_of_all_replicas(databases: Stores) -> None:
    text = config(STAGED.replace("minimum: 10", "minimum: 100"))
    one, other = replica(text, databases()), replica(text, databases())
    async with running(one, other):
        await other.until(lambda: other.share() == 1000)
        for each in (one, other):
            each.serve(60)
            each.stats.advance(time.monotonic() + 1.1)
        await one.until(lambda: one.share() == 5000)


async def test_a_cap_survives_a_restart_but_not_another_revision(databases: Stores) -> None:
    one = replica(config(PLAIN), databases())
    async with running(one):
        one.serve(status=500)
        one.controller.evaluate()
        await one.until(lambda: bool(one.changes))
    again, mended = replica(config(PLAIN), databases()), replica(config(PLAIN[:-1] + ", revision: r2}"), databases())
    async with running(again, mended):
        assert (again.share(), mended.share()) == (0, 5000)
        again.controller.apply_config(config(PLAIN.replace("50%", "75%")))
        assert again.share() == 0  # nor does another share in the file lift it
        again.controller.apply_config(config(PLAIN[:-1] + ", revision: r2}"))
        assert again.share() == 5000


async def test_what_legacy_showed_survives_a_restart(databases: Stores) -> None:
    one = replica(config(PLAIN), databases())
    async with running(one):
        one.serve(100, status=401, backend="legacy")
        one.stats.advance(time.monotonic())
        await asyncio.sleep(0.2)
    again = replica(config(PLAIN), databases())
    async with running(again):
        again.serve(100, status=401)
        again.controller.evaluate()
        assert again.share() == 5000


async def test_controller_without_mongodb_caps_and_promotes_nothing(mongodb_url: str, databases: Stores) -> None:
    text = config(STAGED, PLAIN.replace("name: a, match: GET /a", "name: b, match: GET /b"))
    other = replica(text, databases())
    async with Relay(mongodb_url) as relay:
        await relay.mend()
        one = replica(text, databases(relay.url))
        async with running(one, other):
            await one.until(lambda: one.share() == 1000)
            await relay.cut()
            await one.until(lambda: one.controller.unreachable)
            one.serve(100)
            one.stats.advance(time.monotonic() + 1.1)
            one.serve(status=500, name="b")
            one.controller.evaluate()
            assert (one.share("a"), one.share("b"), other.share("b")) == (1000, 0, 5000)
            assert [change.kind for change in one.changes if change.route == "b"] == ["cap"]  # told all the same
            with pytest.raises(Unavailable):
                await one.controller.act("a", promote, "amara", "go")
            await one.controller.act("a", rollback(), "amara", "stop")
            assert (one.share("a"), other.share("a")) == (0, 1000)
            await relay.mend()
            await other.until(lambda: (other.share("a"), other.share("b")) == (0, 0))
            await one.until(lambda: not one.controller.unreachable)
            await recorded(other, "the rollout starts at 10%", "stop")
        kinds = [(entry.route, entry.kind) for entry in await other.controller.store.history(9)]
        assert kinds.count(("b", "cap")) == kinds.count(("a", "rollback")) == 1
        told = sorted((change.route, change.kind) for change in (*one.changes, *other.changes))
        assert told == [("a", "rollback"), ("a", "start"), ("b", "cap")]  # each once


async def test_of_two_that_cap_apart_from_each_other_the_lower_stays(mongodb_url: str, databases: Stores) -> None:
    other = replica(config(PLAIN), databases())
    async with Relay(mongodb_url) as relay:
        await relay.mend()
        one = replica(config(PLAIN), databases(relay.url))
        async with running(one, other):
            await relay.cut()
            await one.until(lambda: one.controller.unreachable)
            await one.controller.act("a", rollback(BasisPoints(1000)), "amara", "ours")
            await other.controller.act("a", rollback(BasisPoints(2000)), "ben", "theirs")
            await relay.mend()
            await other.until(lambda: other.share() == 1000)
            await recorded(other, "ours", "theirs")
            await relay.cut()
            await one.until(lambda: one.controller.unreachable)
            await one.controller.act("a", rollback(BasisPoints(500)), "amara", "again")
            await other.controller.act("a", rollback(ZERO), "ben", "all of it")
            await relay.mend()
            await one.until(lambda: not one.controller.unreachable and one.share() == 0)
            await recorded(other, "ours", "theirs", "all of it")


async def test_start_without_mongodb_leaves_cappable_routes_on_legacy(mongodb_url: str, databases: Stores) -> None:
    async with Relay(mongodb_url) as relay:
        one = replica(
            config(PLAIN, "{name: b, match: GET /b, native: 5%}"), databases(relay.url), QUICK._replace(start=0.1)
        )
        assert one.limits == {"a": Limit(stage=ZERO)}
        async with running(one):
            assert (one.share(), one.share("b")) == (0, 500)
            await relay.mend()
            await one.until(lambda: one.share() == 5000)


async def test_change_of_a_command_is_announced_by_one_replica(
    databases: Stores, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "scribe_proxy.state")
    replicas = [replica(config(PLAIN), databases()) for _ in range(3)]
    async with running(*replicas):
        await carry_out(databases(), [replicas[0].route()], rollback(), "ada@laptop", "notes came out twice")
        for one in replicas:
            await one.until(partial(_is_at_zero, one))
        await replicas[0].until(lambda: any(one.changes for one in replicas))
        await asyncio.sleep(0.2)
    assert [change.kind for one in replicas for change in one.changes] == ["rollback"]
    lines = [record.message for record in caplog.records if "ada@laptop" in record.message]
    assert lines == ["a: rollback by ada@laptop, from 50% to 0%: notes came out twice"] * 3


@pytest.mark.parametrize(
    ("before", "after", "shown"),
    [
        (PLAIN, PLAIN.replace("native: 50%", "native: 30%"), [("share", 5000, 3000)]),
        (PLAIN, STAGED, [("start", 5000, 5000)]),
        (PLAIN, PLAIN.replace("50%", "50%, revision: two"), []),
    ],
)
async def test_history_has_the_share_in_force_before_and_after(
    before: str, after: str, shown: list[tuple[str, int, int]]
) -> None:
    one = replica(config(before), MemoryStore())
    async with running(one):
        await recorded_config(one, 1)
        one.controller.apply_config(config(after))
        await recorded_config(one, 2)
        await asyncio.sleep(0.1)
        history = await one.controller.store.history(9)
    assert [(entry.kind, entry.before, entry.after) for entry in history if entry.kind != "config"] == shown


async def recorded_config(one: Replica, number: int) -> None:
    """Wait until the history has so many revisions of the file."""
    async with asyncio.timeout(5):
        while len(await one.controller.store.history(9, kind="config")) < number:
            await asyncio.sleep(0.01)


async def test_history_holds_the_difference_of_each_revision() -> None:
    texts = ["routes:\n  - native: 50%\n", "routes:\n  - native: 30%\n"]
    one = replica(config(PLAIN), MemoryStore(), text=lambda: texts[0])
    async with running(one):
        await recorded_config(one, 1)
        texts.pop(0)
        one.controller.apply_config(config(PLAIN.replace("native: 50%", "native: 30%")))
        await recorded_config(one, 2)
        history = await one.controller.store.history(9, kind="config")
    assert [entry.difference for entry in history] == [
        "@@ -1,2 +1,2 @@\n routes:\n-  - native: 50%\n+  - native: 30%",
        "",
    ]


def _is_at_zero(one: Replica) -> bool:
    return one.share() == 0

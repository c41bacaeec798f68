"""Rollout controllers of several replicas, which share a state in MongoDB."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import Any

import pytest
from pymongo import MongoClient

from proxy.config.field_types import FULL, ZERO
from proxy.database.database import Database, Unavailable
from proxy.gateway.bucketing import Limit
from proxy.rollout.actions import ack, carry_out, promote, rollback
from proxy.rollout.model import AuditEntry, HistoryQuery
from proxy.rollout.mongo import MongoStore
from proxy.rollout.store import MemoryStore
from proxy.types import BasisPoints
from tests.support.mongodb_relay import Relay
from tests.support.rollout_replica import (
    PLAIN,
    QUICK,
    STAGED,
    Replica,
    config,
    is_at_zero,
    recorded,
    recorded_config,
    replica,
    running,
)
from tests.support.waiting import HANG_TIMEOUT, until, until_async

DATABASE = "state_keeper_tests"


@pytest.fixture(scope="module", autouse=True)
def _dropped(mongodb_url: str) -> Iterator[None]:
    yield
    with MongoClient[dict[str, Any]](mongodb_url) as client:
        client.drop_database(DATABASE)


Stores = Callable[..., MongoStore]


@pytest.fixture
async def databases(mongodb_url: str) -> AsyncIterator[Stores]:
    """Return a factory of stores, each on its own connection to the same database, which is empty at first."""
    with MongoClient[dict[str, Any]](mongodb_url) as client:
        for name in client[DATABASE].list_collection_names():
            client[DATABASE][name].delete_many({})
    made: list[Database] = []

    def make(url: str = mongodb_url) -> MongoStore:
        made.append(Database(url, DATABASE, timeout=0.2 if url != mongodb_url else HANG_TIMEOUT))
        return MongoStore(made[-1])

    yield make
    for each in made:
        await each.close()


async def test_cap_reaches_another_replica_within_two_seconds(databases: Stores) -> None:
    one, other = replica(config(PLAIN), databases()), replica(config(PLAIN), databases())
    async with running(one, other):
        one.serve(status=500)
        other.serve(50, status=500, backend="native")
        one.controller.evaluate()
        await other.until(lambda: other.share() == 0)
        assert other.limits == {"a": Limit(cap=ZERO)}
        other.controller.evaluate()
        await one.until(lambda: bool(one.changes or other.changes))
        assert [change.kind for change in (*one.changes, *other.changes)] == ["cap"]
        await other.controller.act("a", ack(at_once=True), "amara", "mended")
        await one.until(lambda: one.share() == 5000)
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
        store = replicas[0].controller.store

        history: list[AuditEntry] = []

        async def is_announced() -> bool:
            """Return whether all changes of the history are announced, each by one replica; more may follow."""
            history[:] = await store.history(50)
            changes = [entry for entry in history if entry.kind in ("promotion", "start")]
            return len(changes) > 1 and len(changes) == sum(len(each.changes) for each in replicas)

        await until_async(is_announced)
        promotions = [(entry.before, entry.after) for entry in reversed(history) if entry.kind == "promotion"]
        assert promotions == [(1000, 5000), (5000, FULL)][: len(promotions)]
        assert len([entry for entry in history if entry.kind == "start"]) == 1


async def test_evidence_is_of_all_replicas(databases: Stores) -> None:
    text = config(STAGED.replace("minimum: 10", "minimum: 100"))
    one, other = replica(text, databases()), replica(text, databases())
    async with running(one, other):
        await one.until(lambda: (one.share(), other.share()) == (1000, 1000))
        for each in (one, other):
            each.serve(60)
            each.stats.advance(time.monotonic() + 1.1)
        await one.until(lambda: one.share() == 5000)


async def test_cap_survives_a_restart_but_not_another_revision(databases: Stores) -> None:
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


async def test_baseline_survives_a_restart(databases: Stores) -> None:
    one = replica(config(PLAIN), databases())
    async with running(one):
        one.serve(100, status=401, backend="legacy")
        one.stats.advance(time.monotonic())
        await until_async(one.controller.store.baselines)
    again = replica(config(PLAIN), databases())
    async with running(again):
        await again.until(lambda: again.stats.of("a").baseline is not None)
        again.serve(100, status=401)
        again.controller.evaluate()
        assert again.share() == 5000


async def test_unreachable_mongodb_allows_caps_and_no_promotion(mongodb_url: str, databases: Stores) -> None:
    text = config(STAGED, PLAIN.replace("name: a, match: GET /a", "name: b, match: GET /b"))
    other = replica(text, databases())
    with Relay(mongodb_url) as relay:
        relay.mend()
        one = replica(text, databases(relay.url))
        async with running(one, other):
            await one.until(lambda: one.share() == 1000)
            relay.cut()
            await one.until(lambda: one.controller.unreachable)
            one.serve(100)
            one.stats.advance(time.monotonic() + 1.1)
            one.serve(status=500, name="b")
            one.controller.evaluate()
            assert (one.share("a"), one.share("b"), other.share("b")) == (1000, 0, 5000)
            assert [change.kind for change in one.changes if change.route == "b"] == ["cap"]  # reported nevertheless
            with pytest.raises(Unavailable):
                await one.controller.act("a", promote, "amara", "go")
            await one.controller.act("a", rollback(), "amara", "stop")
            assert (one.share("a"), other.share("a")) == (0, 1000)
            relay.mend()
            await other.until(lambda: (other.share("a"), other.share("b")) == (0, 0))
            await one.until(lambda: not one.controller.unreachable)
            await recorded(other, "the rollout starts at 10%", "stop")
        kinds = [(entry.route, entry.kind) for entry in await other.controller.store.history(9)]
        assert kinds.count(("b", "cap")) == kinds.count(("a", "rollback")) == 1
        changes = sorted((change.route, change.kind) for change in (*one.changes, *other.changes))
        assert changes == [("a", "rollback"), ("a", "start"), ("b", "cap")]  # each once


async def test_separate_caps_merge_to_the_lower(mongodb_url: str, databases: Stores) -> None:
    other = replica(config(PLAIN), databases())
    with Relay(mongodb_url) as relay:
        relay.mend()
        one = replica(config(PLAIN), databases(relay.url))
        async with running(one, other):
            relay.cut()
            await one.until(lambda: one.controller.unreachable)
            await one.controller.act("a", rollback(BasisPoints(1000)), "amara", "ours")
            await other.controller.act("a", rollback(BasisPoints(2000)), "ben", "theirs")
            relay.mend()
            await other.until(lambda: other.share() == 1000)
            await recorded(other, "ours", "theirs")
            relay.cut()
            await one.until(lambda: one.controller.unreachable)
            await one.controller.act("a", rollback(BasisPoints(500)), "amara", "again")
            await other.controller.act("a", rollback(ZERO), "ben", "all of it")
            relay.mend()
            await one.until(lambda: not one.controller.unreachable and one.share() == 0)
            await recorded(other, "ours", "theirs", "all of it")


async def test_start_without_mongodb_leaves_cappable_routes_on_legacy(mongodb_url: str, databases: Stores) -> None:
    with Relay(mongodb_url) as relay:
        one = replica(
            config(PLAIN, "{name: b, match: GET /b, native: 5%}"), databases(relay.url), QUICK._replace(start=0.1)
        )
        assert one.limits == {"a": Limit(stage=ZERO)}
        async with running(one):
            assert (one.share(), one.share("b")) == (0, 500)
            relay.mend()
            await one.until(lambda: one.share() == 5000)


async def test_change_of_a_command_is_announced_by_one_replica(
    databases: Stores, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "scribe_proxy.state")
    replicas = [replica(config(PLAIN), databases()) for _ in range(3)]

    def lines() -> list[str]:
        return [record.message for record in caplog.records if "ada@laptop" in record.message]

    async with running(*replicas):
        await carry_out(databases(), [replicas[0].route()], rollback(), "ada@laptop", "notes came out twice")
        for one in replicas:
            await one.until(partial(is_at_zero, one))
        await replicas[0].until(lambda: any(one.changes for one in replicas))
        await until(lambda: len(lines()) >= 3)
        await asyncio.sleep(0.2)  # time for another announcement
    assert [change.kind for one in replicas for change in one.changes] == ["rollback"]
    assert lines() == ["a: rolled back by ada@laptop, from 50% to 0%: notes came out twice"] * 3


async def is_recorded(one: Replica, entries: int) -> bool:
    """Return whether the history has so many entries."""
    return len(await one.controller.store.history(9)) >= entries


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
        await until_async(lambda: is_recorded(one, 2 + len(shown)))
        history = await one.controller.store.history(9)
    assert [(entry.kind, entry.before, entry.after) for entry in history if entry.kind != "config"] == shown


async def test_history_contains_the_diff_of_each_revision() -> None:
    texts = ["routes:\n  - native: 50%\n", "routes:\n  - native: 30%\n"]
    one = replica(config(PLAIN), MemoryStore(), text=lambda: texts[0])
    async with running(one):
        await recorded_config(one, 1)
        texts.pop(0)
        one.controller.apply_config(config(PLAIN.replace("native: 50%", "native: 30%")))
        await recorded_config(one, 2)
        history = await one.controller.store.history(9, HistoryQuery(kind="config"))
    assert [entry.difference for entry in history] == [
        "@@ -1,2 +1,2 @@\n routes:\n-  - native: 50%\n+  - native: 30%",
        "",
    ]
    assert [entry.routes for entry in history] == [("a",), ()]

"""The registry of differences, in a real MongoDB: first observations, returns, and expiry."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from proxy.database.database import Conflict, Database
from proxy.database.driver import DRIVERS
from proxy.observability.webhook import WebhookEvent
from proxy.reports.models import Span
from proxy.reports.registry import DIFFERENCES, DifferenceRegistry, UnknownDifference, count_states
from proxy.reports.revisions import Revisions
from proxy.reports.storage import COUNTS, SAMPLES
from proxy.reports.triage import Mark, Observation
from proxy.reports.writer import ReportWriter
from tests.support.exchanges import answered
from tests.support.report_events import DIVERGENCE, SETTINGS, compared, differing

BY = Mark("known", 0.0, "Ada", "dates differ", "QA-7")


@pytest.fixture(params=DRIVERS)
async def database(mongodb_url: str, request: pytest.FixtureRequest) -> AsyncIterator[Database]:
    database = Database(mongodb_url, "test_registry", driver=request.param)
    yield database
    for name in (*COUNTS.values(), SAMPLES, DIFFERENCES):
        await database.collection(name).delete_many({})
    await database.close()


def observed(field: str = "body.a", revision: str | None = "one", at: float | None = None) -> Observation:
    return Observation("notes.list", field, "value", time.time() if at is None else at, revision)


async def test_concurrent_processes_register_a_difference_once(database: Database) -> None:
    processes = [DifferenceRegistry(database, refresh=0.0) for _ in range(4)]
    await processes[0].prepare(3600)
    results = await asyncio.gather(*(one.register([observed(), observed("body.b")]) for one in processes))
    assert sorted(one.field for result in results for one in result.new) == ["body.a", "body.b"]
    assert (await processes[0].register([observed()])).new == ()


async def test_concurrent_processes_return_a_fixed_difference_once(database: Database) -> None:
    processes = [DifferenceRegistry(database, refresh=0.0) for _ in range(4)]
    [new] = (await processes[0].register([observed()])).new
    await processes[0].mark(new.id, "fixed", Mark("fixed", time.time(), "Ada", revision="two"))
    old = await asyncio.gather(*(one.register([observed()]) for one in processes))
    assert not any(result.returned for result in old)
    results = await asyncio.gather(*(one.register([observed(revision="two")]) for one in processes))
    [returned] = [one for result in results for one in result.returned]
    assert (returned.state, returned.mark.revision) == ("returned", "two")
    stored = await processes[1].find(new.id)
    assert stored is not None
    assert ([mark.state for mark in stored.history], set(stored.revisions)) == (["new", "fixed"], {"one", "two"})


async def test_mark_of_another_version_is_refused(database: Database) -> None:
    registry = DifferenceRegistry(database, refresh=0.0)
    [new] = (await registry.register([observed()])).new
    known = await registry.mark(new.id, "known", BY, expected_version=0)
    assert (known.state, known.version) == ("known", 1)
    with pytest.raises(Conflict):
        await registry.mark(new.id, "new", BY, expected_version=0)
    with pytest.raises(UnknownDifference):
        await registry.mark("0" * 16, "known", BY)


async def test_new_differences_alone_expire(database: Database) -> None:
    registry = DifferenceRegistry(database, refresh=0.0)
    await registry.prepare(3600)
    [new] = (await registry.register([observed(at=1000.0)])).new

    async def expires() -> float | None:
        document = await database.collection(DIFFERENCES).find_one({"_id": new.id})
        assert document is not None
        return document["expires"].timestamp() if "expires" in document else None

    first = await expires()
    assert first is not None
    await registry.register([observed(at=2000.0)])
    assert await expires() == first + 1000
    await registry.mark(new.id, "known", BY)
    assert await expires() is None
    await registry.register([observed(at=3000.0)])
    assert await expires() is None
    await registry.mark(new.id, "new", BY)
    assert await expires() is not None


async def test_differences_of_a_span_are_counted_by_route_and_state(database: Database) -> None:
    registry, now = DifferenceRegistry(database, refresh=0.0), time.time()
    await registry.register([observed("body.a"), observed("body.b"), observed("body.old", at=now - 7200)])
    [a] = [one for one in (await registry.find_all(Span(0, now + 1))).values() if one.field == "body.a"]
    await registry.mark(a.id, "known", BY)
    counts = count_states((await registry.find_all(Span(now - 3600, now + 1))).values())
    assert counts == {"notes.list": {"known": 1, "new": 1}}
    assert await registry.find_all(Span(now - 3600, now + 1), "other") == {}


def only_difference(event: WebhookEvent) -> dict[str, Any]:
    [described] = event.data["differences"]  # type: ignore[misc]
    return described  # type: ignore[has-type, no-any-return]


async def test_writer_publishes_new_returned_and_drift_events(database: Database) -> None:
    published: list[WebhookEvent] = []

    def writer(revision: str) -> ReportWriter:
        return ReportWriter(database, SETTINGS, revisions=Revisions(revision), publish=published.append)

    one = writer("one")
    one.record(differing())
    one.record(differing())
    await one.flush()
    one.record(differing())
    await one.flush()
    [event] = published
    assert (event.type, event.data["total"]) == ("new_difference", 1)
    described = only_difference(event)
    assert (described["route"], described["field"], described["kind"], described["revision"]) == (
        *("notes.list", "body.notes.*.body", "value", "one"),
    )
    await DifferenceRegistry(database, refresh=0.0).mark(
        described["id"], "fixed", Mark("fixed", time.time(), "Ada", ticket="QA-7", revision="two")
    )
    two = writer("two")
    two.record(differing())
    two.record(compared(answered({"count": "x"}), answered({"count": "x"})))
    await two.flush()
    drift, returned = published[1:]
    assert (drift.type, returned.type) == ("contract_drift", "difference_returned")
    [described] = returned.data["differences"]  # type: ignore[misc]
    assert (described["revision"], described["fixed"]["revision"], described["fixed"]["ticket"]) == (
        "two",
        "two",
        "QA-7",
    )


async def test_declared_difference_is_not_registered(database: Database) -> None:
    writer = ReportWriter(database, SETTINGS)
    writer.record(compared(answered({"count": 1}), answered({"count": "one"}), divergences=[DIVERGENCE]))
    await writer.flush()
    assert await DifferenceRegistry(database, refresh=0.0).find_all(Span(0, time.time() + 1)) == {}

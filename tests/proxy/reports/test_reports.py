"""What is noted of live traffic is in MongoDB a moment later, redacted, counted, bounded, and read as views."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
from prometheus_client import REGISTRY
from pydantic import SecretStr
from pymongo import MongoClient

from proxy.comparison.exchange import Exchange
from proxy.comparison.exchanges import compare
from proxy.config.models import Config
from proxy.config.service_models import ReportSettings as Settings
from proxy.contract.divergences import Divergence
from proxy.contract.model import Operation
from proxy.gateway.request_record import RequestRecord
from proxy.reports.counters import CounterBatch, key
from proxy.reports.events import ComparisonEvent, ReplayEvent, SkippedEvent
from proxy.reports.models import HOUR, MINUTE, Span
from proxy.reports.reader import ReportReader
from proxy.reports.revisions import Revisions
from proxy.reports.storage import COUNTS, SAMPLES, Storage
from proxy.reports.writer import ReportWriter
from proxy.runtime.database import Database, Unavailable
from proxy.runtime.database_driver import DRIVERS
from proxy.types import JSON
from tests.support.exchanges import answered, exchange, operation, properties
from tests.support.mongodb_relay import Relay

KEY = "a-key-that-is-shared"
SETTINGS = Settings(key=SecretStr(KEY), samples=2)
NOTE = properties(
    _id={"type": "string"}, body={"type": "string"}, status={"enum": ["active", "ended"], "x-report": "show"}
)
CONTRACT = operation(properties(notes={"type": "array", "items": NOTE}, count={"type": "integer"}))
PATIENT = "Agnes Nightingale"
DIVERGENCE = Divergence.model_validate(
    {
        "id": "count-is-text",
        "operation": "GET /api/notes",
        "legacy": "counts in numbers",
        "native": "counts in words",
        "reason": "words are nicer",
        "since": "0.2.0",
        "when": {"paths": ["body.count"]},
    }
)


@pytest.fixture(scope="module", autouse=True)
def dropped_at_the_end(mongodb_url: str) -> Iterator[None]:
    yield
    with MongoClient[dict[str, Any]](mongodb_url) as client:
        client.drop_database("test_reports")


MONTH = 30 * 86_400


@pytest.fixture(params=DRIVERS)
async def database(mongodb_url: str, request: pytest.FixtureRequest) -> AsyncIterator[Database]:
    """Emptied after each test; that is quicker than to make the indexes anew."""
    database = Database(mongodb_url, "test_reports", driver=request.param)
    yield database
    for name in (*COUNTS.values(), SAMPLES):
        await database.collection(name).delete_many({})
    await database.close()


@pytest.fixture
def reports(database: Database) -> ReportWriter:
    return ReportWriter(database, SETTINGS)


@pytest.fixture
def reading(database: Database) -> ReportReader:
    return ReportReader(database)


def recently(seconds: float = 600) -> Span:
    return Span(time.time() - seconds, time.time() + 1)


def ever() -> Span:
    return Span(time.time() - 365 * 86400, time.time() + 1)


def compared(
    legacy: Exchange,
    native: Exchange,
    route: str = "notes.list",
    contract: Operation | None = CONTRACT,
    divergences: Sequence[Divergence] = (),
    **more: Any,
) -> ComparisonEvent:
    verdict = compare(legacy, native, contract, divergences)
    return ComparisonEvent(route, contract, "legacy", verdict, legacy, native, **more)


def differing(route: str = "notes.list", body: JSON = "another") -> ComparisonEvent:
    legacy = answered({"notes": [{"body": PATIENT, "status": "active"}], "count": 1})
    return compared(legacy, answered({"notes": [{"body": body, "status": "active"}], "count": 1}), route)


def served(route: str | None = "notes.list", status: int = 200, backend: str = "legacy") -> RequestRecord:
    return RequestRecord("id", "http", "GET", route, "/api/notes", backend, "share", None, status, None, 0.1, 0.1)


async def test_verdicts_are_counted_by_route(reports: ReportWriter, reading: ReportReader) -> None:
    same = answered({"count": 1})
    for _ in range(3):
        reports.record(compared(same, same))
    reports.record(differing())
    reports.record(compared(same, answered({"count": "one"}), divergences=[DIVERGENCE]))
    reports.record(compared(answered({"count": "x"}), answered({"count": "x"})))
    reports.record(compared(same, exchange(outcome="gone")))
    reports.record(SkippedEvent("notes.list", "legacy", "queue_full"))
    reports.record(SkippedEvent("other", "native", "timeout"))
    for observation in (served(), served(status=404), served(backend="native"), served(None)):
        reports.observe(observation)
    await reports.flush()
    unmatched, notes, other = await reading.routes(recently())
    assert (notes.match, notes.declared, notes.mismatch, notes.violation) == (3, 1, 1, 1)
    assert notes.skipped == {"client_gone": 1, "queue_full": 1}
    assert notes.requests == {"legacy": 2, "native": 1}
    assert notes.statuses == {"legacy": {"2xx": 1, "4xx": 1}, "native": {"2xx": 1}}
    assert notes.compared == 6
    assert notes.different == pytest.approx(2 / 6)
    [slice_] = notes.trend
    assert (slice_.seconds, slice_.match, slice_.skipped, slice_.mismatch) == (MINUTE, 3, 2, 1)
    assert other.skipped == {"timeout": 1}
    assert (other.compared, other.different) == (0, None)
    assert (unmatched.route, unmatched.requests) == ("-", {"legacy": 1})


async def test_long_span_adds_hours_and_days_up(database: Database, reading: ReportReader) -> None:
    """Counted are each hour of ten days; the span begins and ends amid a day."""
    now = time.time() // HOUR * HOUR
    for hours in range(240):
        batch = CounterBatch()
        batch.add(key("verdict", route="notes.list", verdict="match"), now - hours * HOUR + 1, 2)
        await Storage(database).add(batch)
    for since, until, expected in ((200, 0, 201), (200, 90, 110), (239, 2, 237), (50, 0, 51)):
        span = Span(now - since * HOUR, now - until * HOUR + (2 if not until else 0))
        [notes] = await reading.routes(span)
        assert (since, until, notes.match) == (since, until, 2 * expected)
        assert sum(slice_.match for slice_ in notes.trend) == notes.match
        assert await reading.routes(span, trend=False) == (replace(notes, trend=()),)


async def test_counts_are_told_apart_by_revision(database: Database, reading: ReportReader) -> None:
    settings = Config.model_validate(
        {
            "legacy": {"url": "http://a"},
            "native": "a.b:c",
            "routes": [
                {"name": "notes.list", "match": "GET /n", "revision": "own"},
                {"name": "other", "match": "GET /o"},
            ],
        }
    )
    for image in ("one", "two"):
        reports = ReportWriter(database, SETTINGS, revisions=Revisions.of(settings, {"IMAGE_REVISION": image}))
        reports.record(differing())
        reports.record(differing("other"))
        reports.observe(served("other"))
        await reports.flush()
    revisions = {one.revision: one for one in await reading.revisions(recently(), "other")}
    assert {name: one.compared for name, one in revisions.items()} == {"one": 1, "two": 1}
    assert [one.revision for one in await reading.revisions(recently(), "notes.list")] == ["own"]
    [other] = await reading.routes(recently(), revision="two")
    assert (other.route, other.mismatch, other.requests) == ("other", 1, {"legacy": 1})
    assert {one.count for one in await reading.fields(recently(), revision="one")} == {1}


async def test_counts_of_several_processes_and_flushes_add_up(database: Database, reading: ReportReader) -> None:
    one, other = ReportWriter(database, SETTINGS), ReportWriter(database, SETTINGS)
    for reports in (one, other, one):
        reports.record(differing())
        await reports.flush()
    [route] = await reading.routes(recently())
    [field] = await reading.fields(recently())
    assert (route.mismatch, field.count) == (3, 3)


async def test_what_was_long_ago_is_read_by_the_hour_and_by_the_day(
    reports: ReportWriter, reading: ReportReader
) -> None:
    reports.record(differing())
    await reports.flush()
    for seconds, step in ((2 * HOUR, MINUTE), (3 * HOUR, HOUR), (30 * 86400, 86400)):
        [route] = await reading.routes(recently(seconds))
        assert [(one.seconds, one.mismatch) for one in route.trend] == [(step, 1)]
        assert route.trend[0].at % step == 0
    assert await reading.routes(Span(time.time() - 9 * HOUR, time.time() - 2 * HOUR)) == ()


async def test_fields_are_told_with_kind_and_noise(reports: ReportWriter, reading: ReportReader) -> None:
    for _ in range(2):
        reports.record(differing())
    reports.record(compared(answered({"count": 1}), answered({"count": "one"}), divergences=[DIVERGENCE]))
    reports.record(differing("other"))
    first, again = answered({"notes": [{"body": "a"}]}), answered({"notes": [{"body": "b"}, {"body": "c"}]})
    reports.record(ReplayEvent("notes.list", CONTRACT, compare(first, again, CONTRACT), first, again))
    reports.record(ReplayEvent("notes.list", CONTRACT, compare(first, first, CONTRACT), first, first))
    gone = exchange(outcome="gone")
    reports.record(ReplayEvent("notes.list", CONTRACT, compare(first, gone, CONTRACT), first, gone))
    await reports.flush()
    body, count = await reading.fields(recently(), "notes.list")
    assert (body.field, body.kind, body.severity) == ("body.notes.*.body", "value", "major")
    assert (body.count, body.declared, body.unexplained, body.noise, body.replays) == (2, 0, 2, 1, 2)
    assert body.first <= body.last <= time.time()
    assert (count.field, count.kind, count.count, count.declared, count.noise) == ("body.count", "type", 1, 1, 0)
    assert [one.route for one in await reading.fields(recently())] == ["notes.list", "other", "notes.list"]
    route = next(one for one in await reading.routes(recently()) if one.route == "notes.list")
    assert (route.replays, route.noisy) == (2, 1)


async def test_a_field_that_differs_in_many_items_is_one(reports: ReportWriter, reading: ReportReader) -> None:
    notes: JSON = [{"body": "a"}, {"body": "b"}, {"body": "c"}]
    others: JSON = [{"body": "x"}, {"body": 1}, {"body": "z"}]
    reports.record(compared(answered({"notes": notes}), answered({"notes": others})))
    await reports.flush()
    found = {(one.field, one.kind): (one.count, one.severity) for one in await reading.fields(recently())}
    assert found[("body.notes.*.body", "value")] == (1, "major")
    assert found[("body.notes.*.body", "type")] == (1, "breaking")


async def test_a_sample_is_found_by_route_field_kind_and_verdict(reports: ReportWriter, reading: ReportReader) -> None:
    reports.record(differing())
    reports.record(compared(answered({"count": "x"}), answered({"count": "x"})))
    reports.record(compared(answered({"count": 1}), answered({"count": 1})))
    await reports.flush()
    for wanted in (
        {"field": "body.notes.*.body"},
        {"field": "body.notes.*.body", "kind": "value"},
        {"verdict": "mismatch"},
        {"route": "notes.list", "limit": 1, "kind": "value"},
    ):
        [head] = await reading.samples(recently(), **wanted)
        assert (head.verdict, head.fields) == ("mismatch", (("body.notes.*.body", "value"),))
    [breach] = await reading.samples(recently(), kind="violation")
    assert (breach.verdict, breach.fields, breach.statuses) == (
        "violation",
        (("body.count", "violation"),),
        (200, 200),
    )
    assert await reading.samples(recently(), route="other") == ()
    assert await reading.samples(Span(0, time.time() - 60)) == ()


async def test_a_sample_tells_both_answers_side_by_side(reports: ReportWriter, reading: ReportReader) -> None:
    legacy = answered({"notes": [{"body": PATIENT, "status": "active"}], "count": "x"}, headers=[("etag", "1")])
    native = answered({"notes": [{"body": 5, "status": "ended"}], "count": "x"}, status=201)
    wrote: list[dict[str, JSON]] = [{"collection": "notes", "operation": "insert", "document": {"body": PATIENT}}]
    reports.record(compared(legacy, native, writes=wrote))
    reports.record(ReplayEvent("notes.list", CONTRACT, compare(legacy, native, CONTRACT), legacy, native))
    await reports.flush()
    [head, *_] = await reading.samples(recently())
    sample = await reading.sample(head.id)
    assert sample is not None
    assert (sample.route, sample.operation, sample.served) == ("notes.list", "notes", "legacy")
    assert (sample.request.method, sample.request.template) == ("GET", "/api/notes")
    assert (sample.legacy.status, sample.native.status) == (200, 201)
    assert dict(sample.legacy.headers)["etag"]["type"] == "string"
    body = next(one for one in sample.differences if one.kind == "type")
    assert body.legacy is not None
    assert body.native is not None
    assert (body.field, body.legacy.path, body.noise) == ("body.notes.*.body", "body.notes.0.body", True)
    assert body.legacy.value["length"] == len(PATIENT)
    assert body.native.value["type"] == "integer"
    assert sample.legacy.body.content is not None
    assert '"value": "active"' in json.dumps(sample.legacy.body.content)
    assert {(one.backend, one.field, one.rule) for one in sample.violations} >= {("legacy", "body.count", "type")}
    assert sample.writes is not None
    assert (sample.writes[0].collection, sample.writes[0].operation) == ("notes", "insert")
    assert PATIENT not in repr(sample)


async def test_first_and_newest_samples_of_a_difference_remain(
    database: Database, reports: ReportWriter, reading: ReportReader
) -> None:
    ids: list[str] = []
    for number in range(5):
        reports.record(differing(body=f"text {number}"))
        reports.record(differing(body=f"more {number}"))
        await reports.flush()
        ids += [one.id for one in await reading.samples(recently()) if one.id not in ids]
    left = [one.id for one in await reading.samples(recently())]
    assert left == [ids[4], ids[3], ids[0]]
    assert await reading.sample(ids[1]) is None
    assert await reading.newest_sample_instead(ids[1]) == ids[4]
    assert await reading.newest_sample_instead("00000000-" + "0" * 16) is None
    assert await reading.newest_sample_instead("anything") is None


async def test_pinned_sample_remains_until_it_is_unpinned(
    database: Database, reports: ReportWriter, reading: ReportReader
) -> None:
    async def more(number: int) -> list[str]:
        for _ in range(number):
            reports.record(differing())
            await reports.flush()
        return [one.id for one in await reading.samples(recently())]

    pinned = (await more(2))[0]
    assert await Storage(database).pin_sample(pinned, pinned=True)
    ids = await more(3)
    assert (len(ids), pinned in ids) == (4, True)
    assert [one.pinned for one in await reading.samples(recently())] == [one == pinned for one in ids]
    document = await database.collection(SAMPLES).find_one({"_id": pinned})
    assert document is not None
    assert "expire_from" not in document
    assert await Storage(database).pin_sample(pinned, pinned=False)
    assert pinned not in await more(1)
    assert not await Storage(database).pin_sample(pinned, pinned=True)


async def test_a_sample_stays_for_the_places_that_have_no_newer(reports: ReportWriter, reading: ReportReader) -> None:
    reports.record(differing())
    await reports.flush()
    reports.record(compared(answered({"notes": [{"body": "a"}], "count": 1}), answered({"notes": [{"body": "b"}]})))
    await reports.flush()
    for _ in range(2):
        reports.record(differing())
        await reports.flush()
    first, second = (await reading.samples(recently()))[:-3:-1]
    assert first.fields == (("body.notes.*.body", "value"),)
    assert second.fields == (("body.count", "missing"),)


async def test_divergences_seen_never_seen_and_no_longer_declared(reports: ReportWriter, reading: ReportReader) -> None:
    reports.record(compared(answered({"count": 1}), answered({"count": "one"}), divergences=[DIVERGENCE]))
    await reports.flush()
    other = DIVERGENCE.model_copy(update={"id": "another"})
    never, seen = await reading.divergences(recently(), [other, DIVERGENCE])
    assert (never.id, never.count, never.last, never.stale) == ("another", 0, None, False)
    assert (seen.id, seen.count, seen.native, seen.since) == ("count-is-text", 1, "counts in words", "0.2.0")
    assert seen.first is not None
    [_, stale] = await reading.divergences(recently(), [other])
    assert (stale.id, stale.count, stale.stale, stale.reason) == ("count-is-text", 1, True, "")


async def test_drift_says_who_breaks_which_rule_where(reports: ReportWriter, reading: ReportReader) -> None:
    for _ in range(2):
        reports.record(compared(answered({"count": "x"}), answered({"count": 1})))
    reports.record(compared(answered({"count": 1}), exchange(b"x", f"text/{PATIENT.split()[0]}")))
    await reports.flush()
    count, kind = await reading.drift(recently())
    assert (count.backend, count.path, count.rule, count.count) == ("legacy", "body.count", "type", 2)
    assert (count.operation, count.message) == ("notes", "is not of type integer")
    assert (kind.backend, kind.path, kind.rule) == ("native", "header.content-type", "content-type")
    assert [one.backend for one in await reading.drift(recently(), "notes.list", "native")] == ["native"]
    assert await reading.drift(recently(), "other") == ()


async def test_coverage_says_what_legacy_answered(reports: ReportWriter, reading: ReportReader) -> None:
    for legacy in (
        answered({}),
        answered({}),
        exchange(b"x", "text/html", status=404),
        exchange(b"x", f"text/{PATIENT.split()[0]}"),
        exchange(status=204, kind=""),
        exchange(outcome="hang"),
    ):
        reports.record(compared(legacy, answered({})))
    reports.record(compared(answered({}), answered({}), "-", None))
    await reports.flush()
    found = {(one.operation, one.status, one.media): one.count for one in await reading.coverage(recently())}
    assert found == {
        ("notes", "200", "application/json"): 2,
        ("notes", "404", "text/html"): 1,
        ("notes", "200", "other"): 1,
        ("notes", "204", None): 1,
        ("notes", "hang", None): 1,
        (None, "200", "application/json"): 1,
    }


async def test_data_as_names_does_not_fill_the_report(reports: ReportWriter, reading: ReportReader) -> None:
    for number in range(50):
        reports.record(compared(answered({f"{PATIENT} {number}": 1}), answered({})))
    await reports.flush()
    fields = await reading.fields(recently())
    assert len(fields) == 11
    assert fields[0].field == "body.~"
    assert fields[0].count == 40


async def test_nothing_stored_holds_what_was_compared(database: Database, reports: ReportWriter) -> None:
    secret = "Zoë Ångström-Ćwik"
    values: JSON = {"notes": [{"body": secret, "status": "active"}], secret: {secret: secret}}
    headers = [("x-" + secret.encode().decode("latin-1").lower(), secret.encode().decode("latin-1"))]
    legacy = answered(values, headers=headers, target=f"/api/notes/{secret}?q={secret}", sent=secret.encode())
    wrote: list[dict[str, JSON]] = [{"collection": secret, "operation": secret, "document": values}]
    reports.record(compared(legacy, answered({"notes": [{"body": 1}]}), writes=wrote))
    reports.record(ReplayEvent("notes.list", None, compare(legacy, answered({})), legacy, answered({})))
    await reports.flush()
    stored = await everything(database)
    assert len(stored) > 1000
    for part in (secret[index : index + 4] for index in range(len(secret) - 3)):
        assert part not in stored
        assert json.dumps(part)[1:-1] not in stored


async def test_documents_go_when_their_time_has_come(database: Database, reports: ReportWriter) -> None:
    await reports.flush()
    assert await lasting(database) == {
        "counts_by_minute": 7500,
        "counts_by_hour": MONTH,
        "counts_by_day": MONTH,
        SAMPLES: MONTH,
    }
    reports.apply_config(Config.model_validate({"legacy": {"url": "http://a"}, "reports": {"retention": "1h"}}))
    await reports.flush()
    assert await lasting(database) == dict.fromkeys((*COUNTS.values(), SAMPLES), 3600)


async def test_comparisons_without_mongodb_are_dropped_and_counted(
    mongodb_url: str, database: Database, reading: ReportReader
) -> None:
    async with Relay(mongodb_url) as relay:
        distant = Database(relay.url, database.name, timeout=0.6)
        reports, dropped = ReportWriter(distant, SETTINGS), metric("database")
        reports.record(differing())
        reports.record(SkippedEvent("notes.list", "legacy", "queue_full"))
        await reports.flush()
        assert metric("database") == dropped + 2
        with pytest.raises(Unavailable):
            await ReportReader(distant).routes(recently())
        await relay.mend()
        reports.record(differing())
        await distant.reach()
        await reports.flush()
        await distant.close()
    [route] = await reading.routes(recently())
    assert (route.mismatch, route.dropped) == (1, 2)
    health = await reading.health()
    assert health.dropped == 2
    assert health.oldest is not None


async def test_it_writes_by_itself_and_a_last_time_at_the_end(reports: ReportWriter, reading: ReportReader) -> None:
    await reports.start()
    async with asyncio.timeout(5):
        reports.record(differing())
        while not await reading.routes(recently()):
            await asyncio.sleep(0.01)
    reports.record(differing())
    await reports.stop()
    [route] = await reading.routes(recently())
    assert route.mismatch == 2


async def test_reports_without_a_database_are_dropped(caplog: pytest.LogCaptureFixture) -> None:
    reports = ReportWriter(None, SETTINGS)
    reports.record(differing())
    reports.observe(served())
    await reports.flush()
    assert caplog.text == ""


async def test_without_a_key_unknown_names_are_one_field(database: Database, reading: ReportReader) -> None:
    for _ in range(2):
        reports = ReportWriter(database, Settings())
        reports.record(compared(answered({"zzz": 1}), answered({})))
        await reports.flush()
    [field] = await reading.fields(recently())
    assert (field.field, field.count) == ("body.~", 2)


async def test_a_fault_in_noting_stops_nothing(reports: ReportWriter, reading: ReportReader) -> None:
    fault, whole = metric("fault"), differing()
    broken = ComparisonEvent("notes.list", CONTRACT, "legacy", None, whole.legacy, whole.native)  # type: ignore[arg-type]
    reports.record(broken)
    await reports.flush()
    assert metric("fault") == fault + 1
    [route] = await reading.routes(recently())
    assert route.dropped == 1


async def test_more_than_can_be_counted_is_dropped(
    reports: ReportWriter, reading: ReportReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.reports.counters.KEYS", 3)
    full = metric("full")
    for number in range(9):
        reports.record(SkippedEvent(f"route {number}", "legacy", "timeout"))
        reports.observe(served())
    await reports.flush()
    assert metric("full") == full + 7
    assert sum(one.dropped for one in await reading.routes(recently())) == 7


async def test_samples_that_mongodb_refuses_are_lost_alone(
    database: Database, reports: ReportWriter, reading: ReportReader
) -> None:
    await reports.flush()
    await database.command({"collMod": SAMPLES, "validator": {"impossible": True}})
    reports.record(differing())
    await reports.flush()
    await database.command({"collMod": SAMPLES, "validator": {}})
    [route] = await reading.routes(recently())
    assert (route.mismatch, route.dropped) == (1, 0)
    assert await reading.samples(recently()) == ()


async def test_an_empty_report(reading: ReportReader) -> None:
    assert await reading.routes(ever()) == ()
    assert await reading.fields(ever()) == ()
    assert await reading.sample("none") is None
    assert (await reading.health()).oldest is None


async def everything(database: Database) -> str:
    found: list[str] = []
    for name in (*COUNTS.values(), SAMPLES):
        found += [repr(one) async for one in database.collection(name).find({})]
    return "\n".join(found)


async def lasting(database: Database) -> dict[str, int]:
    names = (*COUNTS.values(), SAMPLES)
    indexes = {name: await database.collection(name).index_information() for name in names}
    return {name: (indexes[name].get("at_1") or indexes[name]["expire_from_1"])["expireAfterSeconds"] for name in names}


def metric(reason: str) -> float:
    return REGISTRY.get_sample_value("scribe_proxy_reports_dropped_total", {"reason": reason}) or 0.0

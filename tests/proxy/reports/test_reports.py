"""Reports of live traffic in MongoDB: counts, fields, coverage."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from proxy.comparison.exchanges import compare
from proxy.config.models import Config
from proxy.database.database import Database
from proxy.reports.counters import CounterBatch, key
from proxy.reports.events import ReplayEvent, SkippedEvent
from proxy.reports.models import HOUR, MINUTE, Span
from proxy.reports.reader import ReportReader
from proxy.reports.revisions import Revisions
from proxy.reports.storage import Storage
from proxy.reports.writer import ReportWriter
from proxy.types import JSON
from tests.support.exchanges import answered, exchange
from tests.support.report_events import (
    CONTRACT,
    DIVERGENCE,
    PATIENT,
    SETTINGS,
    compared,
    differing,
    ever,
    recently,
    served,
)


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
    # Each hour of ten days is counted; the span begins and ends within a day.
    now = time.time() // HOUR * HOUR
    for first in range(0, 240, 16):  # hours of two days are in one batch, and those of one day in two
        batch = CounterBatch()
        for hours in range(first, first + 16):
            batch.add(key("verdict", route="notes.list", verdict="match"), now - hours * HOUR + 1, 2)
        await Storage(database).add(batch)
    for since, until, expected in ((200, 0, 201), (200, 90, 110), (239, 2, 237), (50, 0, 51)):
        span = Span(now - since * HOUR, now - until * HOUR + (2 if not until else 0))
        [notes] = await reading.routes(span)
        assert (since, until, notes.match) == (since, until, 2 * expected)
        assert sum(slice_.match for slice_ in notes.trend) == notes.match
        assert await reading.routes(span, trend=False) == (replace(notes, trend=()),)


async def test_counts_are_separated_by_revision(database: Database, reading: ReportReader) -> None:
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


async def test_old_counts_are_read_by_hour_and_by_day(reports: ReportWriter, reading: ReportReader) -> None:
    reports.record(differing())
    await reports.flush()
    for seconds, step in ((2 * HOUR, MINUTE), (3 * HOUR, HOUR), (30 * 86400, 86400)):
        [route] = await reading.routes(recently(seconds))
        assert [(one.seconds, one.mismatch) for one in route.trend] == [(step, 1)]
        assert route.trend[0].at % step == 0
    assert await reading.routes(Span(time.time() - 9 * HOUR, time.time() - 2 * HOUR)) == ()


async def test_fields_have_kind_and_noise(reports: ReportWriter, reading: ReportReader) -> None:
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


async def test_field_differing_in_many_items_is_one_entry(reports: ReportWriter, reading: ReportReader) -> None:
    notes: JSON = [{"body": "a"}, {"body": "b"}, {"body": "c"}]
    others: JSON = [{"body": "x"}, {"body": 1}, {"body": "z"}]
    reports.record(compared(answered({"notes": notes}), answered({"notes": others})))
    await reports.flush()
    entries = {(one.field, one.kind): (one.count, one.severity) for one in await reading.fields(recently())}
    assert entries[("body.notes.*.body", "value")] == (1, "major")
    assert entries[("body.notes.*.body", "type")] == (1, "breaking")


async def test_divergences_are_observed_unobserved_or_removed(reports: ReportWriter, reading: ReportReader) -> None:
    reports.record(compared(answered({"count": 1}), answered({"count": "one"}), divergences=[DIVERGENCE]))
    await reports.flush()
    other = DIVERGENCE.model_copy(update={"id": "another"})
    never, observed = await reading.divergences(recently(), [other, DIVERGENCE])
    assert (never.id, never.count, never.last, never.stale) == ("another", 0, None, False)
    assert (observed.id, observed.count, observed.native, observed.since) == (
        "count-is-text",
        1,
        "counts in words",
        "0.2.0",
    )
    assert observed.first is not None
    [_, stale] = await reading.divergences(recently(), [other])
    assert (stale.id, stale.count, stale.stale, stale.reason) == ("count-is-text", 1, True, "")


async def test_drift_lists_backend_rule_and_location(reports: ReportWriter, reading: ReportReader) -> None:
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


async def test_coverage_counts_answers_of_legacy(reports: ReportWriter, reading: ReportReader) -> None:
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
    counts = {(one.operation, one.status, one.media): one.count for one in await reading.coverage(recently())}
    assert counts == {
        ("notes", "200", "application/json"): 2,
        ("notes", "404", "text/html"): 1,
        ("notes", "200", "other"): 1,
        ("notes", "204", None): 1,
        ("notes", "hang", None): 1,
        (None, "200", "application/json"): 1,
    }


async def test_data_as_names_do_not_fill_the_report(reports: ReportWriter, reading: ReportReader) -> None:
    for number in range(50):
        reports.record(compared(answered({f"{PATIENT} {number}": 1}), answered({})))
    await reports.flush()
    fields = await reading.fields(recently())
    assert len(fields) == 11
    assert fields[0].field == "body.~"
    assert fields[0].count == 40


async def test_empty_report(reading: ReportReader) -> None:
    assert await reading.routes(ever()) == ()
    assert await reading.fields(ever()) == ()
    assert await reading.sample("none") is None
    assert (await reading.health()).oldest is None

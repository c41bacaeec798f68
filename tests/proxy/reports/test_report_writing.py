"""Reports that are written late, dropped or expired."""

from __future__ import annotations

import asyncio
import json

import pytest

from proxy.comparison.exchanges import compare
from proxy.config.models import Config
from proxy.config.service_models import ReportSettings as Settings
from proxy.database.database import Database, Unavailable
from proxy.reports.events import ComparisonEvent, ReplayEvent, SkippedEvent
from proxy.reports.reader import ReportReader
from proxy.reports.storage import COUNTS, SAMPLES
from proxy.reports.writer import ReportWriter
from proxy.types import JSON
from tests.support.exchanges import answered
from tests.support.mongodb_relay import Relay
from tests.support.report_events import (
    CONTRACT,
    KEY,
    MONTH,
    PATIENT,
    SETTINGS,
    compared,
    differing,
    everything,
    lasting,
    metric,
    recently,
    served,
)
from tests.support.waiting import HANG_TIMEOUT, until_async


async def test_stored_reports_contain_no_compared_value(database: Database, reports: ReportWriter) -> None:
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


async def test_documents_expire_after_the_retention(database: Database, reports: ReportWriter) -> None:
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
    mongodb_url: str, database: Database, reading: ReportReader, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "scribe_proxy")
    with Relay(mongodb_url) as relay:
        distant = Database(relay.url, database.name, timeout=2.0)
        reports, dropped = ReportWriter(distant, SETTINGS), metric("database")
        reports.record(differing())
        reports.record(SkippedEvent("notes.list", "legacy", "queue_full"))
        whole = differing()
        reports.record(ReplayEvent("notes.list", None, whole.verdict, whole.legacy, whole.native))  # no comparison
        await reports.flush()
        assert metric("database") == dropped + 2
        with pytest.raises(Unavailable):
            await ReportReader(distant).routes(recently())
        for _ in range(2):  # the counts of what was dropped, then nothing
            await reports.flush()
        assert "stored again" not in caplog.text
        relay.mend()
        reports.record(differing())
        await until_async(distant.is_reachable)
        await reports.flush()
        assert caplog.text.count("comparisons are dropped") == caplog.text.count("stored again") == 1
        await distant.close()
    [route] = await reading.routes(recently())
    assert (route.mismatch, route.dropped) == (1, 2)
    health = await reading.health()
    assert health.dropped == 2
    assert health.oldest is not None


async def test_writer_flushes_periodically_and_at_the_end(reports: ReportWriter, reading: ReportReader) -> None:
    await reports.start()
    async with asyncio.timeout(HANG_TIMEOUT):
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


async def test_unknown_names_without_a_key_are_one_field(database: Database, reading: ReportReader) -> None:
    for _ in range(2):
        reports = ReportWriter(database, Settings())
        reports.record(compared(answered({"zzz": 1}), answered({})))
        await reports.flush()
    [field] = await reading.fields(recently())
    assert (field.field, field.count) == ("body.~", 2)


async def test_failing_entry_does_not_stop_the_writer(reports: ReportWriter, reading: ReportReader) -> None:
    fault, whole = metric("fault"), differing()
    broken = ComparisonEvent("notes.list", CONTRACT, "legacy", None, whole.legacy, whole.native)  # type: ignore[arg-type]
    reports.record(broken)
    await reports.flush()
    assert metric("fault") == fault + 1
    [route] = await reading.routes(recently())
    assert route.dropped == 1


async def test_entries_over_the_capacity_are_dropped(database: Database, reading: ReportReader) -> None:
    reports, full = ReportWriter(database, SETTINGS, max_counts=3), metric("full")
    for number in range(9):
        reports.record(SkippedEvent(f"route {number}", "legacy", "timeout"))
        reports.observe(served())
    await reports.flush()
    assert metric("full") == full + 7
    assert sum(one.dropped for one in await reading.routes(recently())) == 7


async def test_samples_refused_by_mongodb_are_dropped_alone(
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


async def test_each_skipped_request_over_the_capacity_is_counted(database: Database, reading: ReportReader) -> None:
    reports, full = ReportWriter(database, SETTINGS, max_counts=1), metric("full")
    reports.record(SkippedEvent("a", "legacy", "timeout"))
    reports.record(SkippedEvent("b", "legacy", "queue_full", 5))
    await reports.flush()
    assert metric("full") == full + 5
    assert {one.route: one.dropped for one in await reading.routes(recently())} == {"a": 0, "b": 5}


async def test_indexes_are_created_after_an_outage_at_the_start(mongodb_url: str, database: Database) -> None:
    with Relay(mongodb_url) as relay:
        distant = Database(relay.url, f"{database.name}_late", timeout=2.0)
        reports = ReportWriter(distant, SETTINGS)
        await reports.flush()
        relay.mend()
        await until_async(distant.is_reachable)
        await reports.flush()
        assert await lasting(distant) == {
            "counts_by_minute": 7500,
            **dict.fromkeys(("counts_by_hour", "counts_by_day", SAMPLES), MONTH),
        }
        await distant.command({"dropDatabase": 1})
        await distant.close()


async def test_changed_redaction_applies_to_the_next_comparison(reports: ReportWriter, reading: ReportReader) -> None:
    for redact in ("off", "full"):
        settings = {"redact": redact, "key": KEY, "samples": 9, "staging": True}
        reports.apply_config(Config.model_validate({"legacy": {"url": "http://a"}, "reports": settings}))
        reports.record(differing())
        await reports.flush()
    newest, before = [await reading.sample(one.id) for one in await reading.samples(recently())]
    assert newest is not None
    assert before is not None
    assert (before.redaction, newest.redaction) == ("off", "full")
    assert PATIENT in repr(before.legacy)
    assert PATIENT not in repr(newest.legacy)

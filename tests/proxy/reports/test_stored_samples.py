"""Samples of differences: which are stored, found, pinned and dropped."""

from __future__ import annotations

import json
import time

from proxy.comparison.exchanges import compare
from proxy.database.database import Database
from proxy.reports.events import ReplayEvent
from proxy.reports.models import Span
from proxy.reports.reader import ReportReader
from proxy.reports.storage import SAMPLES, Storage
from proxy.reports.writer import ReportWriter
from proxy.types import JSON
from tests.support.exchanges import answered
from tests.support.report_events import CONTRACT, PATIENT, compared, differing, recently


async def test_sample_is_selected_by_route_field_kind_and_verdict(reports: ReportWriter, reading: ReportReader) -> None:
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
    [violation] = await reading.samples(recently(), kind="violation")
    assert (violation.verdict, violation.fields, violation.statuses) == (
        "violation",
        (("body.count", "violation"),),
        (200, 200),
    )
    assert await reading.samples(recently(), route="other") == ()
    assert await reading.samples(Span(0, time.time() - 60)) == ()


async def test_sample_contains_both_answers(reports: ReportWriter, reading: ReportReader) -> None:
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
    document = await database.collection(SAMPLES).find_one({"_id": pinned})
    assert document is not None
    assert "expire_from" in document
    assert pinned not in await more(1)
    assert not await Storage(database).pin_sample(pinned, pinned=True)


async def test_sample_stays_where_no_newer_one_exists(reports: ReportWriter, reading: ReportReader) -> None:
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

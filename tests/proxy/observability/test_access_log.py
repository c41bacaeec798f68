"""The access log's lines."""

from __future__ import annotations

import asyncio
import io
import json

from proxy.observability import access_log
from proxy.observability.access_log import AccessLog, render
from tests.support.request_records import request_record


def test_log_line_describes_a_request() -> None:
    assert json.loads(render(request_record(), 1_795_375_697.25)) == {
        "time": "2026-11-22T19:28:17.250Z",
        "id": "id-1",
        "kind": "http",
        "method": "GET",
        "route": "notes.list",
        "template": "/api/notes/{consultationId}",
        "backend": "native",
        "reason": "share",
        "status": 200,
        "head_ms": 1.23,
        "total_ms": 4.5,
        "bucket": 17,
    }


def test_unknown_values_are_omitted_from_the_line() -> None:
    line = json.loads(render(request_record(route=None, template=None, bucket=None, failure="legacy_timeout"), 0))
    assert line["route"] == line["template"] == "-"
    assert "bucket" not in line
    assert line["failure"] == "legacy_timeout"
    assert "cause" not in line
    assert json.loads(render(request_record(cause="refused"), 0))["cause"] == "refused"


def test_times_are_in_milliseconds() -> None:
    line = json.loads(render(request_record(head=12.5, total=100.0), 0))
    assert (line["head_ms"], line["total_ms"]) == (12_500, 100_000)


async def test_lines_are_written_together_and_soon() -> None:
    stream = io.StringIO()
    log = AccessLog(stream.write)
    for _ in range(3):
        log(request_record())
    assert stream.getvalue() == ""
    await asyncio.sleep(access_log.FLUSH_AFTER + 0.1)
    assert len(stream.getvalue().splitlines()) == 3


async def test_many_lines_are_written_without_waiting() -> None:
    stream = io.StringIO()
    log = AccessLog(stream.write)
    for _ in range(access_log.FLUSH_AT):
        log(request_record())
    assert len(stream.getvalue().splitlines()) == access_log.FLUSH_AT


async def test_last_lines_are_written_at_the_end() -> None:
    stream = io.StringIO()
    log = AccessLog(stream.write)
    log(request_record())
    log.flush()
    log.flush()
    assert len(stream.getvalue().splitlines()) == 1


async def test_disabled_log_writes_nothing() -> None:
    stream = io.StringIO()
    log = AccessLog(stream.write)
    log.enabled = False
    log(request_record())
    log.flush()
    assert stream.getvalue() == ""

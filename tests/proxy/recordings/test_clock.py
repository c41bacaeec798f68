"""The time of a recording, and the values that count as made in it."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest

from proxy.comparison.answers import DecodedAnswer
from proxy.recordings.clock import TOLERANCE, RecordedClock, names_since, scenario_clock
from proxy.recordings.comparing import compare_answers
from proxy.recordings.model import scenario
from proxy.types import JSON

RECORDED = 1_795_376_469
"""In seconds since the epoch: 2026-11-22T19:41:09Z."""
YEARS_AGO = RECORDED - 200_000_000
JSON_TYPE = {"content-type": "application/json"}


def id_at(seconds: int, serial: int = 1) -> str:
    return f"{seconds:08x}{serial:016x}"


def date_at(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def step(method: str, *texts: str, sent: str = "", date: str = "") -> JSON:
    headers: dict[str, JSON] = {**JSON_TYPE, **({"date": date} if date else {})}
    body = "[" + ",".join(f'"{text}"' for text in texts) + "]"
    request: JSON = {"method": method, "path": "/notes", "content": sent}
    response: JSON = {"status": 200, "headers": headers, "text": body}
    return {"name": method, "request": request, "outcome": "response", "response": response}


@pytest.mark.parametrize(
    ("steps", "seconds"),
    [
        ([], None),
        ([step("POST", "no time")], None),
        ([step("POST", id_at(YEARS_AGO), id_at(RECORDED), date_at(YEARS_AGO), date_at(YEARS_AGO + 9))], RECORDED),
        ([step("POST", id_at(RECORDED), id_at(RECORDED + 99), sent=id_at(RECORDED + 99))], RECORDED),
        ([step("GET", id_at(RECORDED + 99)), step("PUT", id_at(RECORDED + 99), id_at(RECORDED))], RECORDED),
        ([step("POST", "done"), step("GET", id_at(RECORDED), id_at(YEARS_AGO))], RECORDED),
        ([step("POST", date_at(YEARS_AGO), date_at(RECORDED), date_at(RECORDED + 9))], RECORDED),
        ([step("GET", id_at(YEARS_AGO)), step("PUT", id_at(YEARS_AGO))], YEARS_AGO),
        ([step("POST", id_at(RECORDED), date="no date")], RECORDED),
    ],
)
def test_newest_id_that_a_write_introduced_shows_the_time(steps: list[JSON], seconds: int | None) -> None:
    expected = None if seconds is None else RecordedClock(seconds * 1000)
    assert scenario_clock(steps, {}, {}) == expected


def test_date_headers_decide_and_their_span_is_tolerated() -> None:
    first, last = "Sun, 22 Nov 2026 19:41:09 GMT", "Sun, 22 Nov 2026 19:41:19 GMT"
    steps: JSON = [step("POST", id_at(YEARS_AGO), date=first), step("GET", id_at(YEARS_AGO), date=last)]
    assert scenario_clock(steps, {}, {}) == RecordedClock((RECORDED + 10) * 1000, TOLERANCE + 10_000)


def test_document_that_was_there_before_does_not_show_the_time() -> None:
    store: JSON = {"notes": [{"_id": id_at(RECORDED + 99)}, {"_id": id_at(RECORDED)}]}
    before: JSON = {"notes": [{"_id": id_at(RECORDED + 99)}]}
    assert scenario_clock([step("POST", "done")], store, before) == RecordedClock(RECORDED * 1000)


def differing(recorded: JSON, *actual: str) -> list[str]:
    """Return the locations of differences of the last recorded answer and one of now."""
    given = scenario({"scenario": "s", "steps": [recorded]})
    body = "[" + ",".join(f'"{text}"' for text in actual) + "]"
    answer = DecodedAnswer("response", 200, JSON_TYPE, body.encode())
    differences = compare_answers(given.steps[0].answer, answer, names_since(given.clock), ("date",))
    return [one.location for one in differences]


@pytest.mark.parametrize("date", ["", "Sun, 22 Nov 2026 19:41:09 GMT"])
def test_write_with_old_documents_equals_its_recording(date: str) -> None:
    now, old = int(time.time()), (id_at(YEARS_AGO), date_at(YEARS_AGO), date_at(YEARS_AGO - 9), id_at(YEARS_AGO - 9))
    recorded = step("POST", *old, id_at(RECORDED), date_at(RECORDED), date=date)
    assert differing(recorded, *old, id_at(now), date_at(now)) == []
    other = (id_at(YEARS_AGO, serial=2), *old[1:])
    assert differing(recorded, *other, id_at(now), date_at(now)) == ["body.0"]


def test_stored_id_of_the_same_day_is_compared_by_value() -> None:
    now, earlier = int(time.time()), RECORDED - 3600
    recorded = step("POST", id_at(earlier), id_at(RECORDED), date="Sun, 22 Nov 2026 19:41:09 GMT")
    assert differing(recorded, id_at(earlier), id_at(now)) == []
    assert differing(recorded, id_at(now - 3600), id_at(now)) == ["body.0"]

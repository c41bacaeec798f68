"""A page's URL contains its filters, so that it can be shared."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.ops.filters import LAST, VERDICTS, FilterError, Filters
from proxy.reports.models import Span

NOW = 1_795_356_309.0


def test_default_filter_is_the_last_day() -> None:
    filters = Filters.of({}, NOW)
    assert (filters.span, filters.verdict, filters.words) == (Span(NOW - 86_400, NOW), None, "the last 24 hours")
    assert filters.link("/drift") == "/drift"


def test_filter_accepts_both_ends() -> None:
    filters = Filters.of({"from": "2026-11-22T12:00Z", "until": "2026-11-22T15:00+02:00", "verdict": "match"}, NOW)
    assert filters.span.until - filters.span.since == 3600
    assert filters.words == "22 Nov 2026, 12:00:00 UTC to 22 Nov 2026, 13:00:00 UTC"
    assert Filters.of({"from": "2026-11-22T12:00"}, NOW).span == Span(filters.span.since, NOW)


@pytest.mark.parametrize(
    "query",
    [
        {"last": "2h"},
        {"verdict": "good"},
        {"from": "yesterday"},
        {"from": "2026-11-22T12:00", "until": "2026-11-22T12:00"},
        {"from": "9999-12-31T23:59-23:00"},
    ],
)
def test_invalid_filter_is_reported(query: dict[str, str]) -> None:
    with pytest.raises(FilterError, match=r"one of|ISO 8601|must be after"):
        Filters.of(query, NOW)


@settings(max_examples=40)
@given(st.sampled_from([None, *LAST]), st.sampled_from([None, *VERDICTS]), st.sampled_from([None, *VERDICTS]))
def test_link_changes_given_parameters_only(last: str | None, verdict: str | None, other: str) -> None:
    query = {name: value for name, value in (("last", last), ("verdict", verdict)) if value}
    filters = Filters.of(query, NOW)
    again = Filters.of(dict(parse_qsl(urlsplit(filters.link("/routes/a")).query)), NOW)
    assert again == filters
    changed = Filters.of(dict(parse_qsl(urlsplit(filters.link("/", verdict=other)).query)), NOW)
    assert (changed.span, changed.verdict) == (filters.span, other)


@settings(max_examples=40)
@given(st.sampled_from([None, *VERDICTS]), st.integers(1, 10**6))
def test_permalink_fixes_the_period(verdict: str | None, later: int) -> None:
    filters = Filters.of({"verdict": verdict} if verdict else {}, NOW)
    link = urlsplit(filters.fixed("/routes/ä b", field="body.a"))
    assert link.path == "/routes/%C3%A4%20b"
    tomorrow = Filters.of(dict(parse_qsl(link.query)), NOW + later)
    assert (tomorrow.span, tomorrow.verdict) == (filters.span, filters.verdict)
    assert dict(parse_qsl(link.query))["field"] == "body.a"
    assert Filters.of(dict(parse_qsl(urlsplit(tomorrow.link("/", last="1h")).query)), NOW).last == "1h"

"""The counters that cover a span: none is read twice, and none within the span is omitted."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from proxy.reports.models import DAY, HOUR, MINUTE, Span
from proxy.reports.resolution import MAX_HOURLY_SPAN, MINUTE_RETENTION, segments, trend_step

NOW = 1_795_905_600.0 + 13 * HOUR + 17 * MINUTE
spans = st.tuples(st.integers(1, 60 * DAY), st.integers(0, 60 * DAY)).map(
    lambda pair: Span(NOW - pair[0] - pair[1], NOW - pair[1])
)


@given(spans)
def test_segments_cover_a_span_once_and_in_order(span: Span) -> None:
    parts = segments(span, NOW)
    assert parts[0].since <= span.since < parts[0].since + parts[0].seconds
    assert parts[-1].until == span.until
    for before, after in itertools.pairwise(parts):
        assert before.until == after.since
    for part in parts:
        assert part.since % part.seconds == 0
        assert part.until % part.seconds == 0 or part.until == span.until


@given(spans)
def test_counters_that_have_expired_are_not_read(span: Span) -> None:
    minutes = any(part.seconds == MINUTE for part in segments(span, NOW))
    assert minutes == (span.since >= NOW - MINUTE_RETENTION - MINUTE)


@given(spans)
def test_long_span_uses_days_unless_it_ends_now(span: Span) -> None:
    parts = segments(span, NOW)
    days = [part for part in parts if part.seconds == DAY]
    assert len(days) == (span.until - span.since > MAX_HOURLY_SPAN)
    assert trend_step(span, NOW) == (DAY if days else parts[0].seconds)
    for part in days:
        assert part.until == NOW or part.until % DAY == 0

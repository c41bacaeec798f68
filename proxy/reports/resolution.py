"""Choose the counters to read for a time span: by minute, by hour or by day. Pure.

Recent spans are read by minute, spans of up to `MAX_HOURLY_SPAN` by hour. Longer ones are read by day, and by hour
before their first midnight and after their last one, so that each day and hour is read once.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from proxy.reports.models import DAY, HOUR, MINUTE, Span

MINUTE_RETENTION: Final = 2 * HOUR
"""Retention of the counts by minute, in seconds; MongoDB removes them a few minutes later."""
MAX_HOURLY_SPAN: Final = 3 * DAY
"""Spans (s) longer than this are read by day and have a trend by day."""


class CounterSpan(NamedTuple):
    """A part of a span, read from the counters of `seconds`: from `since` until before `until`."""

    seconds: int
    since: float
    until: float


def segments(span: Span, now: float) -> tuple[CounterSpan, ...]:
    """Return the parts of a span, in order and without overlap; `now` in seconds since the epoch."""
    if span.since >= now - MINUTE_RETENTION - MINUTE:
        return (CounterSpan(MINUTE, _floor(span.since, MINUTE), span.until),)
    since = _floor(span.since, HOUR)
    if span.until - span.since <= MAX_HOURLY_SPAN:
        return (CounterSpan(HOUR, since, span.until),)
    first_midnight = -_floor(-since, DAY)
    last_midnight = span.until if span.until >= now else _floor(span.until, DAY)
    parts = (
        CounterSpan(HOUR, since, first_midnight),
        CounterSpan(DAY, first_midnight, last_midnight),
        CounterSpan(HOUR, last_midnight, span.until),
    )
    return tuple(part for part in parts if part.since < part.until)


def trend_step(span: Span, now: float) -> int:
    """Return the length of the slices of a span's trend, in seconds."""
    return DAY if span.until - span.since > MAX_HOURLY_SPAN else segments(span, now)[0].seconds


def _floor(seconds: float, length: int) -> float:
    return seconds // length * length

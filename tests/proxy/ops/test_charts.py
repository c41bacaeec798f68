"""Charts stay in their box and show every value."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.ops.charts import HEIGHT, MAX_COLUMNS, MIN_HEIGHT, WIDTH, Column, bar, lines, outline, trend
from proxy.ops.rollout_views import ChangeView
from proxy.ops.share_chart import share_chart
from proxy.reports.models import DAY, HOUR, MINUTE, Span, TimeSlice
from proxy.rollout.model import Attribution, Kind


def change(kind: Kind, at: float, before: float, after: float) -> ChangeView:
    return ChangeView(kind, Attribution("Ada", "why", at), before, after, "notes", "", "")


def test_share_chart_begins_at_the_first_known_share() -> None:
    promoted, started = change("promotion", 9000.0, 1, 10), change("start", 7000.0, 1, 1)
    pieces = share_chart([promoted, started], 10, (), 10_000.0).pieces
    assert [round(piece.x, 1) for piece in pieces] == [16.7, 72.2]
    continued = change("start", 7000.0, 25, 10)
    first = share_chart([promoted, continued], 10, (), 10_000.0).pieces[0]
    assert (first.x, first.text[:8]) == (0, "25% from")
    [unchanged] = share_chart([], 12.5, (), 10_000.0).pieces
    assert (unchanged.x, unchanged.width) == (0, WIDTH)


@settings(max_examples=40)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 10**6)), max_size=5))
def test_bar_segments_fill_the_bar(parts: list[tuple[str, int]]) -> None:
    pieces = bar(parts)
    if any(value for _, value in parts):
        assert sum(piece.width for piece in pieces) == pytest.approx(100, abs=0.01)
        assert pieces[0].x == 0
    else:
        assert pieces == ()


@settings(max_examples=40)
@given(
    st.sampled_from([(HOUR, MINUTE), (DAY, HOUR), (30 * DAY, DAY), (3 * HOUR, HOUR)]),
    st.lists(st.tuples(st.integers(0, 200), st.integers(0, 9999), st.integers(0, 50)), max_size=80),
)
def test_trend_stays_within_its_box(lengths: tuple[int, int], counts: list[tuple[int, int, int]]) -> None:
    length, step = lengths
    span = Span(1_000_000.0, 1_000_000.0 + length)
    slices = [
        TimeSlice(span.since + at * step - step / 2, step, match=good, mismatch=bad, violation=2 * bad, both=bad)
        for at, good, bad in sorted(counts)
        if at * step < length
    ]
    columns = trend(slices, span)
    assert len(columns) <= MAX_COLUMNS + 1
    for column in columns:
        assert 0 <= column.x <= WIDTH
        assert column.mismatch + column.violation <= column.height <= HEIGHT + MIN_HEIGHT
    assert any(column.mismatch for column in columns) == any(one.mismatch for one in slices)
    assert any(column.violation for column in columns) == any(one.violation > one.both for one in slices)
    if columns:
        assert max(column.height for column in columns) >= HEIGHT - 0.01


def test_mismatch_among_a_thousand_is_visible() -> None:
    span = Span(0.0, 2.0 * HOUR)
    slices = [TimeSlice(0.0, HOUR, match=1000), TimeSlice(HOUR, HOUR, match=999, mismatch=1)]
    assert trend(slices, span) == (Column(0.0, 40.0, HEIGHT), Column(50.0, 40.0, HEIGHT, MIN_HEIGHT))


def test_trend_shows_mismatches_and_other_violations_apart() -> None:
    slices = [TimeSlice(0.0, HOUR, match=4, mismatch=3, violation=3, both=2)]
    assert trend(slices, Span(0.0, 1.0 * HOUR)) == (Column(0.0, 80.0, HEIGHT, 9.0, 3.0),)


def test_outline_draws_the_parts_of_columns() -> None:
    columns = (Column(0.0, 40.0, HEIGHT), Column(50.0, 40.0, 12.0, 2.0, 1.0), Column(90.0, 5.0, 3.0, 3.0))
    assert outline(columns, "match") == "M0 0h40v24h-40zM50 12h40v9h-40z"
    assert outline(columns, "mismatch") == "M50 22h40v2h-40zM90 21h5v3h-5z"
    assert outline(columns, "violation") == "M50 21h40v1h-40z"
    assert outline((), "match") == ""


def test_missing_comparisons_draw_no_column() -> None:
    assert trend([], Span(0.0, 60.0)) == ()
    assert trend([TimeSlice(0.0, MINUTE, skipped=3)], Span(0.0, 60.0)) == ()


def test_lines_share_a_scale_and_have_gaps() -> None:
    legacy, native = lines([("legacy", [1.0, None, 4.0, 2.0]), ("native", [None, None, None, 0.0])])
    assert legacy.pieces == ("0.0,17.5", "66.7,1.0 100.0,12.0")
    assert native.pieces == ("100.0,23.0",)
    assert lines([("legacy", [])])[0].pieces == ()

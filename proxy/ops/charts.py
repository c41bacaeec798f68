"""Geometry of bars, sparklines and small charts, which `templates/parts.html` draws as SVG. Pure.

Coordinates are in a box of `WIDTH` by `HEIGHT` that the page scales.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from proxy.reports.models import HOUR, Span, TimeSlice

WIDTH: Final = 100.0
HEIGHT: Final = 24.0
MIN_HEIGHT: Final = 1.5
"""Minimum height of failed comparisons, so that one among a thousand is visible."""
MAX_COLUMNS: Final = 48
"""Maximum number of columns of a trend."""

Part = Literal["match", "mismatch", "violation"]
"""Parts of a trend's column."""


@dataclass(frozen=True, slots=True)
class BarSegment:
    """A segment of a bar: its start `x` and its `width`, in percent."""

    name: str
    x: float
    width: float


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a trend: the height of its comparisons, and the parts for mismatches and for other violations."""

    x: float
    width: float
    height: float
    mismatch: float = 0.0
    violation: float = 0.0


@dataclass(frozen=True, slots=True)
class Marker:
    """A vertical line at `x`, in percent of the width."""

    x: float
    label: str


@dataclass(frozen=True, slots=True)
class ChartLine:
    """A line over time, split at its gaps; each piece is the `points` of an SVG polyline."""

    name: str
    pieces: tuple[str, ...]


def bar(parts: Sequence[tuple[str, float]]) -> tuple[BarSegment, ...]:
    """Return segments that fill the bar; none if all values are zero."""
    whole = sum(value for _, value in parts)
    pieces, x = [], 0.0
    for name, value in parts:
        width = 100 * value / whole if whole else 0.0
        if width:
            pieces.append(BarSegment(name, round(x, 3), round(width, 3)))
        x += width
    return tuple(pieces)


def trend(slices: Sequence[TimeSlice], span: Span) -> tuple[Column, ...]:
    """Return the comparisons over a span in at most `MAX_COLUMNS` columns, scaled to the highest."""
    length = max((span.until - span.since) / MAX_COLUMNS, slices[0].seconds if slices else HOUR)
    sums: dict[int, tuple[int, int, int]] = {}
    for one in slices:
        column = max(0, int((one.at - span.since) // length))
        every, mismatch, violation = sums.get(column, (0, 0, 0))
        sums[column] = every + one.compared, mismatch + one.mismatch, violation + one.violation - one.both
    highest = max((every for every, *_ in sums.values()), default=0)
    if not highest:
        return ()
    step = WIDTH * length / (span.until - span.since)
    return tuple(_column(column * step, step, *sums[column], highest) for column in sorted(sums))


def outline(columns: Sequence[Column], part: Part) -> str:
    """Return the SVG path of one part of the columns, empty without any. Mismatches are drawn below violations."""
    boxes = [(one, *_box(one, part)) for one in columns]
    return "".join(
        [f"M{one.x:g} {HEIGHT - top:.4g}h{one.width:g}v{high:.4g}h-{one.width:g}z" for one, top, high in boxes if high]
    )


def _box(column: Column, part: Part) -> tuple[float, float]:
    """Return the distance of a part's upper edge from the base, and its height."""
    failed = column.mismatch + column.violation
    if part == "match":
        return column.height, column.height - failed
    return (failed, column.violation) if part == "violation" else (column.mismatch, column.mismatch)


def markers(times: Sequence[tuple[float, str]], span: Span) -> tuple[Marker, ...]:
    """Return the positions of labelled times within a span; times outside it are omitted."""
    length = span.until - span.since
    inside = [(at, label) for at, label in times if span.since < at < span.until]
    return tuple(Marker(round(WIDTH * (at - span.since) / length, 2), label) for at, label in inside)


def _column(x: float, step: float, every: int, mismatch: int, violation: int, highest: int) -> Column:
    parts = [
        round(max(MIN_HEIGHT, HEIGHT * number / highest), 2) if number else 0.0 for number in (mismatch, violation)
    ]
    height = max(round(HEIGHT * every / highest, 2), sum(parts))
    return Column(round(x, 2), round(step * 0.8, 2), height, *parts)


def lines(series: Sequence[tuple[str, Sequence[float | None]]]) -> tuple[ChartLine, ...]:
    """Return lines over the same time steps, on one scale from zero; None is a gap."""
    highest = max((value for _, values in series for value in values if value is not None), default=0.0)
    return tuple(ChartLine(name, _pieces(values, highest or 1.0)) for name, values in series)


def _pieces(values: Sequence[float | None], highest: float) -> tuple[str, ...]:
    step = WIDTH / max(1, len(values) - 1)
    pieces: list[list[str]] = [[]]
    for index, value in enumerate(values):
        if value is None:
            pieces.append([])
        else:
            pieces[-1].append(f"{index * step:.1f},{HEIGHT - 1 - (HEIGHT - 2) * value / highest:.1f}")
    return tuple(" ".join(piece) for piece in pieces if piece)

"""Geometry of bars, sparklines and small charts, which `templates/parts.html` draws as SVG. Pure.

Coordinates are in a box of `WIDTH` by `HEIGHT` that the page scales.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from proxy.reports.models import HOUR, Span, TimeSlice

WIDTH: Final = 100.0
HEIGHT: Final = 24.0
LEAST: Final = 1.5
"""Minimum height of mismatches, so that one among a thousand comparisons is visible."""
COLUMNS: Final = 48
"""Maximum number of columns of a trend."""


@dataclass(frozen=True, slots=True)
class BarSegment:
    """A segment of a bar: its start `x` and its `width`, in percent."""

    name: str
    x: float
    width: float


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a trend: the height of its comparisons, and the part of it for mismatches."""

    x: float
    width: float
    height: float
    bad: float


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
    """Return the comparisons over a span in at most `COLUMNS` columns, scaled to the highest."""
    length = max((span.until - span.since) / COLUMNS, slices[0].seconds if slices else HOUR)
    sums: dict[int, tuple[int, int]] = {}
    for one in slices:
        column = max(0, int((one.at - span.since) // length))
        good, bad = sums.get(column, (0, 0))
        sums[column] = good + one.match + one.declared, bad + one.failed
    highest = max((good + bad for good, bad in sums.values()), default=0)
    if not highest:
        return ()
    step = WIDTH * length / (span.until - span.since)
    return tuple(_column(column * step, step, *sums[column], highest) for column in sorted(sums))


def outline(columns: Sequence[Column], *, bad: bool = False) -> str:
    """Return the SVG path of the columns without their mismatches, or of the mismatches (`bad`); empty without any."""
    if bad:
        boxes = [(one, HEIGHT - one.bad, one.bad) for one in columns]
    else:
        boxes = [(one, HEIGHT - one.height, one.height - one.bad) for one in columns]
    return "".join(
        [f"M{one.x:g} {top:.4g}h{one.width:g}v{high:.4g}h-{one.width:g}z" for one, top, high in boxes if high]
    )


def markers(times: Sequence[tuple[float, str]], span: Span) -> tuple[Marker, ...]:
    """Return the positions of labelled times within a span; times outside it are omitted."""
    length = span.until - span.since
    inside = [(at, label) for at, label in times if span.since < at < span.until]
    return tuple(Marker(round(WIDTH * (at - span.since) / length, 2), label) for at, label in inside)


def _column(x: float, step: float, good: int, bad: int, highest: int) -> Column:
    height = HEIGHT * (good + bad) / highest
    red = max(LEAST, HEIGHT * bad / highest) if bad else 0.0
    return Column(round(x, 2), round(step * 0.8, 2), round(max(height, red), 2), round(red, 2))


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

"""Compute the chart of a group's share over time: steps, caps and stages, with axes and a text for each piece. Pure.

Coordinates are in a box of `WIDTH` by `HEIGHT`; a share of 100% is at the top.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from proxy.ops.charts import HEIGHT, WIDTH
from proxy.ops.formatting import clock, day, duration, percent
from proxy.ops.rollout_views import ChangeView
from proxy.rollout.model import LABELS

MIN_SPAN: Final = 3600.0
"""Shortest span of a chart, in seconds."""
TICKS: Final = 4


@dataclass(frozen=True, slots=True)
class ChartPiece:
    """A period of one share: from `x`, `width` wide, its height `y` from the top. `capped`: a cap limits it."""

    x: float
    width: float
    y: float
    capped: bool
    text: str


@dataclass(frozen=True, slots=True)
class Tick:
    """A label of an axis at `at`, in percent of its length."""

    at: float
    text: str


@dataclass(frozen=True, slots=True)
class ShareChart:
    """The chart: its pieces, the outline of the share, the heights of stages, and the time axis."""

    pieces: tuple[ChartPiece, ...]
    outline: str
    stages: tuple[Tick, ...]
    times: tuple[Tick, ...]


def share_chart(changes: Sequence[ChangeView], share: float, stages: Sequence[float], now: float) -> ShareChart:
    """Return the chart up to `now` for changes (newest first) that end at `share` (percent)."""
    moves = [change for change in reversed(changes) if change.kind != "config"]
    since = min((change.by.at for change in moves), default=now)
    since = min(since - 0.05 * (now - since), now - MIN_SPAN)
    pieces = tuple(_pieces(moves, share, since, now))
    corners = [point for piece in pieces for point in ((piece.x, piece.y), (piece.x + piece.width, piece.y))]
    return ShareChart(
        pieces=pieces,
        outline=" ".join(f"{x:.2f},{y:.2f}" for x, y in corners),
        stages=tuple(Tick(100 - stage, percent(stage, 100)) for stage in stages),
        times=_times(since, now),
    )


def _pieces(moves: Sequence[ChangeView], share: float, since: float, now: float) -> list[ChartPiece]:
    times = [since, *(change.by.at for change in moves), now]
    shares = [moves[0].before if moves else share, *(change.after for change in moves)]
    reasons = ["", *(f"{LABELS[change.kind]} by {change.by.actor}: {change.by.reason}" for change in moves)]
    capped, pieces = False, list[ChartPiece]()
    for index, (level, reason) in enumerate(zip(shares, reasons, strict=True)):
        if not index and moves and _is_first(moves[0]):
            continue
        if index:
            kind = moves[index - 1].kind
            capped = kind in ("cap", "rollback") or (capped and kind != "release")
        begin, end = times[index], times[index + 1]
        text = f"{percent(level, 100)} from {clock(begin)} for {duration(end - begin)}"
        x, until = (WIDTH * (at - since) / (now - since) for at in (begin, end))
        y = HEIGHT * (1 - level / 100)
        pieces.append(ChartPiece(round(x, 2), round(until - x, 2), round(y, 2), capped, f"{text}. {reason}".strip()))
    return pieces


def _is_first(change: ChangeView) -> bool:
    """Return True for the start of a rollout that does not continue a share, so that the previous share is unknown."""
    return change.kind == "start" and change.before == change.after


def _times(since: float, now: float) -> tuple[Tick, ...]:
    days = now - since > 2 * 86_400
    steps = [since + step * (now - since) / TICKS for step in range(TICKS)]
    shown = (day(at).rpartition(" ")[0] if days else clock(at).rpartition(":")[0] for at in steps)
    return (*(Tick(100 * step / TICKS, text) for step, text in enumerate(shown)), Tick(100.0, "now"))

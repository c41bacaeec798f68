"""Counts, as they are read, summed up as views. Pure.

A row is a dict of a count's particulars with `number`, `first`, `last`, and `at` where it belongs to a slice.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeAlias, cast

from proxy.comparison.verdicts import Reason, Severity
from proxy.contract.divergences import Divergence
from proxy.reports.models import DivergenceSummary, FieldSummary, RouteSummary, StatusClass, TimeSlice
from proxy.types import Backend

Row: TypeAlias = Mapping[str, Any]

_SEVERITIES: Final[tuple[Severity, ...]] = ("minor", "major", "breaking")


def routes(rows: Iterable[Row], trends: Iterable[Row], step: int) -> tuple[RouteSummary, ...]:
    """Every route of which there is a row, by name; the slices of a trend are `step` seconds long."""
    found: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        found[row["route"]].append(row)
    slices: dict[str, list[Row]] = defaultdict(list)
    for row in trends:
        slices[row["route"]].append(row)
    return tuple(_route(name, found[name], _trend(slices[name], step)) for name in sorted(found))


def fields(rows: Iterable[Row], noise: Iterable[Row], replays: Iterable[Row]) -> tuple[FieldSummary, ...]:
    """Every place and way in which sides differ: first what is unexplained most often."""
    noisy = {(row["route"], row["field"]): row["number"] for row in noise}
    asked = {row["route"]: row["number"] for row in replays}
    found: dict[tuple[str, str, str], list[Row]] = defaultdict(list)
    for row in rows:
        found[row["route"], row["field"], row["kind"]].append(row)
    summed = [
        FieldSummary(
            route=route,
            field=place,
            kind=some[0]["kind"],
            severity=max((row["severity"] for row in some), key=_SEVERITIES.index),
            count=sum(row["number"] for row in some),
            declared=sum(row["number"] for row in some if row["declared"]),
            noise=noisy.get((route, place), 0),
            replays=asked.get(route, 0),
            first=min(row["first"] for row in some),
            last=max(row["last"] for row in some),
            operations=tuple(sorted({row["operation"] for row in some if row["operation"] is not None})),
        )
        for (route, place, _), some in found.items()
    ]
    return tuple(sorted(summed, key=lambda one: (-one.unexplained, -one.count, one.route, one.field, one.kind)))


def divergences(declared: Iterable[Divergence], rows: Iterable[Row]) -> tuple[DivergenceSummary, ...]:
    """Those declared, in their order; then those that were seen and are declared no longer."""
    seen = {row["divergence"]: row for row in rows}
    known = [_divergence(one, seen.pop(one.id, None)) for one in declared]
    return (*known, *(_undeclared(seen[name]) for name in sorted(seen)))


def _route(name: str, rows: list[Row], trend: tuple[TimeSlice, ...]) -> RouteSummary:
    numbers: Counter[tuple[str, Any]] = Counter()
    statuses: dict[Backend, Counter[StatusClass]] = defaultdict(Counter)
    for row in rows:
        numbers[row["what"], row["verdict"] or row["reason"] or row["noisy"]] += row["number"]
        if row["what"] == "request":
            statuses[row["backend"]][row["status"]] += row["number"]
    return RouteSummary(
        route=name,
        match=numbers["verdict", "match"],
        declared=numbers["verdict", "declared"],
        mismatch=numbers["verdict", "mismatch"],
        violation=numbers["verdict", "violation"],
        skipped={cast(Reason, why): number for (what, why), number in numbers.items() if what == "skipped"},
        requests={backend: counts.total() for backend, counts in statuses.items()},
        statuses={backend: dict(counts) for backend, counts in statuses.items()},
        replays=numbers["replay", True] + numbers["replay", False],
        noisy=numbers["replay", True],
        dropped=numbers["dropped", None],
        trend=trend,
    )


def _trend(rows: list[Row], step: int) -> tuple[TimeSlice, ...]:
    """Slices in which something was compared, in their order."""
    slices: dict[float, Counter[str]] = defaultdict(Counter)
    for row in rows:
        slices[row["at"]][row["verdict"] or "skipped"] += row["number"]
    return tuple(TimeSlice(at, step, **slices[at]) for at in sorted(slices))


def _divergence(declared: Divergence, row: Row | None) -> DivergenceSummary:
    return DivergenceSummary(
        id=declared.id,
        operation=declared.operation,
        legacy=declared.legacy,
        native=declared.native,
        reason=declared.reason,
        since=str(declared.since),
        seen=row["number"] if row else 0,
        first=row["first"] if row else None,
        last=row["last"] if row else None,
    )


def _undeclared(row: Row) -> DivergenceSummary:
    nothing = dict.fromkeys(("operation", "legacy", "native", "reason", "since"), "")
    return DivergenceSummary(
        id=row["divergence"], seen=row["number"], first=row["first"], last=row["last"], stale=True, **nothing
    )

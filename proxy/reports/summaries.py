"""Summarize stored counts as the values of `models.py`. Pure.

A row is a dict of a count's attributes with `number`; `first` and `last` if requested; `at` if it belongs to a slice.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias, TypedDict, cast

from proxy.comparison.verdicts import Reason, Severity
from proxy.contract.divergences import Divergence
from proxy.reports.models import DivergenceSummary, FieldSummary, RevisionSummary, RouteSummary, StatusClass, TimeSlice
from proxy.types import Backend

Row: TypeAlias = Mapping[str, Any]

_SEVERITIES: Final[tuple[Severity, ...]] = ("minor", "major", "breaking")


def merge(rows: Sequence[dict[str, Any]], by: Iterable[str]) -> list[dict[str, Any]]:
    """Return rows with equal values of the fields `by` and `at` as one."""
    names = (*by, "at")
    merged: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in rows:
        other = merged.setdefault(tuple([row.get(name) for name in names]), row)
        if other is not row:
            other["number"] += row["number"]
            if "first" in row:
                other["first"] = min(other["first"], row["first"])
                other["last"] = max(other["last"], row["last"])
    return list(merged.values())


def greatest_first(rows: Iterable[dict[str, Any]], by: Iterable[str]) -> list[dict[str, Any]]:
    """Return rows sorted by descending number, then by the fields `by`."""
    return sorted(rows, key=lambda row: (-row["number"], *(str(row.get(name)) for name in by)))


class VerdictNumbers(TypedDict):
    """The fields of `VerdictCounts`."""

    match: int
    declared: int
    mismatch: int
    violation: int
    both: int


def verdict_counts(numbers: Mapping[str, int]) -> VerdictNumbers:
    """Return the fields of `VerdictCounts` for numbers by `CountName`."""
    both = numbers.get("both", 0)
    return {
        "match": numbers.get("match", 0),
        "declared": numbers.get("declared", 0),
        "mismatch": numbers.get("mismatch", 0) + both,
        "violation": numbers.get("violation", 0) + both,
        "both": both,
    }


def _numbers(rows: Iterable[Row]) -> Counter[str]:
    numbers: Counter[str] = Counter()
    for row in rows:
        numbers[row["verdict"]] += row["number"]
    return numbers


def routes(rows: Iterable[Row], verdicts: Sequence[Row], step: int | None) -> tuple[RouteSummary, ...]:
    """Return every route with a row, by name.

    `verdicts` are the rows of verdicts and skipped requests by slices of `step` seconds, `rows` all others. Without a
    step there are no trends.
    """
    by_route: dict[str, list[Row]] = defaultdict(list)
    for row in (*verdicts, *rows):
        by_route[row["route"]].append(row)
    slices = trends(verdicts, step) if step is not None else {}
    return tuple(_route(name, by_route[name], slices.get(name, ())) for name in sorted(by_route))


def trends(verdicts: Iterable[Row], step: int) -> dict[str, tuple[TimeSlice, ...]]:
    """Return the trends by route; `verdicts` are rows of verdicts and skipped requests by slices of `step` seconds."""
    slices: dict[str, list[Row]] = defaultdict(list)
    for row in verdicts:
        slices[row["route"]].append(row)
    return {route: _trend(rows, step) for route, rows in slices.items()}


def total(summaries: Sequence[RouteSummary]) -> RouteSummary:
    """Return the sum of several routes, without a trend."""
    skipped, requests = Counter[Reason](), Counter[Backend]()
    for one in summaries:
        skipped.update(one.skipped)
        requests.update(one.requests)
    return RouteSummary(
        route="",
        match=sum(one.match for one in summaries),
        declared=sum(one.declared for one in summaries),
        mismatch=sum(one.mismatch for one in summaries),
        violation=sum(one.violation for one in summaries),
        both=sum(one.both for one in summaries),
        skipped=dict(skipped),
        requests=dict(requests),
        dropped=sum(one.dropped for one in summaries),
    )


def fields(rows: Iterable[Row], noise: Iterable[Row], replays: Iterable[Row]) -> tuple[FieldSummary, ...]:
    """Return every field and kind of difference, the most often unexplained first."""
    noisy = {(row["route"], row["field"]): row["number"] for row in noise}
    replayed = {row["route"]: row["number"] for row in replays}
    groups: dict[tuple[str, str, str], list[Row]] = defaultdict(list)
    for row in rows:
        groups[row["route"], row["field"], row["kind"]].append(row)
    summed = [
        FieldSummary(
            route=route,
            field=field,
            kind=some[0]["kind"],
            severity=max((row["severity"] for row in some), key=_SEVERITIES.index),
            count=sum(row["number"] for row in some),
            declared=sum(row["number"] for row in some if row["declared"]),
            noise=noisy.get((route, field), 0),
            replays=replayed.get(route, 0),
            first=min(row["first"] for row in some),
            last=max(row["last"] for row in some),
            operations=tuple(sorted({row["operation"] for row in some if row["operation"] is not None})),
        )
        for (route, field, _), some in groups.items()
    ]
    return tuple(sorted(summed, key=lambda one: (-one.unexplained, -one.count, one.route, one.field, one.kind)))


def revisions(rows: Iterable[Row]) -> tuple[RevisionSummary, ...]:
    """Return the comparisons by revision of native, in the order of their first comparison."""
    groups: dict[str | None, list[Row]] = defaultdict(list)
    for row in rows:
        groups[row["revision"]].append(row)
    summed = [
        RevisionSummary(
            revision=revision,
            **verdict_counts(_numbers(group)),
            first=min(row["first"] for row in group),
            last=max(row["last"] for row in group),
        )
        for revision, group in groups.items()
    ]
    return tuple(sorted(summed, key=lambda one: one.first))


def divergences(declared: Iterable[Divergence], rows: Iterable[Row]) -> tuple[DivergenceSummary, ...]:
    """Return the declared ones in their order, then observed ones that are no longer declared."""
    observed = {row["divergence"]: row for row in rows}
    known = [_divergence(one, observed.pop(one.id, None)) for one in declared]
    return (*known, *(_undeclared(observed[name]) for name in sorted(observed)))


def _route(name: str, rows: list[Row], trend: tuple[TimeSlice, ...]) -> RouteSummary:
    numbers: Counter[tuple[str, Any]] = Counter()
    statuses: dict[Backend, Counter[StatusClass]] = defaultdict(Counter)
    for row in rows:
        numbers[row["what"], row.get("verdict") or row.get("reason") or row.get("noisy")] += row["number"]
        if row["what"] == "request":
            statuses[row["backend"]][row["status"]] += row["number"]
    return RouteSummary(
        route=name,
        **verdict_counts({verdict: number for (what, verdict), number in numbers.items() if what == "verdict"}),
        skipped={cast(Reason, reason): number for (what, reason), number in numbers.items() if what == "skipped"},
        requests={backend: counts.total() for backend, counts in statuses.items()},
        statuses={backend: dict(counts) for backend, counts in statuses.items()},
        replays=numbers["replay", True] + numbers["replay", False],
        noisy=numbers["replay", True],
        dropped=numbers["dropped", None],
        trend=trend,
    )


def _trend(rows: list[Row], step: int) -> tuple[TimeSlice, ...]:
    """Return the slices with comparisons, in order."""
    slices: dict[float, dict[str, int]] = {}
    for row in rows:
        counts = slices.setdefault(row["at"], {})
        verdict = row["verdict"] or "skipped"
        counts[verdict] = counts.get(verdict, 0) + row["number"]
    return tuple(
        [
            TimeSlice(at, step, **verdict_counts(slices[at]), skipped=slices[at].get("skipped", 0))
            for at in sorted(slices)
        ]
    )


def _divergence(declared: Divergence, row: Row | None) -> DivergenceSummary:
    return DivergenceSummary(
        id=declared.id,
        operation=declared.operation,
        legacy=declared.legacy,
        native=declared.native,
        reason=declared.reason,
        since=str(declared.since),
        count=row["number"] if row else 0,
        first=row["first"] if row else None,
        last=row["last"] if row else None,
    )


def _undeclared(row: Row) -> DivergenceSummary:
    nothing = dict.fromkeys(("operation", "legacy", "native", "reason", "since"), "")
    return DivergenceSummary(
        id=row["divergence"], count=row["number"], first=row["first"], last=row["last"], stale=True, **nothing
    )

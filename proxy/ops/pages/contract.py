"""The pages of declared divergences and of answers that break the contract."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from proxy.contract.divergences import Divergence, DivergenceError, load
from proxy.ops.pages.report_access import Unavailability, read_reports
from proxy.ops.process_view import ProcessView
from proxy.ops.rendering import Endpoint, answer, filters
from proxy.ops.slices import in_thread
from proxy.reports.models import DivergenceSummary, Drift, ReportCoverage, Span
from proxy.reports.reader import ReportReader


@dataclass(frozen=True, slots=True)
class Divergences:
    """Declared divergences: observed in the span, never observed, and observed but no longer declared (`stale`)."""

    span: Span
    observed: tuple[DivergenceSummary, ...]
    unobserved: tuple[DivergenceSummary, ...]
    stale: tuple[DivergenceSummary, ...]
    unavailable: Unavailability | None


@dataclass(frozen=True, slots=True)
class Drifts:
    """Answers that break the contract, and answers of legacy to requests that match no operation (`unknown`)."""

    span: Span
    legacy: tuple[Drift, ...]
    native: tuple[Drift, ...]
    unknown: tuple[ReportCoverage, ...]
    unavailable: Unavailability | None


def divergences(process: ProcessView) -> Endpoint:
    """Return the endpoint of the page of declared divergences."""
    declared_in = _DeclaredIn()

    async def show(request: Request) -> Response:
        chosen = filters(request)
        declared = await in_thread(declared_in, _file(process))
        summaries, unavailable = await read_reports(
            process.database, lambda reports: reports.divergences(chosen.span, declared)
        )
        summaries = summaries or ()
        view = Divergences(
            span=chosen.span,
            observed=tuple(
                sorted((one for one in summaries if one.count and not one.stale), key=lambda one: -one.count)
            ),
            unobserved=tuple(one for one in summaries if not one.count),
            stale=tuple(one for one in summaries if one.stale),
            unavailable=unavailable,
        )
        return await answer(request, "divergences.html", view, area="/divergences", filters=chosen)

    return show


class _DeclaredIn:
    """Cache of the divergences of a file; empty if the file is missing or invalid."""

    def __init__(self) -> None:
        self._known: tuple[Path, float, tuple[Divergence, ...]] = (Path(), 0.0, ())

    def __call__(self, file: Path) -> tuple[Divergence, ...]:
        try:
            changed = file.stat().st_mtime
            if self._known[:2] != (file, changed):
                self._known = (file, changed, load(file))
        except (OSError, DivergenceError):
            return ()
        return self._known[2]


def _file(process: ProcessView) -> Path:
    return process.watcher.path.parent / process.gateway.snapshot.config.contracts / "divergences.yaml"


def drift(process: ProcessView) -> Endpoint:
    """Return the endpoint of the page of answers that break the contract."""

    async def show(request: Request) -> Response:
        chosen = filters(request)

        async def breaking(reports: ReportReader) -> tuple[tuple[Drift, ...], tuple[ReportCoverage, ...]]:
            return await reports.drift(chosen.span), await reports.coverage(chosen.span)

        result, unavailable = await read_reports(process.database, breaking)
        drifts, coverage = result or ((), ())
        view = Drifts(
            span=chosen.span,
            legacy=tuple(one for one in drifts if one.backend == "legacy"),
            native=tuple(one for one in drifts if one.backend == "native"),
            unknown=tuple(one for one in coverage if one.operation is None),
            unavailable=unavailable,
        )
        return await answer(request, "drift.html", view, area="/drift", filters=chosen)

    return show

"""What both sides have to do with what is written of them: declared divergences, and drift from the contract."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from proxy.contract.divergences import Divergence, DivergenceError, load
from proxy.ops.pages.report_access import Unavailability, ask
from proxy.ops.process_view import ProcessView
from proxy.ops.rendering import Endpoint, answer, filters
from proxy.reports.models import DivergenceSummary, Drift, ReportCoverage, Span
from proxy.reports.reader import ReportReader


@dataclass(frozen=True, slots=True)
class Divergences:
    """Declared differences: those seen in the span, those not, and those seen that divergences.yaml no longer has."""

    span: Span
    seen: tuple[DivergenceSummary, ...]
    unseen: tuple[DivergenceSummary, ...]
    stale: tuple[DivergenceSummary, ...]
    away: Unavailability | None


@dataclass(frozen=True, slots=True)
class Drifts:
    """Answers that break the contract, legacy's and native's; and legacy's answers that no operation of it takes."""

    span: Span
    legacy: tuple[Drift, ...]
    native: tuple[Drift, ...]
    unknown: tuple[ReportCoverage, ...]
    away: Unavailability | None


def divergences(situation: ProcessView) -> Endpoint:
    """The page of declared divergences."""

    declared_in = _Remembered()

    async def show(request: Request) -> Response:
        asked = filters(request)
        declared = await asyncio.to_thread(declared_in, _file(situation))
        found, away = await ask(situation.database, lambda kept: kept.divergences(asked.span, declared))
        found = found or ()
        view = Divergences(
            span=asked.span,
            seen=tuple(sorted((one for one in found if one.count and not one.stale), key=lambda one: -one.count)),
            unseen=tuple(one for one in found if not one.count),
            stale=tuple(one for one in found if one.stale),
            away=away,
        )
        return await answer(request, "divergences.html", view, area="/divergences", filters=asked)

    return show


class _Remembered:
    """The divergences of a file, read again when it changes; none of one that is faulty or not there."""

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


def _file(situation: ProcessView) -> Path:
    return situation.watcher.path.parent / situation.gateway.plan.config.contracts / "divergences.yaml"


def drift(situation: ProcessView) -> Endpoint:
    """The page of what breaks the contract."""

    async def show(request: Request) -> Response:
        asked = filters(request)

        async def breaking(kept: ReportReader) -> tuple[tuple[Drift, ...], tuple[ReportCoverage, ...]]:
            return await kept.drift(asked.span), await kept.coverage(asked.span)

        found, away = await ask(situation.database, breaking)
        drifts, coverage = found or ((), ())
        view = Drifts(
            span=asked.span,
            legacy=tuple(one for one in drifts if one.backend == "legacy"),
            native=tuple(one for one in drifts if one.backend == "native"),
            unknown=tuple(one for one in coverage if one.operation is None),
            away=away,
        )
        return await answer(request, "drift.html", view, area="/drift", filters=asked)

    return show

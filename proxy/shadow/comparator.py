"""The comparison of what both sides answered, and what is asked again because of it.

A read that differs is asked of both sides once more: where they then agree, somebody wrote between the two answers, and
nothing is to be learnt from them (`changed`); where they differ again, what differed both times is told. A difference
that was confirmed so is believed for a while without asking.

Beside that, a trickle of reads is asked of legacy again, whatever came of them: what legacy does not repeat is noise.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final, TypeAlias

from proxy.comparison.correspondence import Kind
from proxy.comparison.exchange import Exchange
from proxy.comparison.exchanges import compare, incomparable
from proxy.comparison.verdicts import Reason, Verdict, skipped
from proxy.config.field_types import FULL
from proxy.reports.events import ComparisonEvent, Entry, ReplayEvent, SkippedEvent
from proxy.shadow.backends import ShadowBackends
from proxy.shadow.dry_run import Writes
from proxy.shadow.messages import CompareRead, RequestSnapshot
from proxy.shadow.replay import unrepeatable
from proxy.types import Backend, ValuePath

BELIEVED: Final = 10.0
"""Seconds for which a difference that was confirmed needs no confirming."""
CONFIRMATIONS: Final = 10
"""How many reads a second are asked again because they differ, at most."""
REMEMBERED: Final = 10_000
"""How many differences are remembered as confirmed, at most."""

Told: TypeAlias = tuple[str, str | None, ValuePath, Kind]
"""A route and an operation, and a place in its answers that differs in some way."""


class Comparator:
    """`note` is told what reports are to show; it never raises."""

    def __init__(self, stage: ShadowBackends, note: Callable[[Entry], None]) -> None:
        self._stage = stage
        self._note = note
        self._doubts = _ConfirmationCache()
        self._trickle = _NoiseSampler()

    async def read(self, job: CompareRead, done: Callable[[Verdict], None]) -> None:
        """Ask the other side and compare; `done` is called once the verdict is there. Raises StubbornError."""
        stage, served = self._stage, job.seen.exchange()
        asked = RequestSnapshot.of(served, job.arrival)
        found = incomparable(served) or unrepeatable(job.seen, asked) or await self._ask_other(job, served, asked)
        if isinstance(found, str):
            self._note(SkippedEvent(job.route, job.served, found))
            done(skipped(found))
            return
        legacy, native = (served, found) if job.served == "legacy" else (found, served)
        verdict = self._compare(legacy, native)
        comparison = ComparisonEvent(job.route, stage.operation(served), job.served, verdict, legacy, native)
        again: Exchange | None = None
        if verdict.name == "mismatch" and self._doubts.arise(comparison):
            comparison, again = await self._confirm(comparison, asked)
        done(comparison.verdict)
        self._note(comparison)
        await self._replay(comparison, asked, again)

    async def _ask_other(self, job: CompareRead, served: Exchange, asked: RequestSnapshot) -> Exchange | Reason:
        other: Backend = "native" if job.served == "legacy" else "legacy"
        return await self._stage.ask(other, job.route, asked, self._stage.bounds(job.deadline, served))

    def compare_dry_run(self, route: str, legacy: Exchange, native: Exchange, wrote: Writes) -> Verdict:
        """The verdict on a write that native has rehearsed, and legacy served."""
        verdict = self._compare(legacy, native)
        self._note(ComparisonEvent(route, self._stage.operation(legacy), "legacy", verdict, legacy, native, wrote))
        return verdict

    def _compare(self, legacy: Exchange, native: Exchange) -> Verdict:
        return compare(legacy, native, self._stage.operation(legacy), self._stage.agreement.divergences)

    async def _confirm(self, first: ComparisonEvent, asked: RequestSnapshot) -> tuple[ComparisonEvent, Exchange | None]:
        """What is left of a mismatch when both are asked again, and what legacy answered if it says something."""
        legacy, native = await self._ask("legacy", first, asked), await self._ask("native", first, asked)
        if legacy is None or native is None:
            return first, None
        second = self._compare(legacy, native)
        if second.name in ("match", "declared"):
            return replace(first, verdict=skipped("changed")), None
        confirmed = replace(first, verdict=_repeated(first.verdict, second))
        self._doubts.settle(confirmed)
        return confirmed, legacy

    async def _replay(self, comparison: ComparisonEvent, asked: RequestSnapshot, again: Exchange | None) -> None:
        """Tell of legacy asked twice, if it was (`again`) or if it is time for it."""
        answered = comparison.legacy.outcome == "response"
        if again is None and answered and self._trickle.is_due(comparison.route, self._stage.shadowing.noise):
            again = await self._ask("legacy", comparison, asked)
        if again is not None:
            first, operation = comparison.legacy, comparison.operation
            self._note(ReplayEvent(comparison.route, operation, compare(first, again, operation), first, again))

    async def _ask(self, backend: Backend, comparison: ComparisonEvent, asked: RequestSnapshot) -> Exchange | None:
        other = comparison.legacy if backend == "legacy" else comparison.native
        found = await self._stage.ask(backend, comparison.route, asked, self._stage.bounds(other=other))
        return None if isinstance(found, str) else found


def _repeated(first: Verdict, second: Verdict) -> Verdict:
    """The first verdict without the differences that did not come again; as it is, where none did."""
    told = {(one.path, one.kind) for one in second.unexplained}
    unexplained = tuple(one for one in first.unexplained if (one.path, one.kind) in told)
    if not unexplained:
        return first
    gone = set(map(id, first.unexplained)) - set(map(id, unexplained))
    differences = tuple(one for one in first.differences if id(one) not in gone)
    return replace(first, differences=differences, unexplained=unexplained)


class _ConfirmationCache:
    """Which mismatches are worth asking again."""

    def __init__(self) -> None:
        self._settled: dict[Told, float] = {}
        self._second, self._left = 0, CONFIRMATIONS

    def arise(self, comparison: ComparisonEvent) -> bool:
        """Whether there is a difference that was not confirmed lately, and room to ask."""
        now = time.monotonic()
        if all(self._settled.get(told, 0.0) > now for told in _told(comparison)):
            return False
        if self._second != int(now):
            self._second, self._left = int(now), CONFIRMATIONS
        self._left -= 1
        return self._left >= 0

    def settle(self, comparison: ComparisonEvent) -> None:
        """Believe these differences for a while."""
        if len(self._settled) > REMEMBERED:
            self._settled.clear()
        self._settled |= dict.fromkeys(_told(comparison), time.monotonic() + BELIEVED)


class _NoiseSampler:
    """A share of each route's comparisons, evenly; the first of a route is among them."""

    def __init__(self) -> None:
        self._due: dict[str, int] = {}

    def is_due(self, route: str, share: int) -> bool:
        due = self._due.get(route, FULL - share) + share
        self._due[route] = due % FULL
        return due >= FULL and share > 0


def _told(comparison: ComparisonEvent) -> list[Told]:
    operation = comparison.operation.id if comparison.operation is not None else None
    return [(comparison.route, operation, one.path, one.kind) for one in comparison.verdict.unexplained]

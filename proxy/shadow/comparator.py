"""Comparison of both backends' answers, confirmation of mismatches, and sampling of noise.

A read with a mismatch is sent to both backends once more. If they then agree, a write happened between the two
answers, and the read is skipped (`changed`). If they differ again, the differences common to both rounds are reported.
A write with a mismatch runs dry on native once more: see `confirmation.py`.

A share of all reads is also sent to legacy a second time: fields that differ between its own answers are noise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from proxy.comparison.exchange import Exchange
from proxy.comparison.exchanges import compare, incomparable
from proxy.comparison.modes import DRY_RUN, READ, Mode
from proxy.comparison.verdicts import Reason, Verdict, skipped
from proxy.config.field_types import FULL
from proxy.contract.model import Operation
from proxy.reports.events import ComparisonEvent, Entry, ReplayEvent, SkippedEvent
from proxy.shadow.backends import ShadowBackends
from proxy.shadow.confirmation import ChangeLimiter, ConfirmationCache, repeated, shows_own_write
from proxy.shadow.dry_run import DryRunExchange, Writes
from proxy.shadow.messages import CompareRead, RequestSnapshot
from proxy.shadow.replay import not_repeatable
from proxy.types import Backend


class Comparator:
    """Compares the answers of both backends; `record` receives each event for the reports and must not raise."""

    def __init__(self, backends: ShadowBackends, record: Callable[[Entry], None]) -> None:
        self._backends = backends
        self._record = record
        self._confirmations = ConfirmationCache()
        self._changes = ChangeLimiter()
        self._noise_sampler = _NoiseSampler()

    async def compare_read(self, job: CompareRead, on_verdict: Callable[[Verdict], None]) -> None:
        """Send a read to the other backend and compare; `on_verdict` is called as soon as the verdict is known.

        Raises:
            UncancellableAppError: the native app ignores its cancellation.
        """
        served = job.exchange
        request = RequestSnapshot.of(served, job.connection)
        result = incomparable(served) or not_repeatable(served, request) or await self._shadow(job, served, request)
        if isinstance(result, str):
            self._record(SkippedEvent(job.route, job.served, result))
            on_verdict(skipped(result))
            return
        legacy, native = (served, result) if job.served == "legacy" else (result, served)
        operation = self._backends.operation(served)
        verdict = self._compare(operation, legacy, native)
        event = ComparisonEvent(job.route, operation, job.served, verdict, legacy, native)
        repeated: Exchange | None = None
        if verdict.name == "mismatch" and self._confirmations.needs_confirmation(event):
            event, repeated = await self._confirm(event, request)
        on_verdict(event.verdict)
        self._record(event)
        await self._sample_noise(event, request, repeated)

    async def _shadow(self, job: CompareRead, served: Exchange, request: RequestSnapshot) -> Exchange | Reason:
        backend: Backend = "native" if job.served == "legacy" else "legacy"
        return await self._backends.fetch(backend, job.route, request, self._backends.bounds(job.deadline, served))

    async def compare_dry_run(
        self, route: str, request: RequestSnapshot, legacy: Exchange, native: Exchange, writes: Writes
    ) -> Verdict:
        """Return the verdict on a write that native ran dry and legacy served.

        Raises:
            UncancellableAppError: the native app ignores its cancellation.
        """
        operation = self._backends.operation(legacy)
        verdict = self._compare(operation, legacy, native, DRY_RUN)
        event = ComparisonEvent(route, operation, "legacy", verdict, legacy, native, writes)
        self._changes.count(route)
        if verdict.name == "mismatch" and self._confirmations.needs_confirmation(event):
            event = await self._confirm_dry_run(event, request)
        self._record(event)
        return event.verdict

    async def _confirm_dry_run(self, first: ComparisonEvent, request: RequestSnapshot) -> ComparisonEvent:
        """Run a write dry once more, now that legacy has served it; return the confirmed event."""
        bounds = self._backends.bounds(other=first.native)
        native = await self._backends.dry_run(DryRunExchange(), first.route, request, bounds)
        if isinstance(native, str):
            return first
        second = self._compare(first.operation, first.legacy, native, DRY_RUN)
        if second.name in ("match", "declared") and not shows_own_write(first) and self._changes.admits(first):
            return replace(first, verdict=skipped("changed"))
        confirmed = replace(first, verdict=repeated(first.verdict, second))
        self._confirmations.add(confirmed)
        return confirmed

    def _compare(self, operation: Operation | None, legacy: Exchange, native: Exchange, mode: Mode = READ) -> Verdict:
        return compare(legacy, native, operation, self._backends.contracts.divergences, mode)

    async def _confirm(
        self, first: ComparisonEvent, request: RequestSnapshot
    ) -> tuple[ComparisonEvent, Exchange | None]:
        """Repeat a read on both backends; return the confirmed event and legacy's second answer, if usable."""
        legacy, native = await self._repeat("legacy", first, request), await self._repeat("native", first, request)
        if legacy is None or native is None:
            return first, None
        second = self._compare(first.operation, legacy, native)
        if second.name in ("match", "declared"):
            return replace(first, verdict=skipped("changed")), None
        confirmed = replace(first, verdict=repeated(first.verdict, second))
        self._confirmations.add(confirmed)
        return confirmed, legacy

    async def _sample_noise(self, event: ComparisonEvent, request: RequestSnapshot, repeated: Exchange | None) -> None:
        """Record two answers of legacy to one read: `repeated`, or a new one if a sample is due."""
        answered = event.legacy.outcome == "response"
        if repeated is None and answered and self._noise_sampler.is_due(event.route, self._backends.settings.noise):
            repeated = await self._repeat("legacy", event, request)
        if repeated is not None:
            first, operation = event.legacy, event.operation
            self._record(ReplayEvent(event.route, operation, compare(first, repeated, operation), first, repeated))

    async def _repeat(self, backend: Backend, event: ComparisonEvent, request: RequestSnapshot) -> Exchange | None:
        first = event.legacy if backend == "legacy" else event.native
        result = await self._backends.fetch(backend, event.route, request, self._backends.bounds(other=first))
        return None if isinstance(result, str) else result


class _NoiseSampler:
    """Samples a share of each route's comparisons evenly, the first of each route included."""

    def __init__(self) -> None:
        self._due: dict[str, int] = {}

    def is_due(self, route: str, share: int) -> bool:
        due = self._due.get(route, FULL - share) + share
        self._due[route] = due % FULL
        return due >= FULL and share > 0

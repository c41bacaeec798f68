"""Comparison of both backends' answers, confirmation of mismatches, and sampling of noise.

A read with a mismatch is sent to both backends once more. Where they then agree, a write happened between the two
answers, and the read is skipped (`changed`); where they differ again, the differences of both rounds are reported. A
confirmed difference needs no further confirmation for `CONFIRMATION_TTL`.

Besides, a share of all reads is sent to legacy again: fields that legacy does not repeat are noise.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final, TypeAlias

from proxy.comparison.correspondence import Kind
from proxy.comparison.exchange import Exchange
from proxy.comparison.exchanges import compare, incomparable
from proxy.comparison.modes import DRY_RUN, READ, Mode
from proxy.comparison.verdicts import Reason, Verdict, skipped
from proxy.config.field_types import FULL
from proxy.reports.events import ComparisonEvent, Entry, ReplayEvent, SkippedEvent
from proxy.shadow.backends import ShadowBackends
from proxy.shadow.dry_run import Writes
from proxy.shadow.messages import CompareRead, RequestSnapshot
from proxy.shadow.replay import not_repeatable
from proxy.types import Backend, ValuePath

CONFIRMATION_TTL: Final = 10.0
"""Seconds for which a confirmed difference needs no further confirmation."""
MAX_CONFIRMATIONS: Final = 10
"""Maximum number of reads a second that are sent again to confirm a mismatch."""
MAX_CONFIRMED: Final = 10_000
"""Maximum number of differences in the cache of confirmed ones."""

_DifferenceKey: TypeAlias = tuple[str, str | None, ValuePath, Kind]
"""Route, operation, path in the answer and kind of difference."""


class Comparator:
    """Compares the answers of both backends; `record` receives each event for the reports and must not raise."""

    def __init__(self, backends: ShadowBackends, record: Callable[[Entry], None]) -> None:
        self._backends = backends
        self._record = record
        self._confirmations = _ConfirmationCache()
        self._noise_sampler = _NoiseSampler()

    async def compare_read(self, job: CompareRead, on_verdict: Callable[[Verdict], None]) -> None:
        """Send a read to the other backend and compare; `on_verdict` is called as soon as the verdict is known.

        Raises:
            UncancellableAppError: the native app ignores its cancellation.
        """
        served = job.raw.exchange()
        request = RequestSnapshot.of(served, job.connection)
        result = incomparable(served) or not_repeatable(job.raw, request) or await self._shadow(job, served, request)
        if isinstance(result, str):
            self._record(SkippedEvent(job.route, job.served, result))
            on_verdict(skipped(result))
            return
        legacy, native = (served, result) if job.served == "legacy" else (result, served)
        verdict = self._compare(legacy, native)
        operation = self._backends.operation(served)
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

    def compare_dry_run(self, route: str, legacy: Exchange, native: Exchange, writes: Writes) -> Verdict:
        """Return the verdict on a write that native ran dry and legacy served."""
        verdict = self._compare(legacy, native, DRY_RUN)
        operation = self._backends.operation(legacy)
        self._record(ComparisonEvent(route, operation, "legacy", verdict, legacy, native, writes))
        return verdict

    def _compare(self, legacy: Exchange, native: Exchange, mode: Mode = READ) -> Verdict:
        contracts = self._backends.contracts
        return compare(legacy, native, self._backends.operation(legacy), contracts.divergences, mode)

    async def _confirm(
        self, first: ComparisonEvent, request: RequestSnapshot
    ) -> tuple[ComparisonEvent, Exchange | None]:
        """Repeat a read on both backends; return the confirmed event and legacy's second answer, if usable."""
        legacy, native = await self._repeat("legacy", first, request), await self._repeat("native", first, request)
        if legacy is None or native is None:
            return first, None
        second = self._compare(legacy, native)
        if second.name in ("match", "declared"):
            return replace(first, verdict=skipped("changed")), None
        confirmed = replace(first, verdict=_repeated(first.verdict, second))
        self._confirmations.add(confirmed)
        return confirmed, legacy

    async def _sample_noise(self, event: ComparisonEvent, request: RequestSnapshot, repeated: Exchange | None) -> None:
        """Record two answers of legacy to one read: the one `repeated` already, or a new one where a sample is due."""
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


def _repeated(first: Verdict, second: Verdict) -> Verdict:
    """Return the first verdict without the differences that the second lacks; unchanged where it has none of them."""
    repeated = {(one.path, one.kind) for one in second.unexplained}
    unexplained = tuple(one for one in first.unexplained if (one.path, one.kind) in repeated)
    if not unexplained:
        return first
    dropped = set(map(id, first.unexplained)) - set(map(id, unexplained))
    differences = tuple(one for one in first.differences if id(one) not in dropped)
    return replace(first, differences=differences, unexplained=unexplained)


class _ConfirmationCache:
    """Differences confirmed lately, and a rate limit on confirmations."""

    def __init__(self) -> None:
        self._expiries: dict[_DifferenceKey, float] = {}
        self._second, self._remaining = 0, MAX_CONFIRMATIONS

    def needs_confirmation(self, event: ComparisonEvent) -> bool:
        """Return whether a difference is not confirmed yet and the rate limit admits a confirmation."""
        now = time.monotonic()
        if all(self._expiries.get(key, 0.0) > now for key in _difference_keys(event)):
            return False
        if self._second != int(now):
            self._second, self._remaining = int(now), MAX_CONFIRMATIONS
        self._remaining -= 1
        return self._remaining >= 0

    def add(self, event: ComparisonEvent) -> None:
        """Store the differences of an event as confirmed for `CONFIRMATION_TTL`."""
        if len(self._expiries) > MAX_CONFIRMED:
            self._expiries.clear()
        self._expiries |= dict.fromkeys(_difference_keys(event), time.monotonic() + CONFIRMATION_TTL)


class _NoiseSampler:
    """Samples a share of each route's comparisons evenly, the first of each route included."""

    def __init__(self) -> None:
        self._due: dict[str, int] = {}

    def is_due(self, route: str, share: int) -> bool:
        due = self._due.get(route, FULL - share) + share
        self._due[route] = due % FULL
        return due >= FULL and share > 0


def _difference_keys(event: ComparisonEvent) -> list[_DifferenceKey]:
    operation = event.operation.id if event.operation is not None else None
    return [(event.route, operation, one.path, one.kind) for one in event.verdict.unexplained]

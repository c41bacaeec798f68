"""Comparison of both backends' answers, confirmation of mismatches, and sampling of noise.

A read with a mismatch is sent to both backends again, in turn; a write with a mismatch runs dry on native again. The
answers show whether other clients wrote in between: see `evidence.py`. Only differences that are faults are reported.
If there are none, the request is skipped (`changed`).

A share of all reads is also sent to legacy a second time: fields that differ between its own answers are noise.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from proxy.comparison.exchange import Exchange
from proxy.comparison.exchanges import compare, incomparable
from proxy.comparison.modes import DRY_RUN, READ, Mode
from proxy.comparison.verdicts import Reason, Verdict, skipped
from proxy.config.field_types import FULL
from proxy.contract.model import Operation
from proxy.reports.events import ComparisonEvent, Entry, ReplayEvent, SkippedEvent
from proxy.shadow.backends import ShadowBackends
from proxy.shadow.confirmation import ConfirmationCache, reduced
from proxy.shadow.dry_run import DryRunExchange, Writes
from proxy.shadow.evidence import DECISIVE, DryRunRepetition, EvidenceLedger, ReadVotes, is_shown
from proxy.shadow.messages import CompareRead, RequestSnapshot
from proxy.shadow.replay import not_repeatable
from proxy.types import Backend

REPETITIONS: Final = DECISIVE
"""Number of answers that are fetched again, from both backends in turn; each one may be evidence."""
RETRY_DELAYS: Final = (0.0, 0.01, 0.01, 0.02, 0.02, 0.04, 0.04, 0.08)
"""Seconds before each dry run that is repeated. They grow, so that writers of any rate are noticed."""
MAX_INTERVALS: Final = 256
"""Number of the latest dry runs that are examined for an overlap with another one."""


class Comparator:
    """Compares the answers of both backends; `record` receives each event for the reports and must not raise."""

    def __init__(
        self,
        backends: ShadowBackends,
        record: Callable[[Entry], None],
        retry_delays: Sequence[float] = RETRY_DELAYS,
        confirmations: ConfirmationCache | None = None,
    ) -> None:
        self._backends = backends
        self._record = record
        self._retry_delays = retry_delays
        self._confirmations = confirmations or ConfirmationCache()
        self._evidence = EvidenceLedger()
        self._intervals: deque[tuple[float, float]] = deque(maxlen=MAX_INTERVALS)
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
        if await self._needs_confirmation(event):
            event, repeated = await self._confirm(event, request)
        event = self._limited(event)
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
        self._evidence.count_dry_run(route)
        self._intervals.append(_interval(event))
        if await self._needs_confirmation(event):
            event = await self._confirm_dry_run(event, request)
        event = self._limited(event)
        self._record(event)
        return event.verdict

    async def _needs_confirmation(self, event: ComparisonEvent) -> bool:
        """Wait for the turn of a mismatch; return False if all of it is confirmed or there are too many others."""
        if event.verdict.name != "mismatch":
            return False
        unexplained = event.verdict.unexplained
        if len(self._confirmations.confirmed(event)) == len(unexplained):
            return False
        return await self._confirmations.acquire(event)

    def _limited(self, event: ComparisonEvent) -> ComparisonEvent:
        """Return an event with only those of its differences that are confirmed."""
        if event.verdict.name != "mismatch":
            return event
        return replace(event, verdict=reduced(event.verdict, self._confirmations.confirmed(event)))

    def _conclude(self, event: ComparisonEvent) -> None:
        """Confirm the differences that the evidence shows to be faults."""
        self._confirmations.add(event, self._evidence.faults(event))

    async def _confirm_dry_run(self, first: ComparisonEvent, request: RequestSnapshot) -> ComparisonEvent:
        """Run a write dry again, now that legacy has served it; return the event, or that of the failure."""
        if first.legacy.outcome == "reset":  # a restart of legacy, which cannot be asked again
            return replace(first, verdict=reduced(first.verdict, (), "backend_unavailable"))
        bounds = self._backends.bounds(other=first.native)
        repetitions: list[DryRunRepetition] = []
        before = first.native
        for number, delay in enumerate(self._retry_delays):
            await asyncio.sleep(delay)
            after = await self._backends.dry_run(DryRunExchange(), first.route, request, bounds)
            if isinstance(after, str):
                return replace(first, verdict=reduced(first.verdict, self._confirmations.confirmed(first), after))
            changes = compare(before, after, first.operation, mode=DRY_RUN).differences
            verdict = self._compare(first.operation, first.legacy, after, DRY_RUN)
            repetitions.append(DryRunRepetition(after, changes, verdict.unexplained_keys))
            if number > 0 and not repetitions[-1].is_still(first.verdict.unexplained):
                break
            before = after
        self._evidence.add_dry_runs(first, repetitions, overlapped=self._is_overlapped(first))
        self._conclude(first)
        return first

    def _is_overlapped(self, event: ComparisonEvent) -> bool:
        """Return whether another dry run took place between native's answer and legacy's."""
        mine = begin, end = _interval(event)
        return any(one != mine and one[0] < end and begin < one[1] for one in self._intervals)

    def _compare(self, operation: Operation | None, legacy: Exchange, native: Exchange, mode: Mode = READ) -> Verdict:
        return compare(legacy, native, operation, self._backends.contracts.divergences, mode)

    async def _confirm(
        self, first: ComparisonEvent, request: RequestSnapshot
    ) -> tuple[ComparisonEvent, Exchange | None]:
        """Repeat a read on both backends in turn; return the event and, for a fault, legacy's second answer."""
        answers = _Answers(first)
        inner, second, agreed = first.verdict, None, None
        votes = ReadVotes(first)
        for number in range(REPETITIONS):
            after = await self._repeat(answers.next_backend, first, request)
            if isinstance(after, str):
                return self._unrepeatable(first, after), None
            if second is None and answers.next_backend == "legacy":
                second = after
            changes = compare(answers.before, after, first.operation).differences
            votes.add(answers.next_backend, (answers.legacy, answers.native), inner, changes)
            answers.add(after)
            inner = self._compare(first.operation, answers.legacy, answers.native)
            if number > 0 and not inner.is_mismatch:
                agreed = after
                if all(is_shown(one, first, after) for one in first.verdict.unexplained):
                    break
        self._evidence.add_read(first, votes, agreed)
        self._conclude(first)
        return first, second if self._confirmations.confirmed(first) else None

    def _unrepeatable(self, event: ComparisonEvent, reason: Reason) -> ComparisonEvent:
        """Return the event of a read that cannot be repeated. It counts if a backend did not answer either time."""
        if reason != "timeout" or event.legacy.outcome == event.native.outcome == "response":
            return replace(event, verdict=reduced(event.verdict, self._confirmations.confirmed(event), reason))
        self._confirmations.add(event, event.verdict.unexplained)
        return event

    async def _sample_noise(self, event: ComparisonEvent, request: RequestSnapshot, repeated: Exchange | None) -> None:
        """Record two answers of legacy to one read: `repeated`, or a new one if a sample is due."""
        answered = event.legacy.outcome == "response"
        if repeated is None and answered and self._noise_sampler.is_due(event.route, self._backends.settings.noise):
            again = await self._repeat("legacy", event, request)
            repeated = None if isinstance(again, str) else again
        if repeated is not None:
            first, operation = event.legacy, event.operation
            self._record(ReplayEvent(event.route, operation, compare(first, repeated, operation), first, repeated))

    async def _repeat(self, backend: Backend, event: ComparisonEvent, request: RequestSnapshot) -> Exchange | Reason:
        first = event.legacy if backend == "legacy" else event.native
        answer = await self._backends.fetch(backend, event.route, request, self._backends.bounds(other=first))
        return answer if isinstance(answer, str) else incomparable(answer) or answer


class _Answers:
    """The last two answers to a read, which both backends give in turn; the first one was served."""

    def __init__(self, event: ComparisonEvent) -> None:
        self.legacy, self.native = event.legacy, event.native
        self.next_backend: Backend = event.served

    @property
    def before(self) -> Exchange:
        """Return the last answer of the next backend."""
        return self.legacy if self.next_backend == "legacy" else self.native

    def add(self, answer: Exchange) -> None:
        """Add the answer of the next backend."""
        if self.next_backend == "legacy":
            self.legacy, self.next_backend = answer, "native"
        else:
            self.native, self.next_backend = answer, "legacy"


def _interval(event: ComparisonEvent) -> tuple[float, float]:
    """Return the times from the begin of a dry run to the end of legacy's answer, in seconds since the epoch."""
    return event.native.started, event.legacy.started + event.legacy.total


class _NoiseSampler:
    """Samples a share of each route's comparisons evenly, the first of each route included."""

    def __init__(self) -> None:
        self._due: dict[str, int] = {}

    def is_due(self, route: str, share: int) -> bool:
        due = self._due.get(route, FULL - share) + share
        self._due[route] = due % FULL
        return due >= FULL and share > 0

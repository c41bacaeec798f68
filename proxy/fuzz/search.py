"""The search: rounds of sequences until the time is over. A round ends with a new kind of difference, which is shrunk.

A reported kind is skipped for the rest of the run, so that others are reported. A difference counts once it is
confirmed: legacy repeats its own recording, and the native app differs again.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from hypothesis import HealthCheck, Phase, given, reject, seed, settings
from hypothesis.errors import HypothesisException, Unsatisfiable
from schemathesis.core.errors import NoLinksFound
from schemathesis.generation.stateful import run_state_machine_as_test
from schemathesis.schemas import BaseSchema

from proxy.comparison.answers import DecodedAnswer
from proxy.contract.model import Contract
from proxy.fuzz.conversation import FuzzConversation
from proxy.fuzz.coverage import FuzzCoverage
from proxy.fuzz.differential import Differential
from proxy.fuzz.execution import Documents, Execution
from proxy.fuzz.kinds import DifferenceKind, kinds_of
from proxy.fuzz.requests import FuzzRequest
from proxy.fuzz.sources import MAX_REQUESTS, Drawn, Sources
from proxy.fuzz.state_machine import machine_for
from proxy.recordings.side_effects import SideEffectsError

T = TypeVar("T")

ROUND: Final = 200
"""Number of sequences in one round."""

STATEFUL_SHARE: Final = 4
"""One round in this number follows links."""

SHRINK_TIMEOUT: Final = 45.0
"""Seconds for shrinking one counterexample."""


class NewDifferenceError(AssertionError):
    """A sequence on which the backends differ in a new way."""


class SearchOver(BaseException):
    """Raised when the time is over. Not an `Exception`, which Hypothesis would treat as a failure and shrink."""


@dataclass(frozen=True)
class Finding:
    """A shrunk execution and the kinds of difference that it shows."""

    execution: Execution
    kinds: frozenset[DifferenceKind]


@dataclass
class SearchCounts:
    """Counters of a run: executions, of them conversations, requests, results by verdict, unconfirmed differences."""

    executions: int = 0
    conversations: int = 0
    requests: int = 0
    refused: int = 0
    unconfirmed: int = 0
    verdicts: Counter[str] = field(default_factory=Counter)
    declared: Counter[str] = field(default_factory=Counter)


@dataclass
class Search:
    """A run: its sources, reported kinds and counters. Callbacks report progress."""

    runner: asyncio.Runner
    differential: Differential
    contract: Contract
    schema: BaseSchema
    sources: Sources
    deadline: float
    on_execution: Callable[[], None] = lambda: None
    on_finding: Callable[[Finding], None] = lambda finding: None
    known: set[DifferenceKind] = field(default_factory=set)
    findings: list[Finding] = field(default_factory=list)
    counts: SearchCounts = field(default_factory=SearchCounts)
    coverage: FuzzCoverage = field(default_factory=FuzzCoverage)
    has_links: bool = True
    max_executions: int | None = None
    _best: Execution | None = None
    _shrink_until: float = 0.0
    _refusal: SideEffectsError | None = None

    def run(self, first_seed: int, max_findings: int) -> None:
        """Run rounds with consecutive seeds. Raises `SideEffectsError` if MongoDB rejects all documents."""
        number = first_seed
        while not self._is_over() and len(self.findings) < max_findings:
            stateful = self.has_links and (number - first_seed) % STATEFUL_SHARE == STATEFUL_SHARE - 1
            self._round(self._follow_links if stateful else self._draw_sequences, number)
            number += 1
        if self._refusal is not None and not self.counts.executions:
            raise self._refusal

    def _round(self, attempt: Callable[[int], None], number: int) -> None:
        self._best, self._shrink_until = None, 0.0
        try:
            attempt(number)
        except NoLinksFound:
            self.has_links = False
        except Unsatisfiable:
            if self._refusal is not None:
                raise self._refusal from None
        except (NewDifferenceError, SearchOver, HypothesisException, ExceptionGroup):
            if self._best is None and not self._is_over():
                raise
        best, self._best = self._best, None
        self._report(best)

    def _report(self, execution: Execution | None) -> None:
        if execution is not None:
            kinds = kinds_of(execution, self.contract) - self.known
            finding = Finding(execution, kinds)
            self.findings.append(finding)
            self.known |= kinds
            self.on_finding(finding)

    def _draw_sequences(self, number: int) -> None:
        @seed(number)
        @_settings()
        @given(drawn=self.sources.executions())
        def search(drawn: Drawn) -> None:
            if isinstance(drawn, FuzzConversation):
                self.converse(drawn)
                return
            documents, requests = drawn
            self.begin(documents)
            for request in requests:
                self.send(request)
            self.finish()

        search()

    def _follow_links(self, number: int) -> None:
        machine = machine_for(self.schema, self, self.sources.documents(), self.sources.headers())
        seed(number)(machine)
        run_state_machine_as_test(machine, settings=_settings())

    def begin(self, documents: Documents) -> None:
        """Start an execution. Raises `SearchOver` if the time is over."""
        if self._is_over():
            raise SearchOver
        self._run_or_reject(self.differential.begin(documents))

    def send(self, request: FuzzRequest) -> DecodedAnswer:
        """Send a request of the execution to legacy."""
        return self.runner.run(self.differential.send(request))

    def finish(self) -> None:
        """Play the execution to the native app. Raises `NewDifferenceError` for a new kind of difference."""
        execution = self._run_or_reject(self.differential.finish())
        self._count(execution)
        if self._is_new(execution):
            self._confirm(self.runner.run(self.differential.confirm(execution)))

    def converse(self, conversation: FuzzConversation) -> None:
        """Play a conversation to both. Raises `NewDifferenceError`, and `SearchOver` if the time is over."""
        if self._is_over():
            raise SearchOver
        execution = self._run_or_reject(self.differential.conversations.run(conversation))
        self._count(execution)
        if self._is_new(execution):
            self._confirm(self.runner.run(self.differential.conversations.repeat(execution)))

    def _confirm(self, confirmed: Execution | None) -> None:
        """Raise `NewDifferenceError` for an execution that differs again; the smallest one is reported."""
        if confirmed is None or not self._is_new(confirmed):
            self.counts.unconfirmed += 1
            return
        self._shrink_until = self._shrink_until or time.monotonic() + SHRINK_TIMEOUT
        if self._best is None or confirmed.size <= self._best.size:
            self._best = confirmed
        raise NewDifferenceError

    def _run_or_reject(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine. A sequence whose documents violate an index does not count as an example for Hypothesis."""
        try:
            return self.runner.run(work)
        except SideEffectsError as error:
            self.counts.refused += 1
            self._refusal = error
            reject()

    def _is_over(self) -> bool:
        """Return True if the time or the number of sequences is used up. Shrinking continues beyond that."""
        if self._best is not None:
            return time.monotonic() > self._shrink_until
        tried = self.counts.executions + self.counts.refused
        is_enough = self.max_executions is not None and tried >= self.max_executions
        return is_enough or time.monotonic() > self.deadline

    def _is_new(self, execution: Execution) -> bool:
        return bool(kinds_of(execution, self.contract) - self.known)

    def _count(self, execution: Execution) -> None:
        self.counts.executions += 1
        self.counts.conversations += execution.conversation is not None
        self.counts.requests += len(execution.scenario.steps)
        self.counts.verdicts.update(result.verdict for result in execution.results)
        self.counts.declared.update(name for result in execution.results for name in result.declared)
        self.coverage.count(execution, self.contract)
        self.on_execution()


def _settings() -> settings:
    return settings(
        max_examples=ROUND,
        stateful_step_count=MAX_REQUESTS,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
        print_blob=False,
        report_multiple_bugs=False,
    )

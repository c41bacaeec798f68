"""Decide from statistics whether native fails, passes, or whether the evidence is insufficient. Pure.

A failure ratio is tested in two steps, because native is not responsible for errors that legacy returns as well
(invalid requests, expired tokens):

    1. it is above its limit *on top of legacy's own ratio*, by more than chance (binomial test), and
    2. it is above legacy's ratio by more than chance (Fisher's exact test),

each at the significance level `LEVEL`. If native is worse than legacy beyond doubt (2. holds at `CERTAIN`), it has a
fault of its own. `LENIENT_LEVEL` then suffices for 1, so that a window that happens to have few failures does not hide
the fault. Latency is tested the same way, by the ratio of native's requests that are slower than a multiple of
legacy's 95th percentile; 5% are expected to be. Both tests are exact, see `statistics`. A ratio within its limit
passes. A ratio that may be above it by chance is unknown, and so is one of fewer than the minimum of requests.
Failures are tested by caller, see `callers`, so that a few noisy callers do not fail a ratio.

Legacy's ratio is that of its requests in the window if there are enough, and otherwise that of its `baseline`. At a
share of 100% legacy gets no requests, while the callers' own errors continue.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal

from proxy.config.quantities import FULL
from proxy.rollout.analysis.callers import FailureRatio, independent
from proxy.rollout.analysis.statistics import binomial_tail, clopper_pearson_lower, fisher_one_sided
from proxy.rollout.analysis.window import Measure, RequestStats, WindowCounts

if TYPE_CHECKING:
    from proxy.config.route_models import Guard

LEVEL: Final = 0.001
"""Significance level: the probability, per window, that a native exactly at its limit fails."""
CERTAIN: Final = 1e-6
LENIENT_LEVEL: Final = 0.01
TAIL: Final = 0.05  # of the requests, beyond the 95th percentile

Outcome = Literal["pass", "fail", "unknown"]
Trigger = Literal["errors", "server_errors", "latency", "mismatch", "dependencies", "health"]


@dataclass(frozen=True, slots=True)
class MetricResult:
    """Outcome of one trigger. `native`, `legacy` and `limit` are ratios from 0 to 1; for latency, seconds.

    They are None without data. `least` is the lower confidence bound of native's ratio, if it fails.
    """

    trigger: Trigger
    outcome: Outcome
    limit: float | None = None
    native: float | None = None
    legacy: float | None = None
    requests: int = 0
    least: float | None = None

    @property
    def description(self) -> str:
        """The result as text, such as `errors 12.4% of 402 (legacy 1.1%, allowed 5% more)`."""
        return _describe(self)


@dataclass(frozen=True, slots=True)
class Analysis:
    """Results of all triggers of a route; `outcome` is the worst of them."""

    findings: tuple[MetricResult, ...]

    @property
    def outcome(self) -> Outcome:
        outcomes = {finding.outcome for finding in self.findings}
        return next((worst for worst in SEVEREST if worst in outcomes), "unknown")

    @property
    def summary(self) -> str:
        """The outcome in words that follow "guard"; suspended: a dependency of native fails, so nothing is decided."""
        return "is suspended" if self.suspended else _SUMMARIES[self.outcome]

    @property
    def suspended(self) -> bool:
        """Return whether a dependency of native fails, so that nothing is decided."""
        return self.outcome == "unknown" and bool(self._suspending)

    @property
    def reason(self) -> str:
        """Descriptions of the failing triggers, or else of the one that suspends the guard; empty without any."""
        failing = [finding for finding in self.findings if finding.outcome == "fail"]
        return "; ".join(finding.description for finding in failing or self._suspending)

    @property
    def _suspending(self) -> list[MetricResult]:
        return [one for one in self.findings if one.trigger == "dependencies" and one.outcome == "unknown"]


SEVEREST: Final[tuple[Outcome, ...]] = ("fail", "unknown", "pass")
"""Outcomes, the worst first."""
_SUMMARIES: Final[dict[Outcome, str]] = {
    "pass": "passes",
    "fail": "fails",
    "unknown": "has too little evidence",
}


def analyse(
    guard: Guard, window: WindowCounts, baseline: RequestStats | None, *, healthy: bool, outage: float = 1.0
) -> Analysis:
    """Evaluate a guard over a window. `healthy`: False while native fails its health checks.

    `outage`: the part of the window in which a dependency of native failed.
    """
    native, least = window.native, guard.minimum
    legacy = window.legacy if window.legacy.requests >= least else baseline
    findings = [
        _errors("errors", native, legacy, guard),
        _errors("server_errors", native, legacy, guard),
        _latency(native, legacy, guard),
    ]
    if native.dependency_failures:
        findings.append(_dependencies(native, guard, outage))
    if guard.mismatch is not None:
        findings.append(_mismatch(window, guard))
    if not healthy:
        findings.append(MetricResult("health", "fail"))
    return Analysis(tuple(findings))


def _errors(
    trigger: Literal["errors", "server_errors"], native: RequestStats, legacy: RequestStats | None, guard: Guard
) -> MetricResult:
    limit = guard.error_rate if trigger == "errors" else guard.server_errors
    reference = _ratio(trigger, legacy) if legacy is not None else None
    tested = _by_caller(trigger, native, guard), _by_caller(trigger, legacy, guard) if legacy is not None else None
    return exceeding(trigger, _ratio(trigger, native), reference, limit / FULL, guard.minimum, tested)


def _ratio(trigger: Literal["errors", "server_errors"], stats: RequestStats) -> FailureRatio:
    return FailureRatio(stats.errors if trigger == "errors" else stats.server_errors, stats.requests)


def _by_caller(trigger: Literal["errors", "server_errors"], stats: RequestStats, guard: Guard) -> FailureRatio:
    ratio = _ratio(trigger, stats)
    if not ratio.part:
        return ratio
    measures = [Measure.SERVER_ERRORS] if trigger == "server_errors" else [Measure.CLIENT_ERRORS, Measure.SERVER_ERRORS]
    failures = stats.counts_of(*measures)
    requests = stats.counts_of(Measure.REQUESTS)
    return independent(ratio, failures, requests, guard.min_callers - 1)


def _dependencies(native: RequestStats, guard: Guard, outage: float) -> MetricResult:
    """Evaluate the failures of dependencies that native reports: above `max_dependency_failures` it fails.

    Up to `error_rate` it passes. In between it is unknown, which suspends the guard while a dependency is down. It is
    also unknown while the outage is no longer than that part of the window, even if the route had few requests before.
    """
    limit = guard.max_dependency_failures / FULL
    failed = FailureRatio(native.dependency_failures, native.requests + native.dependency_failures)
    failures = native.counts_of(Measure.DEPENDENCY_FAILURES)
    requests = native.counts_of(Measure.REQUESTS, Measure.DEPENDENCY_FAILURES)
    tested = independent(failed, failures, requests, guard.min_callers - 1), None
    finding = exceeding("dependencies", failed, None, limit, guard.minimum, tested)
    is_short = finding.outcome == "fail" and outage <= limit
    if is_short or (finding.outcome == "pass" and failed.ratio > guard.error_rate / FULL):
        return replace(finding, outcome="unknown")
    return finding


def _mismatch(window: WindowCounts, guard: Guard) -> MetricResult:
    assert guard.mismatch is not None
    differing = FailureRatio(window.differing, window.compared)
    failures = window.native.counts_of(Measure.DIFFERING)
    compared = window.native.counts_of(Measure.COMPARED)
    tested = independent(differing, failures, compared, guard.min_callers - 1), None
    return exceeding("mismatch", differing, None, guard.mismatch / FULL, guard.minimum, tested)


def exceeding(
    trigger: Trigger,
    native: FailureRatio,
    legacy: FailureRatio | None,
    limit: float,
    least: int,
    tested: tuple[FailureRatio, FailureRatio | None] | None = None,
) -> MetricResult:
    """Test whether native's ratio is more than `limit` above legacy's; each backend needs at least `least` requests.

    `tested`: the independent failures of both that are tested in place of the ratios, see `callers`.
    """
    reference = legacy if legacy is not None and legacy.whole >= least else None
    outcome: Outcome = "unknown"
    own, other = tested or (native, legacy)
    other = other if reference is not None else None
    if native.whole >= least:
        outcome = _compared(own, other, limit + (other.ratio if other is not None else 0.0))
    bound = clopper_pearson_lower(own.part, own.whole, LEVEL) if outcome == "fail" else None
    return MetricResult(
        trigger, outcome, limit, native.ratio, reference.ratio if reference else None, native.whole, bound
    )


def _compared(native: FailureRatio, legacy: FailureRatio | None, allowed: float) -> Outcome:
    if native.ratio <= allowed:
        return "pass"
    above_limit = binomial_tail(native.part, native.whole, allowed)
    if above_limit >= LENIENT_LEVEL:
        return "unknown"
    if legacy is None:
        return "fail" if above_limit < LEVEL else "unknown"
    above_legacy = fisher_one_sided(native.part, native.whole, legacy.part, legacy.whole)
    return "fail" if above_legacy < (LEVEL if above_limit < LEVEL else CERTAIN) else "unknown"


def _latency(native: RequestStats, legacy: RequestStats | None, guard: Guard) -> MetricResult:
    limit, least = slow_limit(legacy, guard), guard.minimum
    usual = limit / guard.latency if limit is not None else None
    if legacy is None or limit is None or native.timed < least:
        return MetricResult("latency", "unknown", None, native.percentile(1 - TAIL), usual, native.timed)
    slow = FailureRatio(native.slower(limit), native.timed)
    failures = native.counts_of(Measure.SLOW)
    requests = native.counts_of(Measure.REQUESTS)
    own = independent(slow, failures, requests, guard.min_callers - 1)
    outcome = _compared(own, FailureRatio(legacy.slower(limit), legacy.timed), TAIL)
    return MetricResult("latency", outcome, limit, native.percentile(1 - TAIL), usual, native.timed)


def slow_limit(legacy: RequestStats | None, guard: Guard) -> float | None:
    """Return the seconds beyond which a request of native is slow; None if legacy has too few requests."""
    if legacy is None or legacy.timed < guard.minimum:
        return None
    usual = legacy.percentile(1 - TAIL)
    return usual * guard.latency if usual is not None else None


def _describe(finding: MetricResult) -> str:
    if finding.trigger == "health":
        return "native fails its health checks"
    if finding.native is None:
        return f"{_NAMES[finding.trigger]}: no data yet"
    show = _seconds if finding.trigger == "latency" else _percent
    return f"{_NAMES[finding.trigger]} {show(finding.native)} of {finding.requests:,} ({_reference(finding, show)})"


def _reference(finding: MetricResult, show: Callable[[float], str]) -> str:
    if finding.limit is None:
        return "too few requests of legacy to compare with"
    if finding.legacy is None:
        return f"limit {show(finding.limit)}"
    limit = f"limit {show(finding.limit)}" if finding.trigger == "latency" else f"allowed {show(finding.limit)} more"
    return f"legacy {show(finding.legacy)}, {limit}"


def _percent(share: float) -> str:
    return f"{100 * share:.2f}".rstrip("0").rstrip(".") + "%"


def _seconds(seconds: float) -> str:
    return f"{seconds * 1000:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"


_NAMES: Final[dict[Trigger, str]] = {
    "errors": "errors",
    "server_errors": "server errors",
    "latency": "p95",
    "mismatch": "mismatches",
    "dependencies": "failures of dependencies",
    "health": "health",
}

"""Conclusions from a window: native's own faults fail it; legacy's faults and chance do not."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.route_models import Guard
from proxy.rollout.analysis.analysis import Analysis, MetricResult, analyse, exceeding, slow_limit
from proxy.rollout.analysis.callers import FailureRatio
from proxy.rollout.analysis.window import RequestStats, WindowCounts, edge, latency_bucket

GUARD = Guard.model_validate({"error_rate": "5%", "server_errors": "1%", "latency": "2x", "minimum": "50"})


def tally(requests: int, client_errors: int = 0, server_errors: int = 0, *latencies: float) -> RequestStats:
    """Build a window's statistics, with the latencies assigned in turn."""
    stats = RequestStats(requests, client_errors, server_errors)
    for number in range(requests if latencies else 0):
        index = latency_bucket(latencies[number % len(latencies)])
        stats.latencies[index] = stats.latencies.get(index, 0) + 1
    return stats


def outcomes(
    native: RequestStats, legacy: RequestStats | None = None, baseline: RequestStats | None = None
) -> dict[str, str]:
    judgement = analyse(GUARD, WindowCounts(legacy or RequestStats(), native), baseline, healthy=True)
    return {finding.trigger: finding.outcome for finding in judgement.findings}


def test_native_equal_to_legacy_passes() -> None:
    results = outcomes(tally(500, 5, 0, 0.01, 0.02), tally(500, 5, 0, 0.01, 0.02))
    assert results == {"errors": "pass", "server_errors": "pass", "latency": "pass"}


def test_excess_errors_of_native_fail() -> None:
    assert outcomes(tally(100, 0, 10), tally(100))["server_errors"] == "fail"
    assert outcomes(tally(100, 30), tally(100))["errors"] == "fail"
    assert outcomes(tally(100, 30), tally(100))["server_errors"] == "pass"


def test_errors_shared_with_legacy_pass() -> None:
    assert outcomes(tally(1000, 300), tally(1000, 290))["errors"] == "pass"
    assert outcomes(tally(1000, 0, 200), tally(1000, 0, 210))["server_errors"] == "pass"  # both lack their database
    assert outcomes(tally(1000, 300))["errors"] == "fail"  # nothing to compare with: the limit alone counts


def test_small_sample_of_legacy_does_not_excuse_native() -> None:
    assert outcomes(tally(1000, 300), tally(49, 15))["errors"] == "fail"


@pytest.mark.parametrize(("legacy", "outcome"), [(FailureRatio(15, 49), "fail"), (FailureRatio(15, 50), "pass")])
@pytest.mark.parametrize("tested", [True, False])
def test_legacy_is_compared_from_the_minimum_on(legacy: FailureRatio, outcome: str, tested: bool) -> None:
    native = FailureRatio(300, 1000)
    result = exceeding("errors", native, legacy, 0.05, 50, (native, legacy) if tested else None)
    assert result.outcome == outcome
    assert (result.legacy is None) == (outcome == "fail")


def test_window_of_legacy_precedes_the_baseline() -> None:
    baseline = tally(400)
    assert outcomes(tally(1000, 100), tally(50, 5), baseline)["errors"] == "pass"
    assert outcomes(tally(1000, 100), tally(49, 5), baseline)["errors"] == "fail"


def test_ratio_at_the_limit_passes() -> None:
    assert exceeding("errors", FailureRatio(5, 100), None, 0.05, 50).outcome == "pass"
    assert exceeding("errors", FailureRatio(5, 50), FailureRatio(5, 100), 0.05, 50).outcome == "pass"


def test_full_share_uses_the_baseline_of_legacy() -> None:
    assert outcomes(tally(1000, 100), None, tally(400, 40))["errors"] == "pass"
    assert outcomes(tally(1000, 300), None, tally(400, 40))["errors"] == "fail"


def test_too_few_requests_are_unknown() -> None:
    results = outcomes(tally(49, 0, 49, 9.0), tally(500, 0, 0, 0.01))
    assert set(results.values()) == {"unknown"}


def test_possible_chance_is_unknown() -> None:
    assert outcomes(tally(50, 3), tally(500))["errors"] == "unknown"  # 6% if 5% are allowed
    assert outcomes(tally(50, 0, 1), tally(500))["server_errors"] == "unknown"
    assert outcomes(tally(5000, 400), tally(5000))["errors"] == "fail"


def test_slow_native_fails_unless_legacy_has_the_same_tail() -> None:
    legacy = tally(200, 0, 0, 0.01, 0.012)
    assert outcomes(tally(200, 0, 0, 0.03), legacy)["latency"] == "fail"
    assert outcomes(tally(200, 0, 0, 0.019), legacy)["latency"] == "pass"
    spread = [0.01] * 24 + [9.0]  # 4% of either
    assert outcomes(tally(200, 0, 0, *spread), tally(200, 0, 0, *spread))["latency"] == "pass"


def test_latency_without_legacys_is_unknown() -> None:
    assert outcomes(tally(200, 0, 0, 9.0), tally(200))["latency"] == "unknown"
    assert outcomes(tally(200, 0, 0, 9.0), None, tally(200, 0, 0, 0.1))["latency"] == "fail"


def test_latency_is_compared_with_the_tail_of_legacy() -> None:
    spread = [0.01] * 9 + [1.0]
    limit = slow_limit(tally(50, 0, 0, *spread), GUARD)
    assert limit == 2 * edge(latency_bucket(1.0))
    assert slow_limit(tally(49, 0, 0, *spread), GUARD) is None
    window = WindowCounts(tally(50, 0, 0, *spread), tally(50, 0, 0, *spread))
    latency = analyse(GUARD, window, None, healthy=True).findings[-1]
    assert (latency.outcome, latency.limit, latency.native) == ("pass", limit, edge(latency_bucket(1.0)))
    early = analyse(GUARD, WindowCounts(window.legacy, tally(49, 0, 0, *spread)), None, healthy=True).findings[-1]
    assert (early.outcome, early.native, early.legacy) == (
        "unknown",
        edge(latency_bucket(1.0)),
        edge(latency_bucket(1.0)),
    )


def test_mismatches_count_where_a_limit_is_set() -> None:
    guard = GUARD.model_copy(update={"mismatch": 100})
    window = WindowCounts(native=tally(5), compared=200, differing=20)
    assert analyse(guard, window, None, healthy=True).outcome == "fail"
    assert analyse(guard, WindowCounts(compared=200, differing=1), None, healthy=True).findings[-1].outcome == "pass"
    assert analyse(GUARD, window, None, healthy=True).outcome == "unknown"


def test_failing_health_checks_fail_without_traffic() -> None:
    judgement = analyse(GUARD, WindowCounts(), None, healthy=False)
    assert judgement.outcome == "fail"
    assert judgement.reason == "native fails its health checks"


def test_worst_finding_is_the_outcome() -> None:
    assert Analysis(()).outcome == "unknown"
    assert Analysis((MetricResult("errors", "pass"), MetricResult("latency", "unknown"))).outcome == "unknown"
    assert Analysis((MetricResult("errors", "pass"), MetricResult("server_errors", "pass"))).outcome == "pass"


def test_failed_analysis_has_its_figures() -> None:
    reason = analyse(GUARD, WindowCounts(tally(400, 4, 0, 0.01), tally(402, 0, 50, 0.04)), None, healthy=True).reason
    assert reason == (
        "errors 12.44% of 402 (legacy 1%, allowed 5% more);"
        " server errors 12.44% of 402 (legacy 0%, allowed 1% more);"
        " p95 43.1 ms of 402 (legacy 10.8 ms, limit 21.5 ms)"
    )
    assert (
        analyse(GUARD, WindowCounts(native=tally(400, 100)), None, healthy=True).reason
        == "errors 25% of 400 (limit 5%)"
    )


@pytest.mark.parametrize(
    ("finding", "description"),
    [
        (MetricResult("latency", "unknown"), "p95: no data yet"),
        (
            MetricResult("latency", "unknown", native=1.5, requests=7),
            "p95 1.5 s of 7 (too few requests of legacy to compare with)",
        ),
        (MetricResult("latency", "pass", 1.0, 0.9994, 1.0, 7), "p95 999 ms of 7 (legacy 1 s, limit 1 s)"),
        (MetricResult("mismatch", "pass", 0.001, 0.0, None, 1200), "mismatches 0% of 1,200 (limit 0.1%)"),
    ],
)
def test_finding_has_a_description(finding: MetricResult, description: str) -> None:
    assert finding.description == description


def test_few_failures_suffice_where_legacy_has_none() -> None:
    # 16 of 750 exceed 1% by chance in 0.4% of windows. If legacy has none, they are a fault.
    native = FailureRatio(16, 750)
    outcomes = [
        exceeding("server_errors", native, legacy, 0.01, 50).outcome
        for legacy in (FailureRatio(0, 2250), FailureRatio(22, 2250), None)
    ]
    assert outcomes == ["fail", "unknown", "unknown"]
    few = exceeding("server_errors", FailureRatio(5, 100), FailureRatio(0, 600), 0.01, 50)  # p = 0.0034 and 0.00006
    assert few.outcome == "unknown"


@given(st.integers(0, 2000), st.integers(0, 2000), st.data())
def test_failed_finding_exceeds_its_limit_and_legacy(whole: int, other_whole: int, data: st.DataObject) -> None:
    native = FailureRatio(data.draw(st.integers(0, whole)), whole)
    legacy = FailureRatio(data.draw(st.integers(0, other_whole)), other_whole)
    finding = exceeding("errors", native, legacy, 0.05, 50)
    if finding.outcome == "fail":
        assert native.ratio > 0.05
        assert legacy.whole < 50 or native.ratio > legacy.ratio + 0.05
        assert finding.least is not None
        assert finding.least <= native.ratio


@pytest.mark.parametrize(
    ("usual", "legacy", "alarms"),
    [
        (0.02, FailureRatio(0, 300), 0),
        (0.05, FailureRatio(0, 300), 10),  # native has a fault that legacy has not: the level is 1%
        (0.05, FailureRatio(9, 300), 3),
        (0.05, None, 3),
    ],
)
def test_false_alarms_are_rare_and_faults_are_detected(usual: float, legacy: FailureRatio | None, alarms: int) -> None:
    # 400 windows of 300 requests: native fails at the rate `usual`, and 5% are allowed.
    draw = random.Random(11)

    def window(rate: float) -> str:
        errors = sum(draw.random() < rate for _ in range(300))
        return exceeding("errors", FailureRatio(errors, 300), legacy, 0.05, 50).outcome

    assert sum(window(usual) == "fail" for _ in range(400)) <= alarms
    assert all(window(0.2) == "fail" for _ in range(100))


@pytest.mark.parametrize(
    ("failures", "served", "expected"),
    [
        (0, 500, {}),
        (20, 500, {"dependencies": "pass"}),
        (25, 475, {"dependencies": "pass"}),
        (200, 500, {"dependencies": "unknown"}),
        (400, 10, {"dependencies": "fail"}),
        (40, 0, {"dependencies": "unknown"}),
    ],
)
def test_dependency_failures_delay_the_verdict_up_to_a_limit(
    failures: int, served: int, expected: dict[str, str]
) -> None:
    native = RequestStats(served, dependency_failures=failures)
    results = outcomes(native, tally(500))
    assert {trigger: outcome for trigger, outcome in results.items() if trigger == "dependencies"} == expected
    assert "fail" not in {outcome for trigger, outcome in results.items() if trigger != "dependencies"}


@pytest.mark.parametrize(
    ("native", "summary", "reason"),
    [
        (RequestStats(500), "passes", ""),
        (RequestStats(10), "has too little evidence", ""),
        (
            RequestStats(500, dependency_failures=200),
            "is suspended",
            "failures of dependencies 28.57% of 700 (limit 50%)",
        ),
        (RequestStats(10, dependency_failures=400), "fails", "failures of dependencies 97.56% of 410 (limit 50%)"),
    ],
)
def test_summary_names_the_dependency_that_suspends(native: RequestStats, summary: str, reason: str) -> None:
    native.latencies[latency_bucket(0.01)] = native.requests
    legacy = tally(500, 0, 0, 0.01)
    analysis = analyse(GUARD, WindowCounts(legacy, native), None, healthy=True)
    assert (analysis.summary, analysis.reason) == (summary, reason)

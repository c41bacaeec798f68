"""Failures by caller: bursts of a few callers are not a fault of native, and hide none."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.models import Route
from proxy.config.route_models import Guard
from proxy.gateway.request_record import ComparisonRecord, RequestRecord
from proxy.rollout.analysis.analysis import Analysis, analyse
from proxy.rollout.analysis.callers import SLOTS, FailureRatio, design_effect, independent
from proxy.rollout.analysis.route_stats import StatsRegistry
from proxy.rollout.analysis.window import Measure, RequestStats, Window, WindowCounts
from proxy.rollout.model import Evidence

GUARD = Guard()
SERVED = RequestRecord("1", "http", "GET", "a", "/a", "native", "share", 7, 200, None, 0.01, 0.02)


class Traffic:
    """Requests of one route through the statistics, with its own clock; the guard evaluates each second."""

    def __init__(self, guard: Guard = GUARD, seed: int = 0) -> None:
        route = Route.model_validate({"name": "a", "match": "GET /a", "guard": guard})
        self.registry = StatsRegistry()
        self.registry.set_routes([route], 0.0)
        self.random = random.Random(seed)
        self.now = 0.0

    def serve(
        self,
        status: int,
        caller: int | None,
        backend: str = "native",
        head: float = 0.01,
        dependency: str | None = None,
    ) -> None:
        values = {"backend": backend, "status": status, "caller": caller, "head": head, "dependency": dependency}
        self.registry(RequestRecord(**{**{name: getattr(SERVED, name) for name in SERVED.__slots__}, **values}))

    def second(self) -> Analysis:
        self.now += 1.0
        self.registry.advance(self.now)
        analysis = self.registry.of("a").analyse(healthy=True)
        assert analysis is not None
        return analysis

    def healthy_minute(self, callers: int = 40) -> None:
        for _ in range(60):
            for caller in range(10):
                self.serve(200, self.random.randrange(callers), "native" if caller < 4 else "legacy")
            self.second()


def test_expired_tokens_of_one_caller_cause_no_rollback() -> None:
    traffic = Traffic()
    traffic.healthy_minute()
    for _ in range(150):
        traffic.serve(401, 7)
    assert traffic.second().outcome == "pass"


@pytest.mark.parametrize("status", [401, 500])
@pytest.mark.parametrize("failing", [1, 2, 3, 5])
def test_min_callers_must_fail_for_a_trigger(failing: int, status: int) -> None:
    guard = Guard.model_validate({"min_callers": "3"})
    traffic = Traffic(guard)
    for caller in range(failing):
        for _ in range(60):
            traffic.serve(status, caller)
    assert (traffic.second().outcome == "fail") is (failing >= 3)


@pytest.mark.parametrize("failing", [1, 2, 3])
def test_min_callers_must_meet_a_mismatch_or_a_dependency(failing: int) -> None:
    limits = {"mismatch": "1%", "max_dependency_failures": "5%"}  # less than a slice of the window
    traffic = Traffic(Guard.model_validate({"min_callers": "3", **limits}))
    for caller in range(failing):
        for _ in range(60):
            traffic.serve(503, caller, dependency="model")
            traffic.registry.compared(ComparisonRecord("a", "legacy", "mismatch", caller=caller))
    outcomes = {finding.trigger: finding.outcome for finding in traffic.second().findings}
    assert ((outcomes["dependencies"], outcomes["mismatch"]) == ("fail", "fail")) is (failing >= 3)
    assert ("fail" in outcomes.values()) is (failing >= 3)


def test_one_caller_suffices_as_the_minimum() -> None:
    traffic = Traffic(Guard.model_validate({"min_callers": "1"}))
    for _ in range(60):
        traffic.serve(500, 1)
    assert traffic.second().outcome == "fail"


def test_noisy_caller_does_not_hide_a_fault() -> None:
    traffic = Traffic()
    traffic.healthy_minute()
    for _ in range(300):
        traffic.serve(401, 41)
        traffic.serve(401, 42, "legacy")
    for number in range(60):
        traffic.serve(500, number % 37)
    assert "server errors" in traffic.second().reason


@pytest.mark.parametrize("backend", ["native", "legacy"])
def test_noisy_caller_without_a_failure_does_not_hide_a_fault(backend: str) -> None:
    traffic = Traffic()
    traffic.healthy_minute()
    for _ in range(5000):
        traffic.serve(200, 41, backend)
    for number in range(40):
        traffic.serve(500, number % 37)
    assert "server errors" in traffic.second().reason


def test_slow_requests_of_one_caller_pass() -> None:
    traffic = Traffic()
    traffic.healthy_minute()
    for _ in range(100):
        traffic.serve(200, 7, head=3.0)
    assert traffic.second().outcome == "pass"
    for number in range(200):
        traffic.serve(200, number, head=3.0)
    assert "p95" in traffic.second().reason


def test_differences_of_one_caller_pass() -> None:
    traffic = Traffic(Guard.model_validate({"mismatch": "1%"}))
    for caller in range(100):
        traffic.registry.compared(ComparisonRecord("a", "legacy", "match", caller=caller))
    traffic.registry.compared(ComparisonRecord("a", "legacy", "mismatch", number=50, caller=7))
    assert traffic.second().outcome != "fail"
    for caller in range(40):
        traffic.registry.compared(ComparisonRecord("a", "legacy", "mismatch", caller=caller))
    assert "mismatches" in traffic.second().reason


def test_declared_refusal_is_not_an_error() -> None:
    traffic = Traffic()
    for caller in range(100):
        values = {name: getattr(SERVED, name) for name in SERVED.__slots__}
        traffic.registry(RequestRecord(**{**values, "status": 429, "caller": caller, "declared": True}))
    assert traffic.second().outcome == "unknown"  # latency: nothing is known of legacy
    assert traffic.registry.of("a").window.total().native.errors == 0


@pytest.mark.parametrize(("failing", "expected"), [([7] * 15, 1), ([1, 2, 3], 3), ([None] * 4, 4), ([7, 7, None], 2)])
def test_errors_of_one_caller_count_once_for_a_gate(failing: list[int | None], expected: int) -> None:
    traffic = Traffic()
    for caller in failing:
        traffic.serve(401, caller)
    traffic.serve(200, 9)
    traffic.now += 60.0
    traffic.registry.advance(traffic.now)
    evidence = Evidence.of(traffic.registry.of("a").take())
    assert (evidence.native, evidence.native_errors) == (len(failing) + 1, expected)


def test_unknown_callers_count_as_independent() -> None:
    assert independent(FailureRatio(10, 100), {}, {}, 2) == FailureRatio(10, 100)
    assert independent(FailureRatio(10, 100), {1: 4}, {1: 20}, 2) == FailureRatio(6, 100)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), max_size=SLOTS), st.integers(0, 5))
def test_adjusted_counts_never_exceed_the_observed(counts: list[tuple[int, int]], ignored: int) -> None:
    failures = {slot: failed for slot, (failed, _) in enumerate(counts) if failed}
    requests = {slot: failed + passed for slot, (failed, passed) in enumerate(counts) if failed + passed}
    total = FailureRatio(sum(failures.values()), sum(requests.values()))
    tested = independent(total, failures, requests, ignored)
    assert 0 <= tested.part <= tested.whole
    assert tested.part <= total.part
    assert tested.whole <= total.whole
    if len(failures) <= ignored:
        assert tested.part == 0


def test_design_effect_is_one_for_callers_failing_alike() -> None:
    alike, bursts = [(1, 10)] * 20, [(10, 10)] * 2 + [(0, 10)] * 18
    assert design_effect(20, 200, alike) == 1.0
    assert design_effect(20, 200, bursts) == pytest.approx(10, rel=0.1)


def test_counts_by_caller_are_bounded_and_expire_by_slice() -> None:
    window = Window(12.0, 0.0)
    for caller in range(100_000):
        window.now.native.requests += 1
        window.now.native.count(Measure.REQUESTS, caller % SLOTS)
    assert len(window.now.native.by_caller[Measure.REQUESTS]) == SLOTS
    for at in range(1, 14):
        list(window.advance(float(at)))
    assert window.total().native.counts_of(*Measure) == {}


# --- what must be reached: 1,000 hours without a false alarm, and a real fault found in time ---

HOURS, RATE, SHARE, CALLERS = 1000, 50, 0.25, 200
SLICE = 5


def _slice(chance: random.Random, native_rate: float, legacy_rate: float) -> WindowCounts:
    """Draw five healthy seconds: random callers, 1% of whose requests either backend refuses."""
    made = WindowCounts()
    for stats, rate in ((made.native, native_rate), (made.legacy, legacy_rate)):
        for _ in range(int(rate * SLICE)):
            slot = chance.randrange(CALLERS) % SLOTS
            stats.requests += 1
            stats.count(Measure.REQUESTS, slot)
            if chance.random() < 0.01:
                _fail(stats, slot, Measure.CLIENT_ERRORS)
    return made


def _sum(slices: list[WindowCounts]) -> WindowCounts:
    total = WindowCounts()
    for each in slices:
        total.add(each)
    return total


def _fail(stats: RequestStats, slot: int, measure: Measure, times: int = 1) -> None:
    stats.count(measure, slot, times)
    if measure is Measure.CLIENT_ERRORS:
        stats.client_errors += times
    else:
        stats.server_errors += times


def _burst(chance: random.Random, stats: RequestStats) -> None:
    """Draw a burst of one failing caller: an expired token in a loop, or a document that native answers with 500."""
    slot, times = chance.randrange(SLOTS), min(400, 15 + int(chance.expovariate(1 / 60)))
    measure = chance.choices([Measure.CLIENT_ERRORS, Measure.SERVER_ERRORS], [4, 1])[0]
    stats.requests += times
    stats.count(Measure.REQUESTS, slot, times)
    _fail(stats, slot, measure, times)


def test_thousand_healthy_bursty_hours_cause_no_rollback() -> None:
    # Hours consist of minutes that are drawn beforehand; a window is judged while it contains a burst. There are two
    # bursts an hour, half of them of several callers within one minute.
    chance = random.Random(14)
    native = RATE * SHARE
    slices = [_slice(chance, native, RATE - native) for _ in range(100)]
    minutes = [_sum(chance.sample(slices, 11)) for _ in range(40)]
    bursts = judged = 0
    alarms: list[str] = []
    for _ in range(HOURS * 2):
        window = _sum([chance.choice(minutes)])
        for _ in range(chance.choice([1, 1, 2, 3])):
            _burst(chance, window.native)
            bursts += 1
            analysis = analyse(GUARD, window, None, healthy=True)
            alarms += [analysis.reason] if analysis.outcome == "fail" else []
            judged += 1
    assert alarms == []
    assert judged == bursts > 3000


@pytest.mark.parametrize("callers", [10, CALLERS, 5000])
def test_real_fault_is_detected_within_a_window_and_five_seconds(callers: int) -> None:
    for seed in range(10):
        traffic = Traffic(seed=seed)
        chance = traffic.random
        for _ in range(int(GUARD.window) + 5):
            for number in range(RATE):
                backend = "native" if number < RATE * SHARE else "legacy"
                failed = backend == "native" and chance.random() < 0.05
                traffic.serve(500 if failed else 200, chance.randrange(callers), backend)
            if traffic.second().outcome == "fail":
                break
        else:
            pytest.fail(f"not found with {callers} callers, seed {seed}")

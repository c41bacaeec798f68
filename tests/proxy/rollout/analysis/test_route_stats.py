"""Observations that count for a route, and their backend."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from proxy.config.models import Route
from proxy.gateway.request_record import ComparisonRecord, RequestRecord
from proxy.rollout.analysis.analysis import slow_limit
from proxy.rollout.analysis.route_stats import StatsRegistry
from proxy.rollout.analysis.window import RequestStats, WindowCounts, latency_bucket

RECORD = RequestRecord("1", "http", "GET", "a", "/a", "native", "share", 7, 200, None, 0.01, 0.02)


def route(name: str = "a", **more: object) -> Route:
    guard = {"window": "12s", "minimum": 10}
    return Route.model_validate({"name": name, "match": f"GET /{name}", "native": "50%", "guard": guard, **more})


@pytest.fixture
def stats() -> StatsRegistry:
    registry = StatsRegistry()
    registry.set_routes([route(), route("b", guard=None)], 0.0)
    return registry


def totals(stats: StatsRegistry, name: str = "a") -> WindowCounts:
    return stats.of(name).window.total()


def test_backends_have_separate_counts(stats: StatsRegistry) -> None:
    for observation in (
        RECORD,
        replace(RECORD, status=404),
        replace(RECORD, status=502),
        replace(RECORD, backend="legacy"),
    ):
        stats(observation)
    native, legacy = totals(stats).native, totals(stats).legacy
    assert (native.requests, native.client_errors, native.server_errors, native.timed) == (3, 1, 1, 3)
    assert (legacy.requests, legacy.errors) == (1, 0)


def test_interrupted_answer_of_any_status_is_an_error(stats: StatsRegistry) -> None:
    stats(replace(RECORD, failure="native_failed"))
    assert totals(stats).native.server_errors == 1


def test_client_disconnect_counts_at_the_awaited_backend(stats: StatsRegistry) -> None:
    stats(replace(RECORD, status=499))
    assert totals(stats).native.client_errors == 1


@pytest.mark.parametrize(
    "observation",
    [
        replace(RECORD, route=None),
        replace(RECORD, route="unheard-of"),
        replace(RECORD, status=503, failure="gateway_overloaded"),
        replace(RECORD, reason="override"),
    ],
)
def test_records_without_a_backends_outcome_are_ignored(stats: StatsRegistry, observation: RequestRecord) -> None:
    stats(observation)
    assert not totals(stats)


def test_fallback_answer_counts_as_natives_error(stats: StatsRegistry) -> None:
    stats(replace(RECORD, backend="legacy", reason="native-error"))
    assert (totals(stats).native.server_errors, totals(stats).legacy.requests) == (1, 0)


def test_websocket_has_no_latency(stats: StatsRegistry) -> None:
    stats(replace(RECORD, kind="websocket", status=101))
    assert (totals(stats).native.requests, totals(stats).native.timed) == (1, 0)


def test_comparisons_count_except_skipped_ones(stats: StatsRegistry) -> None:
    for verdict in ("match", "declared", "mismatch", "violation"):
        stats.compared(ComparisonRecord("a", "legacy", verdict))
    stats.compared(ComparisonRecord("a", "legacy", "skipped", "timeout"))
    stats.compared(ComparisonRecord("unheard-of", "legacy", "match"))
    assert (totals(stats).compared, totals(stats).differing) == (4, 2)


def test_route_without_a_guard_is_watched_but_not_judged(stats: StatsRegistry) -> None:
    stats(replace(RECORD, route="b"))
    assert totals(stats, "b").native.requests == 1
    assert stats.of("b").analyse(healthy=False) is None
    judgement = stats.of("a").analyse(healthy=True)
    assert judgement is not None
    assert judgement.outcome == "unknown"


def test_baseline_keeps_legacys_last_counts(stats: StatsRegistry) -> None:
    for _ in range(10):
        stats(replace(RECORD, backend="legacy", status=401))
    stats.advance(0.5)
    stats.advance(3600.0)
    assert not totals(stats)
    baseline = stats.of("a").baseline
    assert baseline is not None
    assert (baseline.requests, baseline.client_errors) == (10, 10)


def test_outage_or_few_requests_set_no_baseline(stats: StatsRegistry) -> None:
    for _ in range(9):
        stats(replace(RECORD, backend="legacy"))
    stats.advance(0.5)
    for _ in range(9):
        stats(replace(RECORD, backend="legacy", status=502))
    stats.advance(0.6)
    assert stats.of("a").baseline is None


@pytest.mark.parametrize(("at", "outcome"), [(1.0, "unknown"), (11.9, "unknown"), (12.0, "fail")])
def test_start_compares_no_latency_with_an_old_baseline(stats: StatsRegistry, at: float, outcome: str) -> None:
    stats.of("a").baseline = RequestStats(100, latencies={latency_bucket(0.01): 100})
    stats.advance(at)
    for number in range(40):
        stats(replace(RECORD, head=1.0, caller=number))
    analysis = stats.of("a").analyse(healthy=True)
    assert analysis is not None
    assert {finding.outcome for finding in analysis.findings if finding.trigger == "latency"} == {outcome}


def test_slice_is_taken_once_after_its_end(stats: StatsRegistry) -> None:
    watch = stats.of("a")
    stats(RECORD)
    stats.advance(0.9)
    assert not watch.take()
    stats.advance(1.0)
    assert watch.take().native.requests == 1
    assert not watch.take()


def test_reload_keeps_unaffected_counts(stats: StatsRegistry) -> None:
    stats(RECORD)
    stats.set_routes([route(native="75%")], 1.0)
    assert totals(stats).native.requests == 1
    assert stats.of("a").route.native == 7500
    for change in ({"revision": "2"}, {"match": "GET /other"}, {"guard": {"window": "24s"}}):
        stats(RECORD)
        stats.set_routes([route(**change)], 1.0)
        assert not totals(stats), change
    with pytest.raises(KeyError):
        stats.of("b")


def test_reset_keeps_the_baseline(stats: StatsRegistry) -> None:
    for _ in range(10):
        stats(replace(RECORD, backend="legacy"))
    stats.advance(1.5)
    watch = stats.of("a")
    watch.reset()
    assert not watch.window.total()
    assert not watch.take()
    assert watch.baseline is not None


@pytest.mark.parametrize("reason", ["share", "native-error"])
def test_failure_of_a_dependency_counts_beside_the_requests(stats: StatsRegistry, reason: str) -> None:
    stats(replace(RECORD, status=503, dependency="database", reason=reason))
    native = totals(stats).native
    assert (native.dependency_failures, native.requests, native.errors, native.timed) == (1, 0, 0, 0)


def test_guard_is_evaluated_once_for_the_same_counts(stats: StatsRegistry) -> None:
    one = stats.of("a")
    first = one.analyse(healthy=True)
    assert one.analyse(healthy=True) is first
    changes: tuple[Callable[[], None], ...] = (
        lambda: stats(RECORD),
        lambda: stats(replace(RECORD, backend="legacy")),
        lambda: stats.compared(ComparisonRecord("a", "legacy", "mismatch")),
        lambda: stats.advance(3.0),
        one.reset,
    )
    for change in changes:
        before = one.analyse(healthy=True)
        change()
        assert one.analyse(healthy=True) is not before
    assert one.analyse(healthy=False) != one.analyse(healthy=True)


@pytest.mark.parametrize("before", [0, 2, 60])
@pytest.mark.parametrize(("outage", "outcome"), [(8, "unknown"), (25, "unknown"), (50, "fail")])
def test_outage_within_the_limit_is_held_at_any_traffic(before: int, outage: int, outcome: str) -> None:
    stats = StatsRegistry()
    stats.set_routes([route(guard={"min_callers": 1})], 0.0)
    for second in range(before + outage):
        stats.advance(second)
        for _ in range(20):
            stats(replace(RECORD, status=503, dependency="database") if second >= before else RECORD)
    analysis = stats.of("a").analyse(healthy=True)
    assert analysis is not None
    assert {one.outcome for one in analysis.findings if one.trigger == "dependencies"} == {outcome}


def test_limit_of_slow_requests_follows_the_window(stats: StatsRegistry) -> None:
    def serve(seconds: float) -> None:
        for _ in range(100):
            stats(replace(RECORD, backend="legacy", head=seconds))

    one = stats.of("a")
    guard = one.route.guard
    assert guard is not None
    serve(1.0)
    stats.advance(6.0)
    assert one.slow_after == slow_limit(one.window.legacy_total(), guard)
    before = one.slow_after
    serve(0.1)
    stats.advance(12.0)  # the slower requests leave the window
    assert one.window.legacy_total().requests == 100
    assert one.slow_after == slow_limit(one.window.legacy_total(), guard)
    assert one.slow_after < before / 5

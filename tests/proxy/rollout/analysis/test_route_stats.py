"""What of all that is observed counts for a route, and for which side."""

from __future__ import annotations

from dataclasses import replace

import pytest

from proxy.config.models import Route
from proxy.gateway.request_record import ComparisonRecord, RequestRecord
from proxy.rollout.analysis.route_stats import StatsRegistry
from proxy.rollout.analysis.window import WindowBucket

SEEN = RequestRecord("1", "http", "GET", "a", "/a", "native", "share", 7, 200, None, 0.01, 0.02)


def route(name: str = "a", **more: object) -> Route:
    guard = {"window": "12s", "minimum": 10}
    return Route.model_validate({"name": name, "match": f"GET /{name}", "native": "50%", "guard": guard, **more})


@pytest.fixture
def watches() -> StatsRegistry:
    found = StatsRegistry()
    found.adopt([route(), route("b", guard=None)], 0.0)
    return found


def seen(watches: StatsRegistry, name: str = "a") -> WindowBucket:
    return watches.of(name).window.seen()


def test_each_side_has_its_own_counts(watches: StatsRegistry) -> None:
    for observation in (SEEN, replace(SEEN, status=404), replace(SEEN, status=502), replace(SEEN, backend="legacy")):
        watches(observation)
    native, legacy = seen(watches).native, seen(watches).legacy
    assert (native.requests, native.client_errors, native.server_errors, native.timed) == (3, 1, 1, 3)
    assert (legacy.requests, legacy.errors) == (1, 0)


def test_an_answer_that_broke_off_is_an_error_whatever_its_status(watches: StatsRegistry) -> None:
    watches(replace(SEEN, failure="native_failed"))
    assert seen(watches).native.server_errors == 1


def test_a_client_that_left_counts_against_the_side_it_waited_for(watches: StatsRegistry) -> None:
    watches(replace(SEEN, status=499))
    assert seen(watches).native.client_errors == 1


@pytest.mark.parametrize(
    "observation",
    [
        replace(SEEN, route=None),
        replace(SEEN, route="unheard-of"),
        replace(SEEN, status=503, failure="gateway_overloaded"),
        replace(SEEN, reason="override"),
    ],
)
def test_what_says_nothing_of_a_side_is_left_out(watches: StatsRegistry, observation: RequestRecord) -> None:
    watches(observation)
    assert not seen(watches)


def test_an_answer_in_natives_place_is_natives_error(watches: StatsRegistry) -> None:
    watches(replace(SEEN, backend="legacy", reason="native-error"))
    assert (seen(watches).native.server_errors, seen(watches).legacy.requests) == (1, 0)


def test_a_websocket_has_no_latency(watches: StatsRegistry) -> None:
    watches(replace(SEEN, kind="websocket", status=101))
    assert (seen(watches).native.requests, seen(watches).native.timed) == (1, 0)


def test_comparisons_count_unless_nothing_was_compared(watches: StatsRegistry) -> None:
    for verdict in ("match", "declared", "mismatch", "violation"):
        watches.compared(ComparisonRecord("a", "legacy", verdict))
    watches.compared(ComparisonRecord("a", "legacy", "skipped", "timeout"))
    watches.compared(ComparisonRecord("unheard-of", "legacy", "match"))
    assert (seen(watches).compared, seen(watches).differing) == (4, 2)


def test_a_route_without_a_guard_is_watched_but_not_judged(watches: StatsRegistry) -> None:
    watches(replace(SEEN, route="b"))
    assert seen(watches, "b").native.requests == 1
    assert watches.of("b").judgement(healthy=False) is None
    judgement = watches.of("a").judgement(healthy=True)
    assert judgement is not None
    assert judgement.outcome == "unknown"


def test_what_legacy_last_showed_is_remembered(watches: StatsRegistry) -> None:
    for _ in range(10):
        watches(replace(SEEN, backend="legacy", status=401))
    watches.turn(0.5)
    watches.turn(3600.0)
    assert not seen(watches)
    baseline = watches.of("a").baseline
    assert baseline is not None
    assert (baseline.requests, baseline.client_errors) == (10, 10)


def test_neither_an_outage_nor_too_little_becomes_what_is_usual(watches: StatsRegistry) -> None:
    for _ in range(9):
        watches(replace(SEEN, backend="legacy"))
    watches.turn(0.5)
    for _ in range(9):
        watches(replace(SEEN, backend="legacy", status=502))
    watches.turn(0.6)
    assert watches.of("a").baseline is None


def test_what_is_gathered_is_taken_once_and_only_when_its_slice_has_ended(watches: StatsRegistry) -> None:
    watch = watches.of("a")
    watches(SEEN)
    watches.turn(0.9)
    assert not watch.take()
    watches.turn(1.0)
    assert watch.take().native.requests == 1
    assert not watch.take()


def test_a_reload_keeps_what_is_still_true(watches: StatsRegistry) -> None:
    watches(SEEN)
    watches.adopt([route(native="75%")], 1.0)
    assert seen(watches).native.requests == 1
    assert watches.of("a").route.native == 7500
    for change in ({"revision": "2"}, {"match": "GET /other"}, {"guard": {"window": "24s"}}):
        watches(SEEN)
        watches.adopt([route(**change)], 1.0)
        assert not seen(watches), change
    with pytest.raises(KeyError):
        watches.of("b")


def test_forgetting_keeps_what_is_usual_for_legacy(watches: StatsRegistry) -> None:
    for _ in range(10):
        watches(replace(SEEN, backend="legacy"))
    watches.turn(1.5)
    watch = watches.of("a")
    watch.forget()
    assert not watch.window.seen()
    assert not watch.take()
    assert watch.baseline is not None


@pytest.mark.parametrize("reason", ["share", "native-error"])
def test_failure_of_a_dependency_counts_beside_the_requests(watches: StatsRegistry, reason: str) -> None:
    watches(replace(SEEN, status=503, dependency="database", reason=reason))
    native = seen(watches).native
    assert (native.dependency_failures, native.requests, native.errors, native.timed) == (1, 0, 0, 0)

"""The sliding window: its contents, their expiry, and its constant size under traffic."""

from __future__ import annotations

import math
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.rollout.analysis.window import (
    FIRST_EDGE,
    LAST,
    SLICES,
    Measure,
    RequestStats,
    Window,
    WindowCounts,
    edge,
    latency_bucket,
)

seconds = st.floats(0, 200)


def tally(*latencies: float) -> RequestStats:
    stats = RequestStats(requests=len(latencies))
    for latency in latencies:
        stats.latencies[latency_bucket(latency)] = stats.latencies.get(latency_bucket(latency), 0) + 1
    return stats


@given(seconds)
def test_latency_lies_within_its_buckets_edges(latency: float) -> None:
    index = latency_bucket(latency)
    assert 0 <= index <= LAST
    if index < LAST:
        assert latency <= edge(index) * (1 + 1e-9)
    if index > 0:
        assert latency > edge(index - 1) * (1 - 1e-9)


@given(st.lists(st.floats(1e-3, 60), min_size=1, max_size=200), st.sampled_from([0.5, 0.95, 0.99]))
def test_percentile_is_exact_within_a_bucket(latencies: list[float], part: float) -> None:
    exact = sorted(latencies)[math.ceil(part * len(latencies)) - 1]
    percentile = tally(*latencies).percentile(part)
    assert percentile is not None
    assert exact * (1 - 1e-9) <= percentile <= exact * 2 ** (1 / 8) * (1 + 1e-9)


def test_percentile_without_latencies_is_none() -> None:
    assert RequestStats(requests=5).percentile(0.95) is None
    assert RequestStats(requests=5).percentiles(0.5, 0.95) == (None, None)


@given(st.lists(seconds, min_size=1, max_size=50))
def test_percentiles_together_are_those_of_each(latencies: list[float]) -> None:
    counted = tally(*latencies)
    assert counted.percentiles(0.5, 0.95, 0.99) == tuple(map(counted.percentile, (0.5, 0.95, 0.99)))
    ranked = sorted(latencies)
    assert counted.percentiles(0.0, 1.0) == (edge(latency_bucket(ranked[0])), edge(latency_bucket(ranked[-1])))


def test_ended_slices_have_percentiles_and_no_callers() -> None:
    window = Window(60, 0.0)
    window.now.native.add(tally(0.1, 0.2))
    window.now.native.count(Measure.REQUESTS, 7)
    list(window.advance(10))
    assert [one.slowest for one in window.slices() if one.counts] == [(None, edge(latency_bucket(0.2)))]
    assert (window.total(by_caller=False).native.requests, window.total(by_caller=False).native.by_caller) == (2, {})
    assert window.total().native.by_caller == {Measure.REQUESTS: {7: 1}}


@given(st.lists(seconds, max_size=100), st.floats(FIRST_EDGE, 200))
def test_slower_counts_certain_requests_only(latencies: list[float], limit: float) -> None:
    counted = tally(*latencies).slower(limit)
    assert counted <= sum(latency >= limit * (1 - 1e-9) for latency in latencies)
    assert counted >= sum(latency > limit * 2 ** (1 / 8) for latency in latencies if latency < 100)


@given(st.lists(st.tuples(st.floats(0, 30), st.integers(0, 3)), max_size=60))
def test_window_contains_its_last_seconds(steps: list[tuple[float, int]]) -> None:
    # Compared with a list of all requests. Those up to a twelfth older than the window may be missing.
    window, now = Window(60, 0.0), 0.0
    everything: list[float] = []
    for pause, requests in steps:
        now += pause
        list(window.advance(now))
        for _ in range(requests):
            window.now.native.requests += 1
            everything.append(now)
    counted = window.total().native.requests
    assert sum(now - at <= 60 - window.seconds for at in everything) <= counted
    assert counted <= sum(now - at <= 60 for at in everything)


def test_ended_slices_are_yielded_once() -> None:
    window = Window(12, 100.0)
    window.now.compared = 2
    assert list(window.advance(100.5)) == []
    assert [ended.compared for ended in window.advance(101.2)] == [2]
    assert list(window.advance(109)) == []  # empty ones are not worth telling
    assert window.total().compared == 2
    list(window.advance(113.1))
    assert window.total() == WindowCounts()


def test_long_silence_empties_the_window() -> None:
    window = Window(60, 0.0)
    window.now.legacy.requests = 1
    assert len(list(window.advance(86_400))) == 1
    assert not window.total()
    assert len(window.slices()) == SLICES - 1


def test_cleared_window_is_empty() -> None:
    window = Window(60, 0.0)
    window.now.native.add(tally(0.1, 0.2))
    list(window.advance(10))
    window.now.native.add(tally(0.1))
    assert window.total().native.timed == 3
    window.clear()
    assert not window.total()


def test_halted_or_reversed_clock_changes_nothing() -> None:
    window = Window(60, 50.0)
    window.now.native.requests = 7
    assert list(window.advance(50.0)) == list(window.advance(3.0)) == []
    assert window.total().native.requests == 7


def test_memory_does_not_grow_with_traffic() -> None:
    def weight(window: Window) -> int:
        slices = (*(one.counts for one in window.slices()), window.now, window.total())
        return sum(sys.getsizeof(side.latencies) for each in slices for side in (each.native, each.legacy))

    window, weights, now = Window(60, 0.0), [], 0.0
    for round_ in range(4):
        for step in range(600):
            list(window.advance(now := now + 0.1))
            for index in range(LAST + 1):
                window.now.native.latencies[index] = window.now.native.latencies.get(index, 0) + 10**round_ + step
        weights.append(weight(window))
    assert weights[1:] == weights[:-1]


@pytest.mark.parametrize("latency", [0.0, 1e-9, -1.0])
def test_fastest_share_a_bucket(latency: float) -> None:
    assert latency_bucket(latency) == 0


@pytest.mark.parametrize(("span", "count"), [(0.5, 1), (1.0, 1), (6.0, 6), (6.5, 6), (12.0, 12), (300.0, 12)])
def test_slices_are_no_shorter_than_the_evaluation_interval(span: float, count: int) -> None:
    window = Window(span, 0.0)
    assert window.seconds == pytest.approx(span / count)
    for second in range(1, count + 1):
        window.now.native.requests += 1
        list(window.advance((second + 0.01) * window.seconds))
    assert [one.counts.native.requests for one in window.slices()] == [1] * (count - 1)


def test_legacys_total_is_that_of_all_slices() -> None:
    window = Window(12.0, 0.0)
    for at in (1.0, 2.0, 3.0):
        window.now.legacy.requests += 1
        window.now.legacy.server_errors += 1
        list(window.advance(at))
    window.now.legacy.requests += 1
    assert window.legacy_total() == window.total().legacy == RequestStats(4, 0, 3)


def test_cleared_window_stays_empty() -> None:
    window = Window(12.0, 0.0)
    marks = {window.mark}
    for at in range(1, 8):
        window.now.native.requests += 1
        list(window.advance(float(at)))
        marks.add(window.mark)
    window.clear()
    marks.add(window.mark)
    assert len(marks) == 9
    assert window.is_empty
    assert not any(each.counts for each in window.slices())
    for at in range(8, 30):
        window.now.native.requests += 1
        list(window.advance(float(at)))
        assert window.total().native.requests == window.requests[1] == min(at - 7, 11)


def test_counts_of_measures_are_added_by_slot() -> None:
    stats = RequestStats()
    for measure, slot, times in ((Measure.CLIENT_ERRORS, 1, 2), (Measure.SERVER_ERRORS, 1, 3), (Measure.SLOW, 1, 9)):
        stats.count(measure, slot, times)
    stats.count(Measure.SERVER_ERRORS, 2, 4)
    assert stats.counts_of(Measure.CLIENT_ERRORS, Measure.SERVER_ERRORS) == {1: 5, 2: 4}


@pytest.mark.parametrize(("span", "slices"), [(0.5, 0), (1.0, 0), (5.0, 4), (12.0, 11), (60.0, 11)])
def test_short_window_has_fewer_slices(span: float, slices: int) -> None:
    assert len(Window(span, 0.0).slices()) == slices


def test_outage_is_the_part_of_the_span_with_failures() -> None:
    window = Window(float(SLICES), 0.0)
    for second in range(SLICES):
        assert window.outage == pytest.approx(second / SLICES)
        window.now.native.dependency_failures += 2
        assert window.outage == pytest.approx((second + 1) / SLICES)
        list(window.advance(second + 1.0))
    assert window.outage == pytest.approx((SLICES - 1) / SLICES)

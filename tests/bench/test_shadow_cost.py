"""The pooled percentiles of the bench of the shadow's cost."""

from __future__ import annotations

import pytest

from bench.shadow_cost import Run, interval, percentile


def runs(*latencies: float, number: int = 20) -> list[Run]:
    return [Run(latencies, 0.0, 0.0, 0)] * number


@pytest.mark.parametrize(("percent", "latency"), [(50, 2.0), (99, 4.0), (100, 4.0), (0, 1.0)])
def test_percentile_covers_all_rounds(percent: float, latency: float) -> None:
    assert percentile([*runs(1.0, 2.0, number=3), *runs(2.0, 4.0, number=3)], percent) == latency


def test_interval_of_equal_rounds_is_their_ratio() -> None:
    assert interval(runs(0.003), runs(0.002), resamples=40) == (1.5, 1.5)


def test_interval_includes_the_rounds_that_differ() -> None:
    low, high = interval([*runs(0.001), *runs(0.004)], runs(0.002, number=40), resamples=200)
    assert low <= 2.0 <= high

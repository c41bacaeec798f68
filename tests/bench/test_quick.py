"""The ratios that must hold: met, missed, and missed because a contender failed."""

from __future__ import annotations

import pytest

from bench.load import Reading
from bench.quick import p99_mark, rate_mark

GOOD = Reading(rate=800.0, p50=1.0, p99=4.0, failed=0)
SLOW = Reading(rate=200.0, p50=2.0, p99=8.0, failed=0)


def test_rate_ratio_at_its_bound_passes() -> None:
    readings = {"gateway": [GOOD, GOOD], "peer": [SLOW, SLOW]}
    met, missed = (rate_mark("rate", readings, "gateway", "peer", bound) for bound in (4.0, 4.1))
    assert (met.ratio, met.is_met, missed.is_met, met.compared) == (4.0, True, False, "800 : 200 req/s")


def test_p99_ratio_below_its_bound_passes() -> None:
    met, missed = (p99_mark("p99", {"a": [GOOD], "b": [SLOW]}, "a", "b", bound) for bound in (0.5, 0.4))
    assert (met.ratio, met.is_met, missed.is_met, met.compared) == (0.5, True, False, "4.0 : 8.0 ms")


@pytest.mark.parametrize("failing", ["gateway", "peer"])
def test_contender_that_fails_requests_is_named(failing: str) -> None:
    failed = Reading(rate=800.0, p50=1.0, p99=4.0, failed=3)
    readings = {"gateway": [GOOD], "peer": [GOOD], failing: [failed]}
    marks = [mark("ratio", readings, "gateway", "peer", 1.0) for mark in (rate_mark, p99_mark)]
    expected = failing == "peer", f"{failing} failed 3 requests"
    assert [(mark.is_met, mark.fault) for mark in marks] == [expected] * 2

"""Mismatches and violations of the contract are counted separately: one comparison can be both."""

from __future__ import annotations

import pytest

from proxy.comparison.exchanges import compare
from proxy.reports.counter_keys import of_comparison
from proxy.reports.counters import key
from proxy.reports.events import ComparisonEvent
from proxy.reports.redaction import Redactor
from proxy.types import JSON
from tests.support.exchanges import answered, operation, properties

CONTRACT = operation(properties(a={"type": "integer"}))


@pytest.mark.parametrize(("native", "verdict"), [({"a": 1}, "match"), ({"a": 2}, "mismatch"), ({"a": "1"}, "both")])
def test_contract_violation_is_counted_as_violation(native: JSON, verdict: str) -> None:
    legacy, other = answered({"a": 1}), answered(native)
    event = ComparisonEvent("r", CONTRACT, "legacy", compare(legacy, other, CONTRACT), legacy, other)
    keys = list(of_comparison(event, Redactor(b"0123456789abcdef"), str))
    assert key("verdict", route="r", verdict=verdict) in keys

"""Mismatches and violations of the contract are counted separately: one comparison can be both."""

from __future__ import annotations

from dataclasses import replace

import pytest

from proxy.comparison.exchanges import compare
from proxy.reports.counter_keys import of_comparison, summarize_fields
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


@pytest.mark.parametrize("explained", [(), (0,), (1,), (0, 1)])
def test_field_is_declared_if_all_its_differences_are(explained: tuple[int, ...]) -> None:
    legacy, native = answered([{"a": 1}, {"a": 2}]), answered([{"a": 3}, {"a": 4}])
    verdict = compare(legacy, native)
    assert len(verdict.differences) == 2
    unexplained = tuple(one for index, one in enumerate(verdict.differences) if index not in explained)
    judged = replace(verdict, unexplained=unexplained)
    [field] = summarize_fields(judged, legacy, native, Redactor(b"0123456789abcdef"))
    assert (field.kind, field.declared) == ("value", not unexplained)

"""The share of requested comparisons that were made has a cause and a remedy."""

from __future__ import annotations

from typing import get_args

import pytest

from proxy.comparison.verdicts import Reason
from proxy.reports.coverage import REMEDIES, coverage_of, native_only
from proxy.reports.models import RouteSummary
from proxy.types import Backend


def test_requests_without_capacity_count_as_requested() -> None:
    coverage = coverage_of(RouteSummary("r", match=10, mismatch=2, skipped={"shed": 70, "timeout": 18, "streaming": 9}))
    assert (coverage.requested, coverage.compared, coverage.share) == (100, 12, 0.12)
    assert coverage.is_partial
    assert coverage.cause == "CPU contended"
    assert "shadow.max_cpu_wait" in coverage.remedy


def test_route_without_such_requests_is_covered() -> None:
    for summary in (RouteSummary("r"), RouteSummary("r", match=1, skipped={"client_gone": 9, "write_not_allowed": 9})):
        assert not coverage_of(summary).is_partial
        assert coverage_of(summary).cause == ""


def test_every_remedy_is_of_a_reason() -> None:
    assert set(REMEDIES) <= set(get_args(Reason))


@pytest.mark.parametrize(
    ("match", "requests", "skipped", "expected"),
    [
        ("WS /transcribe", {"native": 3, "legacy": 9}, {"write_not_allowed": 3}, "conversations"),
        ("POST /notes", {"native": 3}, {"write_not_allowed": 3}, "writes"),
        ("POST /notes", {"legacy": 9}, {"write_not_allowed": 3}, None),  # without `writes: dry_run`
        ("WS /transcribe", {"native": 3}, {"timeout": 3}, None),
    ],
)
def test_native_only_requests_are_named(
    match: str, requests: dict[Backend, int], skipped: dict[Reason, int], expected: str | None
) -> None:
    assert native_only(RouteSummary("r", requests=requests, skipped=skipped), match) == expected

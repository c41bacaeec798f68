"""Webhook events about differences list some and count all."""

from __future__ import annotations

import pytest

from proxy.reports.notices import MAX_LISTED, events
from proxy.reports.registry import Registered
from proxy.reports.triage import Observation, TrackedDifference, begin


def differences(number: int, name: str) -> tuple[TrackedDifference, ...]:
    return tuple(
        begin(Observation("notes.list", f"body.{name}{index}", "value", float(index))) for index in range(number)
    )


@pytest.mark.parametrize(("new", "drift"), [(0, 0), (1, 0), (0, 1), (MAX_LISTED, 2), (MAX_LISTED + 5, MAX_LISTED + 1)])
def test_event_lists_some_differences_and_counts_all(new: int, drift: int) -> None:
    new_ones, violating = differences(new, "a"), differences(drift, "b")
    published = list(events(Registered(new=new_ones + violating), {one.id for one in violating}))
    expected = {"contract_drift": drift, "new_difference": new}
    assert {event.type: event.data["total"] for event in published} == {
        kind: number for kind, number in expected.items() if number
    }
    for event in published:
        listed, total = event.data["differences"], event.data["total"]
        assert isinstance(listed, list)
        assert len(listed) == min(expected[event.type], MAX_LISTED)
        assert total == expected[event.type]
        assert event.at.timestamp() == expected[event.type] - 1

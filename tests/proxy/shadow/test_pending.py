"""Pending requests stay within their limits."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from proxy.shadow.pending import EXPIRY_GRACE, MAX_PENDING_BYTES, PendingRequest, PendingTable

LIMIT = 4


@given(st.lists(st.integers(0, MAX_PENDING_BYTES // 2) | st.none(), max_size=30))
def test_count_and_bytes_stay_within_their_limits(steps: list[int | None]) -> None:
    # A size adds a request, None removes the oldest one.
    table, expected = PendingTable(), dict[int, int]()
    for size in steps:
        if size is None and expected:
            number = next(iter(expected))
            entry = table.pop(number)
            assert entry is not None
            assert entry.size == expected.pop(number)
        elif size is not None:
            fits = len(expected) < LIMIT and sum(expected.values()) + size <= MAX_PENDING_BYTES
            admitted = table.add(PendingRequest("r", "legacy", size), LIMIT)
            assert (admitted is not None) == fits
            if admitted is not None:
                expected[admitted] = size
        assert len(table) == len(expected) <= LIMIT
        assert table.numbers() == list(expected)


def test_second_pop_returns_nothing() -> None:
    table = PendingTable()
    number = table.add(PendingRequest("r", "legacy", 1), LIMIT)
    assert number is not None
    assert table.get(number) is table.pop(number)
    assert table.get(number) is None
    assert table.pop(number) is None


def test_expired_lists_requests_past_deadline_and_grace() -> None:
    table = PendingTable()
    first = table.add(PendingRequest("r", "legacy", 1, deadline=10.0), LIMIT)
    table.add(PendingRequest("r", "legacy", 1), LIMIT)
    assert table.expired(10.0 + EXPIRY_GRACE) == []
    assert table.expired(10.1 + EXPIRY_GRACE) == [first]


def test_route_has_the_reserve_whenever_nothing_of_it_is_pending() -> None:
    table = PendingTable()
    for _ in range(LIMIT):
        assert table.add(PendingRequest("busy", "legacy", 1), LIMIT) is not None
    for _ in range(3):
        number = table.add(PendingRequest("rare", "legacy", 1), LIMIT)
        assert number is not None
        assert table.add(PendingRequest("rare", "legacy", 1), LIMIT) is None
        table.pop(number)

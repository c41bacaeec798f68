"""What is outstanding never passes a bound."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from proxy.shadow.pending import BYTES, GRACE, PendingRequest, PendingTable

ROOM = 4


@given(st.lists(st.integers(0, BYTES // 2) | st.none(), max_size=30))
def test_number_and_bytes_stay_within_their_bounds(steps: list[int | None]) -> None:
    """A size admits an entry, None settles the oldest."""
    ledger, held = PendingTable(), dict[int, int]()
    for size in steps:
        if size is None and held:
            number = next(iter(held))
            entry = ledger.settle(number)
            assert entry is not None
            assert entry.size == held.pop(number)
        elif size is not None:
            fits = len(held) < ROOM and sum(held.values()) + size <= BYTES
            admitted = ledger.admit(PendingRequest("r", "legacy", size), ROOM)
            assert (admitted is not None) == fits
            if admitted is not None:
                held[admitted] = size
        assert len(ledger) == len(held) <= ROOM
        assert ledger.numbers() == list(held)


def test_what_is_settled_is_settled_once() -> None:
    ledger = PendingTable()
    number = ledger.admit(PendingRequest("r", "legacy", 1), ROOM)
    assert number is not None
    assert ledger.find(number) is ledger.settle(number)
    assert ledger.find(number) is None
    assert ledger.settle(number) is None


def test_what_is_long_overdue_is_told_and_what_has_no_deadline_never_is() -> None:
    ledger = PendingTable()
    first = ledger.admit(PendingRequest("r", "legacy", 1, deadline=10.0), ROOM)
    ledger.admit(PendingRequest("r", "legacy", 1), ROOM)
    assert ledger.overdue(10.0 + GRACE) == []
    assert ledger.overdue(10.1 + GRACE) == [first]

"""The inbox of a native WebSocket against a plain list: order, pings, size and reserved bytes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from proxy.websocket.inbox import Inbox
from proxy.websocket.messages import PingReceived

BUDGET = 2_000

EVENTS = st.text(max_size=50) | st.binary(max_size=500) | st.builds(PingReceived, st.binary(max_size=125))
ADDED = EVENTS.map(lambda event: ("add", event))
STEPS = st.lists(ADDED | st.sampled_from([("take", None), ("take_pings", None), ("clear", None)]), max_size=40)


class Budget:
    """A budget of `BUDGET` bytes that counts the reserved ones."""

    reserved = 0

    def acquire(self, size: int) -> bool:
        if self.reserved + size > BUDGET:
            return False
        self.reserved += size
        return True

    def release(self, size: int) -> None:
        self.reserved -= size


@given(STEPS, st.integers(0, 300))
def test_inbox_is_a_list_whose_bytes_are_reserved(
    steps: list[tuple[str, str | bytes | PingReceived | None]], unfinished: int
) -> None:
    budget = Budget()
    inbox, expected = Inbox(budget), list[str | bytes | PingReceived]()
    for step, event in steps:
        if step == "add" and event is not None:
            inbox.add(event)
            expected.append(event)
        elif step == "take" and expected:
            assert inbox.take() == expected.pop(0)
        elif step == "take_pings":
            assert inbox.take_pings() == [each for each in expected if isinstance(each, PingReceived)]
            expected = [each for each in expected if not isinstance(each, PingReceived)]
        elif step == "clear":
            inbox.clear()
            expected.clear()
        before, fits = budget.reserved, inbox.size + unfinished <= BUDGET
        assert inbox.reserve(unfinished) is fits
        assert budget.reserved == (inbox.size + unfinished if fits else before)
        assert len(inbox) == len(expected)
        assert (inbox.size > 0) is bool(expected)  # an empty event takes memory too
    while inbox:
        assert inbox.take() == expected.pop(0)
    assert (expected, inbox.size, inbox.reserve(0), budget.reserved) == ([], 0, True, 0)


def test_inbox_without_a_budget_reserves_nothing() -> None:
    inbox = Inbox(None)
    inbox.add(b"x" * 10 * BUDGET)
    assert inbox.reserve(BUDGET)

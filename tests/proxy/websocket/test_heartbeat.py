"""The times at which a silent end is pinged and declared dead."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.websocket.heartbeat import MAX_LATENESS, POLL_INTERVAL, Action, Heartbeat, LinkState


class Watch:
    """A heartbeat with its own clock, checked at the times that it requests."""

    def __init__(self, stall: float = 30.0) -> None:
        self.now = 0.0
        self.written = 0
        self.heartbeat = Heartbeat(2.0, 2.0, stall, self.now)
        self.next = 2.0
        self.pings: list[float] = []

    def link(self, delivered: int | None = None, in_flight: int = 0, reading: bool = True) -> LinkState:
        """Return the state of a link on which everything is delivered, unless the arguments say otherwise."""
        unacknowledged = 0 if delivered is None else self.written - delivered
        return LinkState(self.written, unacknowledged, in_flight, reading)

    def check(self, link: LinkState) -> Action | float:
        """Check when it is due, and send a ping if that is the action."""
        self.now = max(self.now, self.next)
        verdict = self.heartbeat.check(self.now, link)
        if verdict is Action.PING:
            self.written += 6
            self.next = self.now + self.heartbeat.ping_written(self.now, self.written)
            self.pings.append(self.now)
        elif isinstance(verdict, float):
            self.next = self.now + verdict
        return verdict

    def wait(self, link: LinkState) -> float:
        """Return the seconds until the next check, if no action is due."""
        verdict = self.check(link)
        assert isinstance(verdict, float)
        return verdict

    def receive(self, at: float) -> None:
        self.heartbeat.received_at = at


def test_silent_end_is_pinged_and_dead_within_five_seconds() -> None:
    watch = Watch()
    assert watch.check(watch.link()) is Action.PING
    assert watch.now == 2.0
    assert watch.check(watch.link()) is Action.DEAD
    assert watch.now == 4.0


def test_ping_interval_starts_at_the_last_received_byte() -> None:
    watch = Watch()
    watch.receive(1.9)
    assert watch.wait(watch.link()) == pytest.approx(1.9)
    assert watch.check(watch.link()) is Action.PING
    assert watch.check(watch.link()) is Action.DEAD
    assert watch.now == pytest.approx(5.9)


def test_answer_of_any_kind_is_a_sign_of_life() -> None:
    watch = Watch()
    watch.check(watch.link())
    watch.receive(2.5)
    assert watch.check(watch.link()) == 0.5
    assert watch.check(watch.link()) is Action.PING


def test_sending_end_is_never_pinged() -> None:
    watch = Watch()
    for _ in range(20):
        watch.receive(watch.next)
        assert watch.check(watch.link()) == 2.0
    assert not watch.pings


def test_ping_behind_slowly_received_data_is_waited_for() -> None:
    watch = Watch()
    watch.written = 10_000_000
    assert watch.check(watch.link(delivered=1_000_000)) is Action.PING
    for delivered in range(2_000_000, 10_000_000, 50_000):
        assert watch.check(watch.link(delivered)) == POLL_INTERVAL
    assert watch.check(watch.link()) == 2.0, "only now does the time for an answer begin"
    assert watch.check(watch.link()) is Action.DEAD


def test_end_receiving_data_before_the_ping_is_alive() -> None:
    watch = Watch()
    watch.written = 10_000_000
    assert watch.check(watch.link()) is Action.PING
    for _ in range(100):
        watch.written += 100_000
        assert watch.check(watch.link(watch.written - 50_000)) == POLL_INTERVAL


def test_frozen_end_with_acknowledged_bytes_is_dead() -> None:
    watch = Watch()
    assert watch.check(watch.link()) is Action.PING
    watch.written += 1000
    assert watch.check(watch.link(watch.written - 100, in_flight=100)) is Action.DEAD


def test_end_receiving_nothing_is_dead_after_its_stall() -> None:
    watch = Watch(stall=30.0)
    watch.written = 1_000_000
    while watch.check(watch.link(delivered=100_000)) is not Action.DEAD:
        pass
    assert watch.now == 32.0


def test_unacknowledged_bytes_are_awaited_as_long_as_an_answer() -> None:
    watch = Watch(stall=30.0)
    watch.check(watch.link())
    while watch.check(watch.link(delivered=0, in_flight=6)) is not Action.DEAD:
        pass
    assert watch.now == 4.0


def test_end_that_is_not_read_is_pinged_without_a_verdict() -> None:
    watch = Watch()
    while watch.now < 60.0:
        assert watch.check(watch.link(reading=False)) is not Action.DEAD
    assert watch.pings == [float(second) for second in range(2, 61, 2)]


def test_unread_end_receiving_nothing_is_dead() -> None:
    watch = Watch(stall=10.0)
    watch.written = 1_000_000
    while watch.check(watch.link(delivered=100_000, reading=False)) is not Action.DEAD:
        pass
    assert watch.now == 12.0


def test_late_check_extends_the_deadline() -> None:
    watch = Watch()
    watch.check(watch.link())
    watch.now = 60.0
    assert watch.check(watch.link()) == MAX_LATENESS
    watch.receive(60.05)
    assert watch.wait(watch.link()) == pytest.approx(1.95)
    assert watch.check(watch.link()) is Action.PING


@given(st.lists(st.floats(0.01, 1.9), min_size=1, max_size=30))
def test_answered_ping_restarts_the_interval(delays: list[float]) -> None:
    watch = Watch()
    for delay in delays:
        while (verdict := watch.check(watch.link())) is not Action.PING:
            assert isinstance(verdict, float)
            assert 0 < verdict <= 2.0
        watch.receive(watch.now + delay)

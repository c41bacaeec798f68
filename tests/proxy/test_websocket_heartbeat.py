"""When an end that says nothing is pinged, and when it is given up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.websocket.heartbeat import LATE, POLL, Beat, Heartbeat, Sight

IDLE = Sight(written=0, waiting=0, flying=0, reading=True)


class Watch:
    """A heartbeat on a clock of its own, looked at whenever it asks to be."""

    def __init__(self, stall: float = 30.0) -> None:
        self.now = 0.0
        self.written = 0
        self.heartbeat = Heartbeat(2.0, 2.0, stall, self.now)
        self.next = 2.0
        self.pings: list[float] = []

    def sight(self, delivered: int | None = None, flying: int = 0, reading: bool = True) -> Sight:
        """All is delivered, unless it is said what is."""
        waiting = 0 if delivered is None else self.written - delivered
        return Sight(self.written, waiting, flying, reading)

    def look(self, sight: Sight) -> Beat | float:
        """Look when it is time, and ping if that is called for."""
        self.now = max(self.now, self.next)
        verdict = self.heartbeat.look(self.now, sight)
        if verdict is Beat.PING:
            self.written += 6
            self.next = self.now + self.heartbeat.pinged(self.now, self.written)
            self.pings.append(self.now)
        elif isinstance(verdict, float):
            self.next = self.now + verdict
        return verdict

    def wait(self, sight: Sight) -> float:
        """A look that calls for nothing but waiting."""
        verdict = self.look(sight)
        assert isinstance(verdict, float)
        return verdict

    def hear(self, at: float) -> None:
        self.heartbeat.heard_at = at


def test_a_quiet_end_is_pinged_and_then_dead_within_five_seconds() -> None:
    watch = Watch()
    assert watch.look(watch.sight()) is Beat.PING
    assert watch.now == 2.0
    assert watch.look(watch.sight()) is Beat.DEAD
    assert watch.now == 4.0


def test_the_count_begins_at_the_last_that_was_heard() -> None:
    watch = Watch()
    watch.hear(1.9)
    assert watch.wait(watch.sight()) == pytest.approx(1.9)
    assert watch.look(watch.sight()) is Beat.PING
    assert watch.look(watch.sight()) is Beat.DEAD
    assert watch.now == pytest.approx(5.9)


def test_an_answer_of_any_kind_is_a_sign_of_life() -> None:
    watch = Watch()
    watch.look(watch.sight())
    watch.hear(2.5)
    assert watch.look(watch.sight()) == 0.5
    assert watch.look(watch.sight()) is Beat.PING


def test_an_end_that_talks_is_never_pinged() -> None:
    watch = Watch()
    for _ in range(20):
        watch.hear(watch.next)
        assert watch.look(watch.sight()) == 2.0
    assert not watch.pings


def test_a_ping_behind_data_that_is_slowly_taken_is_waited_for() -> None:
    watch = Watch()
    watch.written = 10_000_000
    assert watch.look(watch.sight(delivered=1_000_000)) is Beat.PING
    for delivered in range(2_000_000, 10_000_000, 50_000):
        assert watch.look(watch.sight(delivered)) == POLL
    assert watch.look(watch.sight()) == 2.0, "only now does the time for an answer begin"
    assert watch.look(watch.sight()) is Beat.DEAD


def test_an_end_with_more_to_take_than_the_ping_is_judged_by_its_taking() -> None:
    watch = Watch()
    watch.written = 10_000_000
    assert watch.look(watch.sight()) is Beat.PING
    for _ in range(100):
        watch.written += 100_000
        assert watch.look(watch.sight(watch.written - 50_000)) == POLL


def test_a_frozen_end_whose_kernel_takes_all_at_once_is_dead_all_the_same() -> None:
    watch = Watch()
    assert watch.look(watch.sight()) is Beat.PING
    watch.written += 1000
    assert watch.look(watch.sight(watch.written - 100, flying=100)) is Beat.DEAD


def test_an_end_that_takes_nothing_is_dead_after_its_stall() -> None:
    watch = Watch(stall=30.0)
    watch.written = 1_000_000
    while watch.look(watch.sight(delivered=100_000)) is not Beat.DEAD:
        pass
    assert watch.now == 32.0


def test_what_flies_unacknowledged_is_waited_for_only_as_long_as_an_answer() -> None:
    watch = Watch(stall=30.0)
    watch.look(watch.sight())
    while watch.look(watch.sight(delivered=0, flying=6)) is not Beat.DEAD:
        pass
    assert watch.now == 4.0


def test_an_end_that_is_not_read_cannot_be_judged_but_goes_on_being_pinged() -> None:
    watch = Watch()
    while watch.now < 60.0:
        assert watch.look(watch.sight(reading=False)) is not Beat.DEAD
    assert watch.pings == [float(second) for second in range(2, 61, 2)]


def test_an_end_that_is_not_read_is_dead_if_it_takes_nothing_either() -> None:
    watch = Watch(stall=10.0)
    watch.written = 1_000_000
    while watch.look(watch.sight(delivered=100_000, reading=False)) is not Beat.DEAD:
        pass
    assert watch.now == 12.0


def test_a_look_that_comes_late_blames_nobody() -> None:
    watch = Watch()
    watch.look(watch.sight())
    watch.now = 60.0
    assert watch.look(watch.sight()) == LATE
    watch.hear(60.05)
    assert watch.wait(watch.sight()) == pytest.approx(1.95)
    assert watch.look(watch.sight()) is Beat.PING


@given(st.lists(st.floats(0.01, 1.9), min_size=1, max_size=30))
def test_an_end_that_answers_within_its_time_lives_and_is_looked_at_again_soon(delays: list[float]) -> None:
    watch = Watch()
    for delay in delays:
        while (verdict := watch.look(watch.sight())) is not Beat.PING:
            assert isinstance(verdict, float)
            assert 0 < verdict <= 2.0
        watch.hear(watch.now + delay)

"""The shadow gives way to served traffic: less of it runs while the gateway gets too little of a processor."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.shadow import load_shedder
from proxy.shadow.load_shedder import INTERVAL, LEAST, CpuLoadShedder, Times


class Machine:
    """What a process gets of a processor, as a share of the time that passes."""

    def __init__(self) -> None:
        self.now, self.times = 0.0, Times(0.0, 0.0)
        self.pressure = CpuLoadShedder(lambda: self.times)
        self.pressure.look(self.now, 0.02)

    def turn(self, *, ran: float = 0.0, waited: float = 0.0, limit: float = 0.02, looks: int = 1) -> float:
        for _ in range(looks):
            self.now += INTERVAL
            self.times = Times(self.times.ran + ran * INTERVAL, self.times.waited + waited * INTERVAL)
            self.pressure.look(self.now, limit)
        return self.pressure.share


@pytest.mark.parametrize(("ran", "waited"), [(0.0, 0.03), (0.9, 0.0), (0.745, 0.015)])
def test_it_halves_while_the_gateway_lacks_a_processor_and_comes_back_by_and_by(ran: float, waited: float) -> None:
    machine = Machine()
    assert [machine.turn(ran=ran, waited=waited) for _ in range(3)] == [0.5, 0.25, 0.125]
    assert machine.turn(ran=ran, waited=waited, looks=20) == LEAST
    assert LEAST < machine.turn(ran=0.5, waited=0.01) < machine.turn(ran=0.5) < 0.1
    assert machine.turn(ran=0.5, looks=60) == 1.0


def test_a_limit_of_all_the_time_lets_everything_in() -> None:
    assert Machine().turn(ran=0.5, waited=0.5, limit=1.0, looks=5) == 1.0


def test_where_nothing_is_told_everything_is_let_in() -> None:
    silent = CpuLoadShedder(lambda: None)
    for turn in range(3):
        silent.look(turn * INTERVAL, 0.0)
    assert silent.share == 1.0


@given(st.floats(LEAST, 1.0), st.integers(1, 2000))
def test_it_lets_in_its_share_evenly(share: float, number: int) -> None:
    room = CpuLoadShedder(lambda: None)
    room.share = share
    admitted = [room.admits() for _ in range(number)]
    assert abs(sum(admitted) - share * number) <= 1 + 1e-6
    if share == 1.0:
        assert all(admitted)


def test_the_times_are_those_of_this_process() -> None:
    before = load_shedder.times()
    if before is None:
        pytest.skip("this system does not tell")
    begun = time.thread_time()
    while time.thread_time() - begun < 0.05:
        pass
    after = load_shedder.times()
    assert after is not None
    assert 0.05 <= after.ran - before.ran < 1.0
    assert after.waited >= before.waited


@pytest.mark.parametrize("told", [b"", b"1 2\n", b"one two three\n"])
def test_what_cannot_be_read_tells_nothing(
    told: bytes, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path_factory.mktemp("proc") / "schedstat"
    monkeypatch.setattr(load_shedder, "_SCHEDSTAT", file)
    assert load_shedder.times() is None
    file.write_bytes(told)
    assert load_shedder.times() is None

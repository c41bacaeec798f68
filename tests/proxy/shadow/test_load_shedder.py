"""Load shedding: fewer requests run in the shadow while the gateway lacks CPU time."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.shadow import load_shedder
from proxy.shadow.load_shedder import (
    INTERVAL,
    MAX_FLOORS,
    MIN_SHARE,
    CpuLoadShedder,
    CpuTimes,
    RouteFloors,
)
from tests.support.clock import Clock


class Machine:
    """Simulated CPU times of a process, as shares of the time that passes."""

    def __init__(self) -> None:
        self.now, self.times = 0.0, CpuTimes(0.0, 0.0)
        self.shedder = CpuLoadShedder(lambda: self.times)
        self.shedder.update(self.now, 0.02)

    def run(self, *, ran: float = 0.0, waited: float = 0.0, limit: float = 0.02, updates: int = 1) -> float:
        for _ in range(updates):
            self.now += INTERVAL
            self.times = CpuTimes(self.times.ran + ran * INTERVAL, self.times.waited + waited * INTERVAL)
            self.shedder.update(self.now, limit)
        return self.shedder.share


@pytest.mark.parametrize(("ran", "waited"), [(0.0, 0.03), (0.9, 0.0), (0.745, 0.015)])
def test_share_halves_under_contention_and_recovers(ran: float, waited: float) -> None:
    machine = Machine()
    assert [machine.run(ran=ran, waited=waited) for _ in range(3)] == [0.5, 0.25, 0.125]
    assert machine.run(ran=ran, waited=waited, updates=20) == MIN_SHARE
    assert MIN_SHARE < machine.run(ran=0.5, waited=0.01) < machine.run(ran=0.5) < 0.1
    assert machine.run(ran=0.5, updates=60) == 1.0


def test_limit_of_100_percent_admits_all() -> None:
    assert Machine().run(ran=0.5, waited=0.5, limit=1.0, updates=5) == 1.0


def test_unknown_cpu_times_admit_all() -> None:
    shedder = CpuLoadShedder(lambda: None)
    for step in range(3):
        shedder.update(step * INTERVAL, 0.0)
    assert shedder.share == 1.0


@given(st.floats(MIN_SHARE, 1.0), st.integers(1, 2000))
def test_reduced_share_is_admitted_evenly(share: float, number: int) -> None:
    shedder = CpuLoadShedder(lambda: None)
    shedder.share = share
    admitted = [shedder.admits("r") for _ in range(number)]
    assert abs(sum(admitted) - share * number) <= 1 + 1e-6
    if share == 1.0:
        assert all(admitted)


def test_cpu_times_are_those_of_this_process() -> None:
    before = load_shedder.cpu_times()
    if before is None:
        pytest.skip("this system has no schedstat")
    started = time.thread_time()
    while time.thread_time() - started < 0.05:
        pass
    after = load_shedder.cpu_times()
    assert after is not None
    assert 0.05 <= after.ran - before.ran < 1.0
    assert after.waited >= before.waited


@pytest.mark.parametrize("content", [b"", b"1 2\n", b"one two three\n"])
def test_unreadable_cpu_times_are_none(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "schedstat"
    assert load_shedder.cpu_times(file) is None
    file.write_bytes(content)
    assert load_shedder.cpu_times(file) is None


def test_busy_route_does_not_displace_a_rare_one() -> None:
    shedder = CpuLoadShedder(lambda: None)
    shedder.share = 0.1
    admitted = [route for number in range(1000) for route in _due(number) if shedder.admits(route)]
    assert abs(admitted.count("busy") - 100) <= 1
    assert abs(admitted.count("rare") - 10) <= 1


def _due(number: int) -> list[str]:
    return ["busy", "rare"] if number % 10 == 0 else ["busy"]


def test_every_route_with_traffic_is_due_each_second() -> None:
    clock = Clock()
    floors = RouteFloors(clock)
    taken: list[tuple[str, float]] = []
    for step in range(80):
        for route in ("busy", "busy", *(["rare"] if step % 24 == 0 else [])):
            if floors.is_due(route):
                floors.admitted(route)
                floors.compared(route)
                taken.append((route, clock.now))
        clock.now += 0.125
    assert [route for route, _ in taken].count("busy") == 10
    assert [route for route, _ in taken].count("rare") == 4


@given(st.floats(0.01, 0.99), st.floats(0.0, 1.0))
def test_route_is_due_in_every_second_with_traffic(interval: float, start: float) -> None:
    clock = Clock()
    floors, served, due = RouteFloors(clock), set[int](), list[int]()
    for step in range(200):
        clock.now = 1000.0 + start + interval * step
        served.add(int(clock.now))
        if floors.is_due("route"):
            floors.admitted("route")
            due.append(int(clock.now))
    assert due == sorted(served)


def test_floors_are_limited_except_for_uncompared_routes() -> None:
    clock = Clock()
    floors = RouteFloors(clock)
    known = [f"known {number}" for number in range(MAX_FLOORS + 20)]
    for route in known:
        floors.compared(route)
    for _ in range(3):
        assert sum(map(floors.is_due, known)) == MAX_FLOORS
        clock.now += 1.0
    assert all(floors.is_due(f"new {number}") for number in range(20))

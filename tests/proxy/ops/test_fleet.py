"""The numbers of a fleet: each process counts once, and the worst guard is shown."""

from __future__ import annotations

import time

import pytest
from starlette.testclient import TestClient

from proxy.observability.recent_failures import RecentFailures
from proxy.ops.fleet import Fleet, FleetNumbers
from proxy.rollout.analysis.analysis import Analysis, MetricResult, Outcome
from proxy.rollout.analysis.route_stats import StatsRegistry
from proxy.rollout.fleet import ProcessSnapshot
from proxy.rollout.store import MemoryStore
from tests.support.ops_server import Stage
from tests.support.rollout_replica import PLAIN, config, replica
from tests.support.waiting import until_async


async def test_each_process_of_a_store_counts_once() -> None:
    store = MemoryStore()
    fleets = []
    for in_flight in (3, 5):
        one = replica(config(PLAIN), store)
        one.serve(20)
        one.stats.advance(time.monotonic() + 1.1)
        fleets.append(Fleet(one.controller, RecentFailures(), lambda in_flight=in_flight: in_flight))  # type: ignore[misc]
    for fleet in fleets:
        await fleet.start()

    async def are_published() -> bool:
        return len(await store.snapshots()) == len(fleets)

    await until_async(are_published)
    for fleet in fleets:
        numbers = await fleet.read()
        assert (numbers.processes, numbers.in_flight) == (2, 8)
        assert numbers.requests("a") == (0, 40)
        assert numbers.route("a").native.total.requests == 40
        await fleet.stop()


def judged(outcome: Outcome) -> Analysis:
    return Analysis((MetricResult("errors", outcome),))


@pytest.mark.parametrize(
    ("own", "others", "worst", "processes"),
    [
        ("pass", ("pass", "fail"), "fail", ("c",)),
        ("fail", ("pass", "fail"), "fail", ("a", "c")),
        ("pass", ("unknown", "pass"), "unknown", ("b",)),
        ("pass", ("pass", "pass"), "pass", ("a", "b", "c")),
        (None, ("pass", "unknown"), "unknown", ("c",)),
        ("fail", (), "fail", ("a",)),
    ],
)
def test_worst_guard_of_all_processes_is_shown(
    own: Outcome | None, others: tuple[Outcome, ...], worst: Outcome, processes: tuple[str, ...]
) -> None:
    members = tuple(
        ProcessSnapshot(name, guards={"route": judged(outcome)}, name=name)
        for name, outcome in zip("bc", others, strict=False)
    )
    numbers = FleetNumbers(ProcessSnapshot("a", name="a"), StatsRegistry(), members)
    guard = numbers.guard("route", judged(own) if own is not None else None)
    assert guard is not None
    assert (guard.analysis.outcome, guard.processes) == (worst, processes)
    assert numbers.guard("other", None) is None


def test_suspended_guard_of_any_process_counts() -> None:
    failing = MetricResult("dependencies", "unknown", limit=0.5, native=1.0, requests=6)
    other = Analysis((failing, MetricResult("errors", "pass")))
    guards = {"a": other, "b": Analysis((MetricResult("errors", "unknown"),))}
    numbers = FleetNumbers(ProcessSnapshot("1"), StatsRegistry(), (ProcessSnapshot("2", guards=guards),))
    assert numbers.suspended == {"a": "failures of dependencies 100% of 6 (limit 50%)"}


@pytest.mark.parametrize(("ahead", "said"), [(-7200.0, "2 h behind"), (61.0, "1 min 1 s ahead of"), (59.0, "")])
def test_board_names_a_process_with_a_wrong_clock(client: TestClient, staged: Stage, ahead: float, said: str) -> None:
    other = ProcessSnapshot("other", name="web-2:7", clock_ahead=ahead)
    assert client.portal is not None
    client.portal.call(staged.controller.store.publish, other)
    while client.get("/live.json").json()["processes"] < 2:  # read at most once a second
        pass
    board = client.get("/index.json").text
    assert (f"web-2:7 is {said} MongoDB's clock" in board) is bool(said)
    assert ("A clock is wrong" in board) is bool(said)

"""All stores of states meet the same requirements: compare and set, evidence, history, configuration in force."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from demo.managed_process import ManagedProcess
from demo.mongod import find_mongod
from demo.ports import free_port
from proxy.config.field_types import ZERO
from proxy.database.database import Database, Unavailable
from proxy.database.driver import DRIVERS, DriverName
from proxy.rollout.analysis.analysis import Analysis, MetricResult
from proxy.rollout.analysis.window import RequestStats, WindowCounts
from proxy.rollout.fleet import BackendTraffic, ProcessHealth, ProcessSnapshot, RouteTraffic
from proxy.rollout.hub import HubStore, StateHub
from proxy.rollout.model import AnnouncedConfig, Attribution, AuditEntry, Evidence, HistoryQuery, RouteState
from proxy.rollout.mongo import MongoStore
from proxy.rollout.store import SNAPSHOT_LIFETIME, MemoryStore, Store
from proxy.rollout.transitions import gate_failed, guard_failed, pause
from proxy.types import BasisPoints
from tests.support.mongodb_relay import Relay, collect_abandoned_sockets
from tests.support.rollout_states import FIRST, ROUTE, next_of
from tests.support.waiting import HANG_TIMEOUT

DATABASE = "state_store_tests"


@asynccontextmanager
async def emptied_database(mongodb_url: str, driver: DriverName) -> AsyncIterator[Database]:
    opened = Database(mongodb_url, DATABASE, driver=driver)
    yield opened
    with MongoClient[dict[str, Any]](mongodb_url) as client:
        for name in client[DATABASE].list_collection_names():
            client[DATABASE][name].delete_many({})
    await opened.close()


@pytest.fixture(params=DRIVERS)
async def database(mongodb_url: str, request: pytest.FixtureRequest) -> AsyncIterator[Database]:
    async with emptied_database(mongodb_url, request.param) as opened:
        yield opened


@pytest.fixture(scope="module", autouse=True)
def _dropped(mongodb_url: str) -> Any:
    yield
    with MongoClient[dict[str, Any]](mongodb_url) as client:
        client.drop_database(DATABASE)


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[HubStore]:
    path = tmp_path / "state.sock"
    running = StateHub(path)
    running.start()
    store = HubStore(path)
    yield store
    await store.close()
    running.stop()


@pytest.fixture(params=["memory", "hub", *DRIVERS])
async def store(request: pytest.FixtureRequest, mongodb_url: str, hub: HubStore) -> AsyncIterator[Store]:
    if request.param == "memory":
        yield MemoryStore()
    elif request.param == "hub":
        yield hub
    else:
        async with emptied_database(mongodb_url, request.param) as database:
            yield MongoStore(database)


async def test_state_reads_back(store: Store) -> None:
    state = guard_failed(ROUTE, next_of(FIRST), "errors 40%", 30.0)
    assert state is not None
    for each in (FIRST, next_of(FIRST), state):
        assert await store.replace(each)
    assert await store.state("notes.list") == state
    assert await store.states() == {"notes.list": state}
    assert await store.state("other") is None


async def test_state_is_replaced_by_the_next_version_only(store: Store) -> None:
    assert await store.replace(FIRST)
    assert not await store.replace(FIRST)
    second = next_of(FIRST)
    assert await store.replace(second)
    assert not await store.replace(next_of(FIRST, 21.0))
    assert not await store.replace(replace(second, version=second.version + 2))
    assert not await store.replace(replace(second, key="unheard-of", version=7))
    assert await store.state("notes.list") == second


async def test_concurrent_promotions_succeed_once(store: Store) -> None:
    await store.replace(FIRST)
    done = await asyncio.gather(*(store.replace(next_of(FIRST, 20.0 + number)) for number in range(20)))
    assert sum(done) == 1


async def test_history_has_every_change_once_newest_first(store: Store) -> None:
    for state in (FIRST, next_of(FIRST), next_of(FIRST)):
        await store.replace(state)
    await store.states()
    await store.record(
        AuditEntry("config", Attribution("routing.yaml", "it changed", 40.0), ZERO, ZERO, revision="abc")
    )
    assert [change.kind for change in await store.history(10)] == ["config", "promotion", "start"]
    assert [change.kind for change in await store.history(1, HistoryQuery("notes.list"))] == ["promotion"]
    assert (await store.history(1))[0].revision == "abc"


async def test_entry_missing_after_a_crash_is_added(database: Database) -> None:
    store = MongoStore(database)
    await database.collection("states").insert_one(FIRST.document())
    assert await store.history(10) == ()
    await store.states()
    assert [change.kind for change in await store.history(10)] == ["start"]


async def test_evidence_adds_up_and_expires_with_its_epoch(store: Store) -> None:
    await store.replace(FIRST)
    await store.add({FIRST.epoch: Evidence(10, 1, 20, 2, 3, 1)})
    await store.add({FIRST.epoch: Evidence(1, 1, 1, 1, 1, 1), "b#1": Evidence(5)})
    assert await store.evidence([FIRST.epoch, "c#1"]) == {FIRST.epoch: Evidence(11, 2, 21, 3, 4, 2)}
    paused = pause(ROUTE, FIRST, Attribution("amara", "because", 30.0))
    await store.replace(paused)
    assert await store.evidence([paused.epoch]) == {FIRST.epoch: Evidence(11, 2, 21, 3, 4, 2)}
    await store.replace(gate_failed(ROUTE, paused, "errors 2%", 50.0))
    assert await store.evidence([FIRST.epoch, "b#1"]) == {"b#1": Evidence(5)}


async def test_configuration_is_announced_by_one_replica(store: Store) -> None:
    first = AnnouncedConfig("r1", {"notes.list": BasisPoints(100)}, ("notes.list",), "routes: []")
    assert await store.announce(first) == AnnouncedConfig()
    assert await store.announce(first) is None
    previous = await asyncio.gather(
        *(store.announce(AnnouncedConfig("r2", {"notes.list": BasisPoints(200)})) for _ in range(5))
    )
    assert [each for each in previous if each] == [first]


async def test_change_is_claimed_by_one_replica(store: Store) -> None:
    assert await store.replace(FIRST)
    owners = [str(number) for number in range(5)]
    first = await asyncio.gather(*(store.claim(FIRST, owner) for owner in owners))
    assert sorted(first) == [False] * 4 + [True]
    assert await asyncio.gather(*(store.claim(FIRST, owner) for owner in owners)) == first
    second = gate_failed(ROUTE, FIRST, "errors 2%", 50.0)
    assert await store.replace(second)
    assert await store.claim(second, "3")
    assert [change.kind for change in await store.history(9)] == ["gate", "start"]


async def test_history_is_filtered_and_paged(store: Store) -> None:
    for at in range(6):
        by = Attribution("Ada" if at % 2 else "guard", "because", float(at))
        await store.record(AuditEntry("cap" if at < 3 else "rollback", by, BasisPoints(100), ZERO, "notes.list"))
    assert [change.by.at for change in await store.history(2, HistoryQuery(until=3.0))] == [3.0, 2.0]
    assert [change.by.at for change in await store.history(9, HistoryQuery(actor="Ada"))] == [5.0, 3.0, 1.0]
    assert [change.by.at for change in await store.history(9, HistoryQuery("notes.list", "cap", "guard"))] == [2.0, 0.0]


@pytest.mark.parametrize("size", [1, 2, 3, 5])
async def test_pages_contain_simultaneous_changes_once(store: Store, size: int) -> None:
    times = [1.0, 2.0, 2.0, 2.0, 2.0, 3.0]  # a file that changes many shares records them at one time
    for number, at in enumerate(times):
        await store.record(AuditEntry("share", Attribution("routing.yaml", "", at), ZERO, ZERO, f"{number}"))
    query, shown = HistoryQuery(), list[str]()
    while page := await store.history(size, query):
        shown += [change.route for change in page]
        query = query.after(page)
    assert shown == ["5", "4", "3", "2", "1", "0"]


async def test_history_of_a_group_includes_configuration_changes(store: Store) -> None:
    by = Attribution("routing.yaml", "revision 2 follows 1", 1.0)
    await store.record(AuditEntry("config", by, ZERO, ZERO, "", "2", "-a\n+b", routes=("notes", "users")))
    (entry,) = await store.history(9, HistoryQuery("notes"))
    assert (entry.difference, entry.routes) == ("-a\n+b", ("notes", "users"))
    assert await store.history(9, HistoryQuery("prompts")) == ()


async def test_baselines_are_stored_for_a_restart(database: Database) -> None:
    store, tally = MongoStore(database), RequestStats(100, 5, 1, {7: 60, 40: 40})
    await store.set_baselines({"notes.list": tally, "b": RequestStats(1)})
    await store.set_baselines({"notes.list": tally})
    await store.set_baselines({})
    assert await store.baselines() == {"notes.list": tally, "b": RequestStats(1)}


async def test_memory_store_is_bounded() -> None:
    store = MemoryStore()
    await store.set_baselines({"a": RequestStats(1)})
    assert await store.baselines() == {}
    for number in range(1100):
        await store.record(AuditEntry("share", Attribution("f", "", float(number)), ZERO, ZERO))
    assert len(await store.history(5000)) == 1000


async def test_time_is_that_of_the_server(store: Store) -> None:
    before = time.time()
    assert before - 5 < await store.now() < time.time() + 5


async def follow(store: Store) -> tuple[asyncio.Queue[RouteState | Exception], asyncio.Task[None]]:
    """Yield changes as they come, from now on; the end of the stream comes last."""
    changes: asyncio.Queue[RouteState | Exception] = asyncio.Queue()
    entered = asyncio.Event()

    async def run() -> None:
        try:
            async with store.following() as following:
                entered.set()
                async for state in following:
                    changes.put_nowait(state)
        except Unavailable as error:
            changes.put_nowait(error)

    task = asyncio.create_task(run())
    await asyncio.wait_for(entered.wait(), HANG_TIMEOUT)
    return changes, task


async def test_changes_are_followed_at_once(database: Database) -> None:
    store = MongoStore(database)
    changes, task = await follow(store)
    for state in (FIRST, next_of(FIRST)):
        await store.replace(state)
        assert await asyncio.wait_for(changes.get(), HANG_TIMEOUT) == state
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
def standalone(tmp_path: Path) -> Iterator[str]:
    """Return the URL of a mongod that is not a replica set."""
    program = find_mongod()
    if program is None:
        pytest.skip("no mongod to run alone")
    port = free_port()
    command: list[str | Path] = [
        program,
        "--dbpath",
        tmp_path,
        "--port",
        str(port),
        "--bind_ip",
        "127.0.0.1",
        "--nounixsocket",
    ]
    child = ManagedProcess("mongod", [*command, "--wiredTigerCacheSizeGB", "0.25"], log=tmp_path / "log")
    child.start()
    yield f"mongodb://127.0.0.1:{port}"
    child.stop()


@pytest.mark.parametrize("driver", DRIVERS)
async def test_standalone_server_is_polled_for_changes(standalone: str, driver: DriverName) -> None:
    database = Database(standalone, DATABASE, timeout=10.0, driver=driver)
    store = MongoStore(database, poll_interval=0.02)
    assert await store.replace(FIRST)
    changes, task = await follow(store)
    for state in (FIRST, next_of(FIRST)):
        await store.replace(state)
        assert await asyncio.wait_for(changes.get(), HANG_TIMEOUT) == state
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await database.close()


async def test_dropped_collection_is_reported_to_followers(database: Database) -> None:
    store = MongoStore(database)
    await store.replace(FIRST)
    changes, task = await follow(store)
    await database.collection("states").drop()
    assert isinstance(await asyncio.wait_for(changes.get(), HANG_TIMEOUT), Unavailable)
    await task


@pytest.mark.parametrize("driver", DRIVERS)
async def test_outage_is_reported_to_followers(mongodb_url: str, driver: DriverName) -> None:
    with Relay(mongodb_url) as relay:
        relay.mend()
        database = Database(relay.url, DATABASE, timeout=0.2, driver=driver)
        store = MongoStore(database)
        changes, task = await follow(store)
        relay.cut()
        assert isinstance(await asyncio.wait_for(changes.get(), HANG_TIMEOUT), Unavailable)
        await task
        with pytest.raises(Unavailable):
            await store.replace(FIRST)
        with pytest.raises(Unavailable):
            async with store.following():
                pass
        await database.close()
        collect_abandoned_sockets()


@pytest.mark.parametrize("read", ["snapshots", "history"])
async def test_unreachable_store_fails_pages_at_once(read: str) -> None:
    database = Database("mongodb://127.0.0.1:9", DATABASE, timeout=0.2)
    with pytest.raises(Unavailable):
        await database.reach()
    assert not await database.is_reachable()
    store = MongoStore(database)
    reading = asyncio.ensure_future(store.snapshots() if read == "snapshots" else store.history(1))
    for _ in range(20):  # passes of the loop, none of which waits
        await asyncio.sleep(0)
    assert isinstance(reading.exception(), Unavailable)
    await database.close()
    collect_abandoned_sockets()


def test_slice_becomes_evidence() -> None:
    window = WindowCounts(RequestStats(10, 1, 2), RequestStats(20, 3, 4), 5, 6)
    assert Evidence.of(window) == Evidence(20, 7, 10, 3, 5, 6)


async def test_processes_read_the_numbers_of_all(store: Store) -> None:
    traffic = RouteTraffic(native=BackendTraffic(RequestStats(9, 1, 2, {7: 9}), (1.5, 0.0), (0.2, None)))
    guards = {"notes.list": Analysis((MetricResult("errors", "fail", 0.05, 0.2, 0.01, 60, 0.1),))}
    health = ProcessHealth(legacy_down=True, limits=("full",), revision="abc")
    one = ProcessSnapshot("one", 3, {"legacy_timeout": 2}, {"notes.list": traffic}, guards, health, "host:1")
    await store.publish(one)
    await store.publish(ProcessSnapshot("two", 1))
    await store.publish(ProcessSnapshot("two", 4))
    snapshots = {snapshot.id: snapshot for snapshot in await store.snapshots()}
    assert all(0 <= snapshot.age < SNAPSHOT_LIFETIME for snapshot in snapshots.values())
    known = {name: replace(snapshot, age=0.0) for name, snapshot in snapshots.items()}
    assert known == {"one": one, "two": ProcessSnapshot("two", 4)}


async def test_clocks_of_processes_are_compared_with_the_databases(database: Database) -> None:
    store = MongoStore(database)
    now = time.time()
    for name, clock in (("behind", now - 7200), ("right", now), ("ahead", now + 7200), ("of another release", 0.0)):
        await store.publish(ProcessSnapshot(name, clock=clock))
    hours = {snapshot.id: round(snapshot.clock_ahead / 3600) for snapshot in await store.snapshots()}
    assert hours == {"behind": -2, "right": 0, "ahead": 2, "of another release": 0}


async def test_numbers_of_a_process_that_ended_are_forgotten() -> None:
    now = 0.0
    store = MemoryStore(steady=lambda: now)
    await store.publish(ProcessSnapshot("one"))
    now = SNAPSHOT_LIFETIME + 1
    await store.publish(ProcessSnapshot("two"))
    assert [snapshot.id for snapshot in await store.snapshots()] == ["two"]


async def test_numbers_of_an_ended_process_do_not_await_their_removal(database: Database) -> None:
    store, processes = MongoStore(database), database.collection("processes")
    for name in ("ended", "running"):
        await store.publish(ProcessSnapshot(name))
    long_ago = [{"$set": {"at": {"$subtract": ["$$NOW", int(SNAPSHOT_LIFETIME * 1000) + 1]}}}]
    await processes.update_one({"_id": "ended"}, long_ago)  # MongoDB removes it within a minute
    assert [snapshot.id for snapshot in await store.snapshots()] == ["running"]


async def test_clock_of_one_process_follows_the_machine() -> None:
    wall, steady = 1.8e9, 0.0
    store = MemoryStore(lambda: wall, lambda: steady)
    await store.publish(ProcessSnapshot("one"))
    wall, steady = wall - 3600, 2.0  # windows are times of day, and ages are not
    assert (await store.now(), [one.age for one in await store.snapshots()]) == (wall, [2.0])


def test_traffic_of_processes_is_added() -> None:
    one = BackendTraffic(RequestStats(10, 1, 2, {7: 10}), (1.0, 2.0), (0.1, None))
    other = BackendTraffic(RequestStats(5, 0, 1, {7: 1, 9: 4}), (3.0, 0.5, 1.0), (0.4, None, 0.2))
    both = BackendTraffic.sum_of([one, other])
    assert (both.total, both.rates) == (RequestStats(15, 1, 3, {7: 11, 9: 4}), (4.0, 2.5, 1.0))
    assert both.slowest == (0.4, None, 0.2)
    assert BackendTraffic.sum_of([]) == BackendTraffic()

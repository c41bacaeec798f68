"""Direct reads that fail or are cancelled: results are those of PyMongo, and its pool counts open connections only."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Coroutine, Generator, Iterator
from functools import partial
from typing import Any

import pytest
import uvloop
from pymongo import MongoClient
from pymongo.errors import NetworkTimeout, OperationFailure, PyMongoError

from handlers.storage.reads import Query
from tests.support.direct_reads import (
    CODEC,
    OpenDriver,
    expect_counts,
    find_by_pymongo,
    running_mongod,
    warm_up,
)
from tests.support.mongodb_relay import Relay, command
from tests.support.waiting import until

LOOPS = {"uvloop": uvloop.new_event_loop}  # tests of the store read on asyncio's own loop


@pytest.fixture
def relay(mongodb_url: str) -> Iterator[Relay]:
    with Relay(mongodb_url) as relay:
        relay.mend()
        yield relay


@pytest.fixture(scope="module")
def faulty_mongod(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the URL of a MongoDB whose commands can be made to fail."""
    # An asynchronous fixture would start again for each test, because LOOPS replaces the loop of the module.
    options = ("--setParameter", "enableTestCommands=1")
    with running_mongod(tmp_path_factory.mktemp("faulty"), *options) as port:
        yield f"mongodb://127.0.0.1:{port}/"


@pytest.fixture
def fail(faulty_mongod: str) -> Iterator[Callable[..., None]]:
    """Return a function that makes `find` fail: `{"times": n}`, in the ways of `failCommand`."""
    with MongoClient[dict[str, Any]](faulty_mongod) as client:

        def configure(mode: object, **how: object) -> None:
            data = {"failCommands": ["find"], **how}
            client.admin.command({"configureFailPoint": "failCommand", "mode": mode, "data": data})

        yield configure
        configure("off")


@pytest.mark.parametrize(
    ("how", "times"),
    [
        *(({"errorCode": code}, 1) for code in (2, 50, 91, 11600, 10107, 13435, 189)),
        *(({"closeConnection": True}, times) for times in (1, 2)),
        ({"errorCode": 91}, 2),
        ({"errorCode": 11600}, 2),
    ],
    ids=str,
)
async def test_failures_are_repeated_or_raised_as_by_pymongo(
    faulty_mongod: str, open_direct: OpenDriver, fail: Callable[..., None], how: dict[str, object], times: int
) -> None:
    driver = open_direct(faulty_mongod, {"heartbeatFrequencyMS": 500, "appname": "direct"})
    collection = driver.database("test", CODEC)["notes"]
    outcomes = []
    for find in (driver.find, find_by_pymongo):
        await warm_up(driver, collection)
        fail({"times": times}, **how, appName="direct")
        try:
            outcomes.append(str(await find(collection, Query({}))))
        except PyMongoError as error:
            outcomes.append(f"{type(error).__name__} {getattr(error, 'code', None)}")
        fail("off")
        await expect_counts(driver)
    assert outcomes[0] == outcomes[1]
    assert await driver.find(collection, Query({})) == []


async def test_connection_cut_during_a_read_is_replaced(relay: Relay, open_direct: OpenDriver) -> None:
    driver = open_direct(relay.url, {})
    collection = driver.database("test_reads", CODEC)["notes"]
    for _ in range(2):
        await warm_up(driver, collection)
        relay.cut_at(command("find", "notes"))
        reading = asyncio.create_task(driver.find(collection, Query({})))
        await until(lambda: not driver.reads.free and not driver.reads.channels)
        relay.mend()
        assert await reading == []
        await expect_counts(driver)


async def test_connection_cut_between_reads_leaves_the_pool(relay: Relay, open_direct: OpenDriver) -> None:
    driver = open_direct(relay.url, {})
    collection = driver.database("test_reads", CODEC)["notes"]
    await warm_up(driver, collection)
    relay.cut()
    await until(lambda: not driver.reads.channels)
    await expect_counts(driver)
    relay.mend()
    await warm_up(driver, collection)


async def test_read_without_a_reply_ends_at_the_timeout_of_the_client(relay: Relay, open_direct: OpenDriver) -> None:
    driver = open_direct(relay.url, {})
    collection = driver.database("test_reads", CODEC)["notes"]
    await warm_up(driver, collection)
    driver.reads.free[0].connection.timeout = 0.01
    relay.hang_at(command("find", "notes"))
    with pytest.raises(NetworkTimeout):
        await driver.find(collection, Query({}))
    await expect_counts(driver)
    assert len(driver.reads.channels) == 0
    relay.mend()
    assert await driver.find(collection, Query({})) == []


async def test_cancelled_read_closes_its_connection(relay: Relay, open_direct: OpenDriver) -> None:
    driver = open_direct(relay.url, {})
    collection = driver.database("test_reads", CODEC)["notes"]
    await warm_up(driver, collection)
    stopped = relay.stop(command("find", "notes"))
    reading = asyncio.create_task(driver.find(collection, Query({})))
    command_ = await stopped
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    await expect_counts(driver)
    assert len(driver.reads.channels) == 0
    command_.release()
    assert await driver.find(collection, Query({})) == []


class CancelledAt:
    """A coroutine that is awaited, whose task is cancelled at one of its suspensions, counted from 0."""

    def __init__(self, coroutine: Coroutine[Any, Any, object], suspension: int) -> None:
        self._coroutine = coroutine
        self._suspension = suspension

    def __await__(self) -> Generator[Any, None, object]:
        resume: Callable[[], Any] = partial(self._coroutine.send, None)
        for suspension in itertools.count():
            try:
                awaited = resume()
            except StopIteration as end:
                return end.value
            if suspension == self._suspension:
                task = asyncio.current_task()
                assert task is not None
                asyncio.get_running_loop().call_soon(task.cancel)
            try:
                yield awaited
                resume = partial(self._coroutine.send, None)
            except BaseException as error:
                resume = partial(self._coroutine.throw, error)
        return None


# PyMongo's client for asyncio does not close the socket that it was connecting.
@pytest.mark.filterwarnings(r"ignore:unclosed <socket.*laddr=\('0.0.0.0', 0\):ResourceWarning")
@pytest.mark.parametrize("how", [{}, {"errorCode": 91}, {"closeConnection": True}, {"errorCode": 2}], ids=str)
async def test_read_cancelled_anywhere_leaves_the_pool_as_it_was(
    faulty_mongod: str, open_direct: OpenDriver, fail: Callable[..., None], how: dict[str, object]
) -> None:
    driver = open_direct(faulty_mongod, {"heartbeatFrequencyMS": 500, "appname": "direct"})
    collection = driver.database("test", CODEC)["notes"]
    outcome: object = asyncio.CancelledError
    suspensions = 0
    while outcome is asyncio.CancelledError:
        await warm_up(driver, collection)
        if how:
            fail({"times": 1}, **how, appName="direct")
        try:
            outcome = await CancelledAt(driver.find(collection, Query({})), suspensions)
        except (asyncio.CancelledError, PyMongoError) as error:
            outcome = type(error)
        if how:
            fail("off")
        await expect_counts(driver)
        suspensions += 1
    assert outcome == (OperationFailure if how == {"errorCode": 2} else [])
    assert suspensions > 1

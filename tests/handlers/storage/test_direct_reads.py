"""Reads without PyMongo's command path, beside that path: the same commands, documents, errors and pool counts."""

from __future__ import annotations

import asyncio
import logging
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
import pytest_asyncio
from bson import ObjectId
from bson.codec_options import CodecOptions, DatetimeConversion
from pymongo import MongoClient
from pymongo.errors import NetworkTimeout, PyMongoError

from demo.mongod import find_mongod
from demo.ports import free_port
from handlers.storage.borrowed_connection import MAX_BORROWED
from handlers.storage.motor_driver import MotorDriver
from handlers.storage.reads import Query, find_all
from handlers.storage.reply_channel import MAX_COMMAND
from tests.support.backends import scratch_database
from tests.support.mongodb_relay import Relay, command
from tests.support.waiting import HANG_TIMEOUT, until, until_listening

CODEC: CodecOptions[dict[str, Any]] = CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_MS)
QUERY = Query({"even": True}, fields=("n",), sort=[("n", -1)])


async def warm_up(driver: MotorDriver, notes: Any) -> None:
    """Read until a connection is free for direct reads. A release of PyMongo without a name that they use never ends.

    Raises `AssertionError` for such a release.
    """
    async with asyncio.timeout(HANG_TIMEOUT):
        while not driver.reads.free:
            await driver.find(notes, Query({}, limit=1))
            assert not driver.reads.is_disabled, "this release of PyMongo lacks a name that direct reads use"


async def expect_counts(driver: MotorDriver) -> None:
    """Wait until the pool counts exactly the connections of direct reads as checked out."""
    [pool] = driver.pools
    await until(lambda: [pool.requests, pool.active_sockets, pool.operation_count] == [len(driver.reads.channels)] * 3)


@pytest.fixture
async def notes(mongodb_url: str) -> AsyncIterator[tuple[MotorDriver, Any]]:
    with scratch_database(mongodb_url) as database:
        documents = [{"_id": ObjectId(), "n": number, "even": number % 2 == 0} for number in range(300)]
        database["notes"].insert_many(documents)
        driver = MotorDriver(mongodb_url, {"timeoutMS": int(HANG_TIMEOUT * 1000)})
        yield driver, driver.database(database.name, CODEC)["notes"]
        await driver.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def faulty_mongod() -> AsyncIterator[str]:
    """Return the URL of a MongoDB whose commands can be made to fail."""
    program, port = find_mongod(), free_port()
    if program is None:
        pytest.skip("no mongod to start")
    with tempfile.TemporaryDirectory() as directory:
        options = ("--bind_ip", "127.0.0.1", "--nounixsocket", "--dbpath", directory, "--port", str(port))
        parameter = ("--setParameter", "enableTestCommands=1")
        mongod = await asyncio.create_subprocess_exec(program, *options, *parameter, stdout=asyncio.subprocess.DEVNULL)
        try:
            await until_listening(port)
            yield f"mongodb://127.0.0.1:{port}/"
        finally:
            mongod.kill()
            await mongod.wait()


@pytest.fixture
def fail(faulty_mongod: str) -> Iterator[Callable[..., None]]:
    """Return a function that makes `find` fail: `{"times": n}`, in the ways of `failCommand`."""
    with MongoClient[dict[str, Any]](faulty_mongod) as client:

        def configure(mode: object, **how: object) -> None:
            data = {"failCommands": ["find"], **how}
            client.admin.command({"configureFailPoint": "failCommand", "mode": mode, "data": data})

        yield configure
        configure("off")


async def test_documents_are_those_of_pymongo(notes: tuple[MotorDriver, Any]) -> None:
    driver, collection = notes
    await warm_up(driver, collection)
    for query in (QUERY, Query({}), Query({"n": -1}), QUERY._replace(limit=3, skip=1)):
        assert await driver.find(collection, query) == find_all(collection.delegate, query)
    assert len(driver.reads.channels) == 1
    await expect_counts(driver)


async def test_server_receives_pymongos_command_without_a_session(notes: tuple[MotorDriver, Any]) -> None:
    driver, collection = notes
    await warm_up(driver, collection)
    database = collection.delegate.database
    database.command("profile", 2)
    await driver.find(collection, QUERY)
    find_all(collection.delegate, QUERY)
    database.command("profile", 0)
    direct, public = (entry["command"] for entry in database["system.profile"].find({"op": "query"}).sort("ts"))
    assert {"lsid", "$clusterTime", "maxTimeMS"} <= public.keys()
    assert not {"lsid", "$clusterTime"} & direct.keys()
    assert 0 < direct.pop("maxTimeMS") - public.pop("maxTimeMS") < HANG_TIMEOUT * 1000
    assert list(direct.items()) == [pair for pair in public.items() if pair[0] not in ("lsid", "$clusterTime")]


async def test_concurrent_reads_have_connections_of_their_own(notes: tuple[MotorDriver, Any]) -> None:
    driver, collection = notes
    while len(driver.reads.channels) < MAX_BORROWED:
        await asyncio.gather(*(driver.find(collection, QUERY) for _ in range(2 * MAX_BORROWED)))
    results = await asyncio.gather(
        *(driver.find(collection, Query({"n": number % 300})) for number in range(10 * MAX_BORROWED))
    )
    assert [documents[0]["n"] for documents in results] == list(range(10 * MAX_BORROWED))
    await expect_counts(driver)
    assert len(driver.reads.channels) == MAX_BORROWED


async def test_results_beyond_one_reply_are_complete(notes: tuple[MotorDriver, Any]) -> None:
    driver, collection = notes
    await collection.delete_many({})
    for number in range(3):
        await collection.insert_many([{"_id": 10 * number + each, "text": "x" * 1_000_000} for each in range(6)])
    await warm_up(driver, collection)
    documents = await driver.find(collection, Query({}, sort=[("_id", 1)]))
    assert [document["_id"] for document in documents] == [*range(6), *range(10, 16), *range(20, 26)]
    await expect_counts(driver)


@pytest.mark.parametrize(
    "query",
    [
        Query({"$unknown": 1}),
        Query({"n": object()}),
        Query({"n": 1 << 64}),
        Query({"n": "x" * (17 << 20)}),
        Query({"n": {"$in": ["x" * MAX_COMMAND]}}),
    ],
    ids=["operator", "type", "number", "too long", "long"],
)
async def test_refused_queries_raise_the_errors_of_pymongo(notes: tuple[MotorDriver, Any], query: Query) -> None:
    driver, collection = notes
    await warm_up(driver, collection)
    outcomes: list[object] = []
    for read in (driver.find(collection, query), asyncio.to_thread(find_all, collection.delegate, query)):
        try:
            outcomes.append(await read)
        except Exception as error:
            outcomes.append(type(error))
    assert outcomes[0] == outcomes[1]
    assert len(driver.reads.channels) == 1
    assert await driver.find(collection, QUERY)
    await expect_counts(driver)


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
    faulty_mongod: str, fail: Callable[..., None], how: dict[str, object], times: int
) -> None:
    options = {"timeoutMS": int(HANG_TIMEOUT * 1000), "heartbeatFrequencyMS": 500}
    driver = MotorDriver(faulty_mongod, {**options, "appname": "direct"})
    collection = driver.database("test", CODEC)["notes"]
    outcomes = []
    for find in (driver.find, lambda *of: asyncio.to_thread(find_all, of[0].delegate, of[1])):
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
    await driver.close()


async def test_connection_cut_during_a_read_is_replaced(mongodb_url: str) -> None:
    with Relay(mongodb_url) as relay:
        relay.mend()
        driver = MotorDriver(relay.url, {"timeoutMS": int(HANG_TIMEOUT * 1000)})
        collection = driver.database("test_reads", CODEC)["notes"]
        for _ in range(2):
            await warm_up(driver, collection)
            relay.cut_at(command("find", "notes"))
            reading = asyncio.create_task(driver.find(collection, Query({})))
            await until(lambda: not driver.reads.free and not driver.reads.channels)
            relay.mend()
            assert await reading == []
            await expect_counts(driver)
        await driver.close()


async def test_connection_cut_between_reads_leaves_the_pool(mongodb_url: str) -> None:
    with Relay(mongodb_url) as relay:
        relay.mend()
        driver = MotorDriver(relay.url, {"timeoutMS": int(HANG_TIMEOUT * 1000)})
        collection = driver.database("test_reads", CODEC)["notes"]
        await warm_up(driver, collection)
        relay.cut()
        await until(lambda: not driver.reads.channels)
        await expect_counts(driver)
        relay.mend()
        await warm_up(driver, collection)
        await driver.close()


async def test_read_without_a_reply_ends_at_the_timeout_of_the_client(mongodb_url: str) -> None:
    with Relay(mongodb_url) as relay:
        relay.mend()
        driver = MotorDriver(relay.url, {"timeoutMS": int(HANG_TIMEOUT * 1000)})
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
        await driver.close()


async def test_cancelled_read_closes_its_connection(mongodb_url: str) -> None:
    with Relay(mongodb_url) as relay:
        relay.mend()
        driver = MotorDriver(relay.url, {"timeoutMS": int(HANG_TIMEOUT * 1000)})
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
        await driver.close()


async def test_connections_of_an_earlier_generation_are_not_used(notes: tuple[MotorDriver, Any]) -> None:
    driver, collection = notes
    await warm_up(driver, collection)
    (before,) = driver.reads.channels
    driver.pools[0].reset_without_pause()
    assert len(await driver.find(collection, QUERY)) == 150
    await warm_up(driver, collection)
    assert before not in driver.reads.channels
    await driver.replace_connections()
    assert not driver.reads.free
    await expect_counts(driver)


@pytest.mark.parametrize(
    "options",
    [{"compressors": "zlib"}, {"maxPoolSize": 10}, {"maxIdleTimeMS": 60_000}],
    ids=lambda given: next(iter(given)),
)
async def test_unsuitable_clients_read_by_pymongo(mongodb_url: str, options: dict[str, object]) -> None:
    driver = MotorDriver(mongodb_url, options)
    collection = driver.database("test_reads", CODEC)["notes"]
    while not driver.reads.is_disabled:
        assert await driver.find(collection, Query({})) == []
    assert await driver.find(collection, Query({})) == []
    await expect_counts(driver)
    assert (len(driver.reads.channels), driver.pools[0].requests) == (0, 0)
    await driver.close()


async def test_release_without_a_private_name_reads_by_pymongo(
    mongodb_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    driver = MotorDriver(mongodb_url, {})
    collection = driver.database("test_reads", CODEC)["notes"]
    monkeypatch.delattr("pymongo.synchronous.mongo_client.MongoClient._conn_for_reads")
    while not driver.reads.is_disabled:
        assert await driver.find(collection, Query({})) == []
    assert await driver.find(collection, Query({})) == []
    assert caplog.messages == ["PyMongo reads everything, more slowly: AttributeError"]
    monkeypatch.undo()  # PyMongo needs the name to close
    await driver.close()


async def test_logged_commands_are_sent_by_pymongo(
    notes: tuple[MotorDriver, Any], caplog: pytest.LogCaptureFixture
) -> None:
    driver, collection = notes
    await warm_up(driver, collection)
    with caplog.at_level(logging.DEBUG, "pymongo.command"):
        await driver.find(collection, QUERY)
    assert any('"find"' in message for message in caplog.messages)


async def test_message_right_after_a_reply_only_closes_its_channel(
    notes: tuple[MotorDriver, Any], caplog: pytest.LogCaptureFixture
) -> None:
    driver, collection = notes
    await warm_up(driver, collection)
    [channel] = driver.reads.free
    received = channel.data_received

    def receive_twice(data: bytes) -> None:
        received(data)
        received(data)

    channel.data_received = receive_twice  # type: ignore[method-assign]
    expected = await asyncio.to_thread(find_all, collection.delegate, QUERY)
    assert await driver.find(collection, QUERY) == expected
    assert not channel.is_usable
    assert await driver.find(collection, QUERY) == expected
    assert channel not in driver.reads.channels
    await expect_counts(driver)
    assert not caplog.messages

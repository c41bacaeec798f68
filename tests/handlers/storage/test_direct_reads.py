"""Reads without PyMongo's command path, beside that path: the same commands, documents, errors and pool counts."""

from __future__ import annotations

import asyncio
import gc
import itertools
import logging
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, cast

import bson
import pytest
import pytest_asyncio
from bson import ObjectId
from bson.codec_options import CodecOptions, DatetimeConversion
from hypothesis import given, settings
from hypothesis import strategies as st
from pymongo import MongoClient
from pymongo.errors import AutoReconnect, NetworkTimeout, PyMongoError

from demo.mongod import find_mongod
from demo.ports import free_port
from handlers.storage.direct_reads import MAX_CONNECTIONS, MAX_MESSAGE, DirectReads, _Channel, _CheckedOut
from handlers.storage.motor_driver import MotorDriver
from handlers.storage.reads import Query, find_all
from tests.support.backends import scratch_database
from tests.support.mongodb_relay import Relay, command
from tests.support.profile import examples
from tests.support.waiting import HANG_TIMEOUT, until, until_listening

CODEC: CodecOptions[dict[str, Any]] = CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_MS)
QUERY = Query({"even": True}, fields=("n",), sort=[("n", -1)])


def reads_of(driver: MotorDriver) -> DirectReads:
    return driver._reads


def pool_of(driver: MotorDriver) -> Any:
    (server,) = driver._client.delegate._topology._servers.values()
    return server.pool


async def warm_up(driver: MotorDriver, notes: Any) -> None:
    """Read until a connection is free for direct reads. A release of PyMongo without a name that they use never ends.

    Raises `AssertionError` for such a release.
    """
    async with asyncio.timeout(HANG_TIMEOUT):
        while not reads_of(driver)._idle:
            await driver.find(notes, Query({}, limit=1))
            assert not reads_of(driver)._is_disabled, "this release of PyMongo lacks a name that direct reads use"


async def expect_counts(driver: MotorDriver) -> None:
    """Wait until the pool counts exactly the connections of direct reads as checked out."""
    pool, reads = pool_of(driver), reads_of(driver)
    await until(lambda: not reads._opening and reads._threads._pending == 0)
    expected = [reads.open_connections] * 3
    assert [pool.requests, pool.active_sockets, pool.operation_count] == expected


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
    assert reads_of(driver).open_connections == 1
    await expect_counts(driver)


async def test_server_receives_the_command_of_pymongo_without_a_session(notes: tuple[MotorDriver, Any]) -> None:
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


async def test_concurrent_reads_have_connections_of_their_own_up_to_the_limit(notes: tuple[MotorDriver, Any]) -> None:
    driver, collection = notes
    while reads_of(driver).open_connections < MAX_CONNECTIONS:
        await asyncio.gather(*(driver.find(collection, QUERY) for _ in range(2 * MAX_CONNECTIONS)))
    results = await asyncio.gather(
        *(driver.find(collection, Query({"n": number % 300})) for number in range(10 * MAX_CONNECTIONS))
    )
    assert [documents[0]["n"] for documents in results] == list(range(10 * MAX_CONNECTIONS))
    await expect_counts(driver)
    assert reads_of(driver).open_connections == MAX_CONNECTIONS


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
        Query({"n": {"$in": ["x" * MAX_MESSAGE]}}),
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
    assert reads_of(driver).open_connections == 1
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
            await until(lambda: not reads_of(driver)._idle and not reads_of(driver).open_connections)
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
        await until(lambda: not reads_of(driver).open_connections)
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
        reads_of(driver)._idle[0].checked_out.timeout = 0.01
        relay.hang_at(command("find", "notes"))
        with pytest.raises(NetworkTimeout):
            await driver.find(collection, Query({}))
        await expect_counts(driver)
        assert reads_of(driver).open_connections == 0
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
        assert reads_of(driver).open_connections == 0
        command_.release()
        assert await driver.find(collection, Query({})) == []
        await driver.close()


async def test_connections_of_an_earlier_generation_are_not_used(notes: tuple[MotorDriver, Any]) -> None:
    driver, collection = notes
    await warm_up(driver, collection)
    (before,) = reads_of(driver)._channels
    pool_of(driver).reset_without_pause()
    assert len(await driver.find(collection, QUERY)) == 150
    await warm_up(driver, collection)
    assert before not in reads_of(driver)._channels
    await driver.replace_connections()
    assert not reads_of(driver)._idle
    await expect_counts(driver)


@pytest.mark.parametrize(
    "options",
    [{"compressors": "zlib"}, {"maxPoolSize": 10}, {"maxIdleTimeMS": 60_000}],
    ids=lambda given: next(iter(given)),
)
async def test_unsuitable_clients_read_by_pymongo(mongodb_url: str, options: dict[str, object]) -> None:
    driver = MotorDriver(mongodb_url, options)
    collection = driver.database("test_reads", CODEC)["notes"]
    while not reads_of(driver)._is_disabled:
        assert await driver.find(collection, Query({})) == []
    assert await driver.find(collection, Query({})) == []
    await expect_counts(driver)
    assert (reads_of(driver).open_connections, pool_of(driver).requests) == (0, 0)
    await driver.close()


async def test_release_without_a_private_name_reads_by_pymongo(
    mongodb_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    driver = MotorDriver(mongodb_url, {})
    collection = driver.database("test_reads", CODEC)["notes"]
    monkeypatch.delattr("pymongo.synchronous.mongo_client.MongoClient._conn_for_reads")
    while not reads_of(driver)._is_disabled:
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


class _Unlimited:
    timeout = None

    def is_stale(self) -> bool:
        return False


class _Wire(asyncio.Transport):
    """A transport that records."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def abort(self) -> None:
        """Do nothing."""


def reply_to(request: int, document: dict[str, object], *, operation: int = 2013, flags: int = 0) -> bytes:
    body = bson.encode(document)
    head = [21 + len(body), 7, request, operation]
    return b"".join(number.to_bytes(4, "little") for number in [*head, flags]) + b"\0" + body


def open_channel() -> tuple[_Channel, list[_Channel]]:
    closed: list[_Channel] = []
    channel = _Channel(cast("_CheckedOut", _Unlimited()), closed.append)
    channel.connection_made(_Wire())
    return channel, closed


@given(st.lists(st.integers(0, 200), max_size=6), st.integers(0, 100))
@settings(max_examples=examples(100), deadline=None)
def test_reply_in_any_pieces_is_read_whole(cuts: list[int], size: int) -> None:
    async def read() -> None:
        channel, _ = open_channel()
        for request in (3, 4):
            document = {"ok": 1, "text": "x" * size}
            pending, data = channel.send(b"", request), reply_to(request, document)
            bounds = sorted({0, *(min(cut, len(data)) for cut in cuts), len(data)})
            for start, end in itertools.pairwise(bounds):
                channel.data_received(data[start:end])
            assert bson.decode(await pending) == document

    asyncio.run(read())


@pytest.mark.parametrize(
    "data",
    [
        reply_to(4, {"ok": 1}),
        reply_to(3, {"ok": 1}, operation=1),
        reply_to(3, {"ok": 1}, flags=2),
        reply_to(3, {"ok": 1}) + b"more",
    ],
    ids=["another request's", "operation", "flags", "surplus"],
)
async def test_other_replies_fail_the_read(data: bytes) -> None:
    channel, _ = open_channel()
    pending = channel.send(b"", 3)
    channel.data_received(data)
    with pytest.raises(AutoReconnect):
        await pending
    assert not channel.is_usable


async def test_unasked_message_closes_a_free_channel() -> None:
    channel, closed = open_channel()
    channel.data_received(reply_to(3, {"ok": 1}))
    channel.connection_lost(None)
    assert closed == [channel]
    assert not channel.is_usable


@pytest.mark.parametrize("ends", [_Channel.close, lambda channel: channel.data_received(reply_to(3, {"ok": 1}))])
async def test_lost_connection_of_a_cancelled_read_is_not_logged(
    ends: Callable[[_Channel], None], caplog: pytest.LogCaptureFixture
) -> None:
    channel, _ = open_channel()
    channel.send(b"", 3).cancel()
    ends(channel)
    channel.connection_lost(None)
    gc.collect()
    assert not caplog.messages

"""Reads without PyMongo's command path, beside that path: the same commands, documents, errors and pool counts."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import uvloop
from bson import ObjectId
from pymongo import AsyncMongoClient, MongoClient
from pymongo.network_layer import AsyncNetworkingInterface

from handlers.storage.borrowed_connection import MAX_BORROWED
from handlers.storage.motor_driver import MotorDriver
from handlers.storage.reads import Query
from handlers.storage.reply_channel import MAX_COMMAND
from tests.support.backends import scratch_database
from tests.support.certificates import Authority, needs_openssl
from tests.support.direct_reads import (
    CODEC,
    DirectDriver,
    OpenDriver,
    expect_counts,
    find_by_pymongo,
    running_mongod,
    warm_up,
)
from tests.support.profile import examples
from tests.support.waiting import HANG_TIMEOUT, until

QUERY = Query({"even": True}, fields=("n",), sort=[("n", -1)])
AT_ONCE = examples(1_000)
LOOPS = {"uvloop": uvloop.new_event_loop}  # tests of the store read on asyncio's own loop
Notes: TypeAlias = tuple[DirectDriver, Any]


async def reset_without_pause(driver: DirectDriver) -> None:
    """Clear the pool."""
    [pool] = driver.pools
    done = pool.reset_without_pause()
    if done is not None:
        await done


@pytest.fixture
async def notes(mongodb_url: str, open_direct: OpenDriver) -> AsyncIterator[Notes]:
    with scratch_database(mongodb_url) as database:
        documents = [{"_id": ObjectId(), "n": number, "even": number % 2 == 0} for number in range(300)]
        database["notes"].insert_many(documents)
        driver = open_direct(mongodb_url, {})
        yield driver, driver.database(database.name, CODEC)["notes"]


async def test_documents_are_those_of_pymongo(notes: Notes) -> None:
    driver, collection = notes
    await warm_up(driver, collection)
    for query in (QUERY, Query({}), Query({"n": -1}), QUERY._replace(limit=3, skip=1)):
        assert await driver.find(collection, query) == await find_by_pymongo(collection, query)
    assert len(driver.reads.channels) == 1
    await expect_counts(driver)


async def test_server_receives_pymongos_command_without_a_session(notes: Notes) -> None:
    driver, collection = notes
    await warm_up(driver, collection)
    database = collection.database
    await database.command("profile", 2)
    await driver.find(collection, QUERY)
    await find_by_pymongo(collection, QUERY)
    await database.command("profile", 0)
    entries = await database["system.profile"].find({"op": "query"}).sort("ts").to_list(None)
    direct, public = (entry["command"] for entry in entries)
    assert {"lsid", "$clusterTime", "maxTimeMS"} <= public.keys()
    assert not {"lsid", "$clusterTime"} & direct.keys()
    assert 0 < direct.pop("maxTimeMS") - public.pop("maxTimeMS") < HANG_TIMEOUT * 1000
    assert list(direct.items()) == [pair for pair in public.items() if pair[0] not in ("lsid", "$clusterTime")]


async def test_concurrent_reads_have_connections_of_their_own(notes: Notes) -> None:
    driver, collection = notes
    while len(driver.reads.channels) < MAX_BORROWED:
        await asyncio.gather(*(driver.find(collection, QUERY) for _ in range(2 * MAX_BORROWED)))
    results = await asyncio.gather(*(driver.find(collection, Query({"n": number % 300})) for number in range(AT_ONCE)))
    assert [documents[0]["n"] for documents in results] == [number % 300 for number in range(AT_ONCE)]
    await expect_counts(driver)
    assert len(driver.reads.channels) == MAX_BORROWED


async def test_read_on_another_loop_ends_as_pymongos(notes: Notes) -> None:
    driver, collection = notes
    await warm_up(driver, collection)

    async def outcome(read: Callable[..., Awaitable[object]], *arguments: object) -> object:
        try:
            async with asyncio.timeout(HANG_TIMEOUT):
                return await read(*arguments)
        except RuntimeError as error:
            return type(error)

    def on_another_loop(read: Callable[..., Awaitable[object]], *arguments: object) -> object:
        return asyncio.run(outcome(read, *arguments))

    expected = await asyncio.to_thread(on_another_loop, find_by_pymongo, collection, QUERY)
    for is_free in (True, False):  # without a free channel, a read opens one
        channels = [*driver.reads.free] if is_free else []
        driver.reads.free[:] = channels
        before = set(driver.reads.channels)
        assert await asyncio.to_thread(on_another_loop, driver.find, collection, QUERY) == expected
        assert (list(driver.reads.free), driver.reads.channels) == (channels, before)


async def test_results_beyond_one_reply_are_complete(notes: Notes) -> None:
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
async def test_refused_queries_raise_the_errors_of_pymongo(notes: Notes, query: Query) -> None:
    driver, collection = notes
    await warm_up(driver, collection)
    outcomes: list[object] = []
    for read in (driver.find(collection, query), find_by_pymongo(collection, query)):
        try:
            outcomes.append(await read)
        except Exception as error:
            outcomes.append(type(error))
    assert outcomes[0] == outcomes[1]
    assert len(driver.reads.channels) == 1
    assert await driver.find(collection, QUERY)
    await expect_counts(driver)


async def test_transport_that_still_reads_does_not_take_the_replies(notes: Notes) -> None:
    driver, collection = notes
    await driver.find(collection, QUERY)
    for connection in driver.pools[0].conns:
        if isinstance(connection.conn, AsyncNetworkingInterface):
            connection.conn.get_conn.transport.resume_reading()
    await until(lambda: bool(driver.reads.free))
    async with asyncio.timeout(HANG_TIMEOUT / 2):
        assert len(await driver.find(collection, QUERY)) == 150
    assert len(driver.reads.channels) == 1


@pytest.fixture(scope="module")
def encrypted_mongod(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """Return the URL of a MongoDB with encrypted connections only, and the certificate of its authority."""
    directory = tmp_path_factory.mktemp("encrypted")
    authority = Authority(directory)
    pem = directory / "localhost.pem"
    pem.write_text("".join(file.read_text() for file in authority.issue("localhost")))
    (directory / "data").mkdir()
    options = ("--tlsMode", "requireTLS", "--tlsCertificateKeyFile", str(pem))
    with running_mongod(directory / "data", *options) as port:
        yield f"mongodb://localhost:{port}/", authority.ca


@needs_openssl
async def test_encrypted_connections_are_not_borrowed(
    encrypted_mongod: tuple[str, Path], open_direct: OpenDriver
) -> None:
    url, certificate = encrypted_mongod
    driver = open_direct(url, {"tls": True, "tlsCAFile": str(certificate)})
    collection = driver.database("test", CODEC)["notes"]
    while not driver.reads.is_disabled:
        assert await driver.find(collection, Query({})) == []
    assert not driver.reads.channels


async def test_connections_of_an_earlier_generation_are_not_used(notes: Notes) -> None:
    driver, collection = notes
    await warm_up(driver, collection)
    (before,) = driver.reads.channels
    await reset_without_pause(driver)
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
async def test_unsuitable_clients_read_by_pymongo(
    mongodb_url: str, open_direct: OpenDriver, options: dict[str, object]
) -> None:
    driver = open_direct(mongodb_url, options)
    collection = driver.database("test_reads", CODEC)["notes"]
    while not driver.reads.is_disabled:
        assert await driver.find(collection, Query({})) == []
    assert await driver.find(collection, Query({})) == []
    await expect_counts(driver)
    assert (len(driver.reads.channels), driver.pools[0].requests) == (0, 0)


async def test_release_without_a_private_name_reads_by_pymongo(
    mongodb_url: str, open_direct: OpenDriver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    driver = open_direct(mongodb_url, {})
    collection = driver.database("test_reads", CODEC)["notes"]
    monkeypatch.delattr(MongoClient if isinstance(driver, MotorDriver) else AsyncMongoClient, "_conn_for_reads")
    while not driver.reads.is_disabled:
        assert await driver.find(collection, Query({})) == []
    assert await driver.find(collection, Query({})) == []
    assert caplog.messages == ["PyMongo reads everything, more slowly: AttributeError"]
    monkeypatch.undo()  # PyMongo needs the name to close


async def test_logged_commands_are_sent_by_pymongo(notes: Notes, caplog: pytest.LogCaptureFixture) -> None:
    driver, collection = notes
    await warm_up(driver, collection)
    with caplog.at_level(logging.DEBUG, "pymongo.command"):
        await driver.find(collection, QUERY)
    assert any('"find"' in message for message in caplog.messages)

"""Queries as commands: their fields, what is repeated with a cursor, and results larger than a reply."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from bson import ObjectId
from pymongo import ReadPreference
from pymongo.errors import (
    AutoReconnect,
    ConfigurationError,
    DuplicateKeyError,
    NetworkTimeout,
    NotPrimaryError,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
)
from pymongo.read_preferences import Secondary

from handlers.storage.driver import DRIVERS, Driver, DriverName
from handlers.storage.driver_choice import open_driver
from handlers.storage.reads import BATCH, Query, is_retryable
from tests.support.backends import scratch_database
from tests.support.mongodb_relay import Relay, collect_abandoned_sockets


def test_command_contains_given_options_only() -> None:
    assert Query({"a": 1}).command("notes") == {"find": "notes", "filter": {"a": 1}, "batchSize": BATCH}
    query = Query({}, fields=("a",), sort=[("b", -1), ("_id", 1)], limit=2, skip=3)
    assert query.command("notes") == {
        "find": "notes",
        "filter": {},
        "batchSize": BATCH,
        "projection": {"a": 1},
        "sort": {"b": -1, "_id": 1},
        "showRecordId": True,
        "skip": 3,
        "limit": 2,
        "singleBatch": True,
    }


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (AutoReconnect(), True),
        (NotPrimaryError(), True),
        (OperationFailure("", 11600), True),
        (NetworkTimeout(), False),
        (ServerSelectionTimeoutError(), False),
        (OperationFailure("", 2), False),
        (OperationFailure("", 50), False),
        (DuplicateKeyError(""), False),
        (ConfigurationError(), False),
    ],
)
def test_retryable_errors_are_the_transient_ones(error: PyMongoError, expected: bool) -> None:
    assert is_retryable(error) is expected


@pytest.fixture(params=DRIVERS)
async def collection(mongodb_url: str, request: pytest.FixtureRequest) -> AsyncIterator[tuple[Driver, Any]]:
    with scratch_database(mongodb_url) as database:
        driver = open_driver(request.param, mongodb_url, {})
        yield driver, driver.database(database.name)["notes"]
        await driver.close()


@pytest.mark.parametrize("mode", [ReadPreference.PRIMARY, ReadPreference.PRIMARY_PREFERRED])
async def test_commands_and_cursors_return_the_same(collection: tuple[Driver, Any], mode: Secondary) -> None:
    driver, notes = collection
    await notes.insert_many([{"_id": ObjectId(), "n": number, "even": number % 2 == 0} for number in range(300)])
    chosen = notes.with_options(read_preference=mode)
    query = Query({"even": True}, fields=("n",), sort=[("n", -1)], limit=3, skip=1)
    assert [document["n"] for document in await driver.find(chosen, query)] == [296, 294, 292]
    assert all("$recordId" in document for document in await driver.find(chosen, query))
    assert len(await driver.find(chosen, Query({}))) == 300
    assert await driver.find(chosen, Query({"n": -1})) == []


@pytest.mark.parametrize("name", DRIVERS)
async def test_read_on_a_lost_connection_is_repeated(mongodb_url: str, name: DriverName) -> None:
    with Relay(mongodb_url) as relay:
        relay.mend()
        driver = open_driver(name, relay.url, {"serverSelectionTimeoutMS": 10_000})
        notes = driver.database("test_reads")["notes"]
        for _ in range(3):
            assert await driver.find(notes, Query({})) == []
            relay.cut()
            relay.mend()
        assert await driver.find(notes, Query({})) == []
        await driver.close()
        collect_abandoned_sockets()


async def test_results_beyond_one_reply_are_complete(collection: tuple[Driver, Any]) -> None:
    driver, notes = collection
    for number in range(3):
        await notes.insert_many([{"_id": 10 * number + each, "text": "x" * 1_000_000} for each in range(6)])
    documents = await driver.find(notes, Query({}, sort=[("_id", 1)]))
    assert [document["_id"] for document in documents] == [*range(6), *range(10, 16), *range(20, 26)]

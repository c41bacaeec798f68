"""Drivers whose reads are direct, and what to compare these reads with."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from bson.codec_options import CodecOptions, DatetimeConversion
from pymongo.asynchronous.collection import AsyncCollection

from demo.mongod import find_mongod
from demo.ports import free_port
from handlers.storage.driver import DRIVERS, DriverName
from handlers.storage.driver_choice import open_driver
from handlers.storage.motor_driver import MotorDriver
from handlers.storage.pymongo_driver import PyMongoDriver
from handlers.storage.reads import Query, find_all, find_all_async
from tests.support.waiting import HANG_TIMEOUT, until, until_listening

CODEC: CodecOptions[dict[str, Any]] = CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_MS)
DirectDriver: TypeAlias = MotorDriver | PyMongoDriver
OpenDriver: TypeAlias = Callable[..., DirectDriver]


@pytest.fixture(params=DRIVERS)
async def open_direct(request: pytest.FixtureRequest) -> AsyncIterator[OpenDriver]:
    """Return a function that opens a driver by its URL and options, which is closed after the test."""
    name: DriverName = request.param
    drivers: list[DirectDriver] = []

    def open_one(url: str, options: dict[str, object]) -> DirectDriver:
        driver = open_driver(name, url, {"timeoutMS": int(HANG_TIMEOUT * 1000), **options})
        assert isinstance(driver, DirectDriver)
        drivers.append(driver)
        return driver

    yield open_one
    for driver in drivers:
        await driver.close()


async def warm_up(driver: DirectDriver, notes: Any) -> None:
    """Read until a connection is free for direct reads. A release of PyMongo without a name that they use never ends.

    Raises `AssertionError` for such a release.
    """
    async with asyncio.timeout(HANG_TIMEOUT):
        while not driver.reads.free:
            await driver.find(notes, Query({}, limit=1))
            assert not driver.reads.is_disabled, "this release of PyMongo lacks a name that direct reads use"


async def expect_counts(driver: DirectDriver) -> None:
    """Wait until the pool counts exactly the connections of direct reads as checked out."""
    [pool] = driver.pools
    await until(lambda: [pool.requests, pool.active_sockets, pool.operation_count] == [len(driver.reads.channels)] * 3)


async def find_by_pymongo(collection: Any, query: Query) -> list[dict[str, Any]]:
    """Return the matches by PyMongo alone."""
    if isinstance(collection, AsyncCollection):
        return await find_all_async(collection, query)
    return await asyncio.to_thread(find_all, collection.delegate, query)


@contextlib.contextmanager
def running_mongod(data: Path, *options: str) -> Iterator[int]:
    """Run a mongod that is no replica set; yield its port."""
    program, port = find_mongod(), free_port()
    if program is None:
        pytest.skip("no mongod to start")
    common = ("--bind_ip", "127.0.0.1", "--nounixsocket", "--dbpath", str(data), "--port", str(port))
    mongod = subprocess.Popen([program, *common, *options], stdout=subprocess.DEVNULL)
    try:
        asyncio.run(until_listening(port))
        yield port
    finally:
        mongod.kill()
        mongod.wait()

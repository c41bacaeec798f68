"""Both drivers on a real MongoDB that was not always available."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId
from pymongo import MongoClient

from demo.mongod import find_mongod
from demo.ports import free_port
from handlers.storage.circuit_breaker import BreakerTimings
from handlers.storage.driver import DRIVERS
from handlers.storage.store import Store
from tests.support.waiting import HANG_TIMEOUT


@pytest.mark.skipif(find_mongod() is None, reason="no mongod to start")
async def test_connections_opened_before_the_replica_set_are_replaced(tmp_path: Path) -> None:
    # A connection learns once, when it is opened, if its server supports sessions.
    program, port = find_mongod(), free_port()
    assert program is not None
    options = ("--replSet", "rs", "--bind_ip", "127.0.0.1", "--nounixsocket", "--dbpath", str(tmp_path))
    mongod = await asyncio.create_subprocess_exec(
        program, "--port", str(port), *options, stdout=asyncio.subprocess.DEVNULL
    )
    url, timings = f"mongodb://127.0.0.1:{port}/?directConnection=true", BreakerTimings(silence=HANG_TIMEOUT)
    stores = [Store(url, name, timeout=HANG_TIMEOUT, driver=name, breaker_timings=timings) for name in DRIVERS]
    try:
        await asyncio.to_thread(_wait_until_it_answers, port)
        for store in stores:
            await asyncio.gather(*(store.ping() for _ in range(20)))
        await asyncio.to_thread(_initiate, port)
        for store in stores:
            async with store.dry_run(20):
                await store.notes.insert({"_id": ObjectId()})
            await store.run_in_transaction(partial(store.notes.insert, {"_id": ObjectId()}))
            assert len(await store.notes.find({})) == 1
    finally:
        await asyncio.gather(*(store.close() for store in stores))
        mongod.kill()
        await mongod.wait()


def _wait_until_it_answers(port: int) -> None:
    """Wait without a store, whose circuit breaker would open until there is a primary."""
    with MongoClient[dict[str, Any]](f"mongodb://127.0.0.1:{port}/?directConnection=true") as client:
        client.admin.command("ping")


def _initiate(port: int) -> None:
    members = [{"_id": 0, "host": f"127.0.0.1:{port}"}]
    with MongoClient[dict[str, Any]](f"mongodb://127.0.0.1:{port}/?directConnection=true") as client:
        client.admin.command("replSetInitiate", {"_id": "rs", "members": members})
        while not client.admin.command("hello")["isWritablePrimary"]:
            pass

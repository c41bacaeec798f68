"""The list of logged-out tokens: look-ups, also within a transaction, and removal of expired tokens."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from bson import ObjectId
from pymongo.database import Database

from handlers.services.token_blocklist import TokenBlocklist
from handlers.storage.store import Store
from tests.support.backends import scratch_database, token_of


@pytest.fixture
def database(mongodb_url: str) -> Iterator[Database[dict[str, Any]]]:
    with scratch_database(mongodb_url) as made:
        yield made


@contextlib.asynccontextmanager
async def blocklist_of(
    mongodb_url: str, database: str, sweep_interval: float = 60
) -> AsyncIterator[tuple[TokenBlocklist, Store]]:
    store = Store(mongodb_url, database)
    blocklist = TokenBlocklist(store.blacktokens, 3600, store.now, sweep_interval=sweep_interval)
    try:
        yield blocklist, store
    finally:
        await blocklist.close()
        await store.close()


async def test_concurrent_lookups_are_batched(database: Database[dict[str, Any]], mongodb_url: str) -> None:
    async with blocklist_of(mongodb_url, database.name) as (blocklist, _):
        await blocklist.revoke("listed")
        tokens = ["listed", "other", "listed", "third"]
        assert await asyncio.gather(*map(blocklist.is_revoked, tokens)) == [True, False, True, False]


async def test_lookup_works_within_a_transaction(database: Database[dict[str, Any]], mongodb_url: str) -> None:
    async with blocklist_of(mongodb_url, database.name) as (blocklist, store):
        await store.ping()
        assert store.has_transactions

        async def work() -> list[bool]:
            await blocklist.revoke("listed")
            return [await blocklist.is_revoked("listed"), await blocklist.is_revoked("other")]

        assert await store.run_in_transaction(work) == [True, False]


def long_ago(number: int) -> ObjectId:
    return ObjectId(ObjectId.from_datetime(datetime(2020, 1, 1)).binary[:4] + number.to_bytes(8, "big"))


async def test_expired_tokens_are_deleted(database: Database[dict[str, Any]], mongodb_url: str) -> None:
    past, future = int(time.time()) - 10, int(time.time()) + 1000
    database.blacktokens.insert_many(
        [
            {"_id": long_ago(1), "blackToken": token_of({"exp": past})},
            {"_id": long_ago(2), "blackToken": token_of({"exp": future})},
            {"_id": long_ago(3), "blackToken": token_of({})},
            {"_id": long_ago(4), "blackToken": "no token at all"},
            {"_id": long_ago(5)},
            {"_id": ObjectId(), "blackToken": token_of({"exp": past})},
            *({"_id": long_ago(number), "blackToken": "x"} for number in range(100, 350)),
        ]
    )
    async with blocklist_of(mongodb_url, database.name) as (blocklist, _):
        assert await blocklist.remove_expired() == 253
        assert await blocklist.remove_expired() == 0
    left = {document["_id"] for document in database.blacktokens.find()}
    assert {long_ago(2), long_ago(3)} < left
    assert len(left) == 3


@pytest.mark.parametrize("ahead", ["process", "database"])
async def test_clock_a_day_ahead_deletes_nothing(
    database: Database[dict[str, Any]], mongodb_url: str, ahead: str
) -> None:
    now = time.time()
    issued = ObjectId(ObjectId.from_datetime(datetime.fromtimestamp(now - 60, UTC)).binary[:4] + bytes(8))
    database.blacktokens.insert_one({"_id": issued, "blackToken": token_of({"exp": int(now) + 3540})})

    async def tomorrow() -> float:
        return now + 86_400

    async with blocklist_of(mongodb_url, database.name) as (blocklist, store):
        assert abs(await store.now() - now) < 60
        if ahead == "process":
            blocklist = TokenBlocklist(store.blacktokens, 3600, store.now, time=lambda: now + 86_400)
        else:
            blocklist = TokenBlocklist(store.blacktokens, 3600, tomorrow)
        assert await blocklist.remove_expired() == 0
    assert database.blacktokens.count_documents({}) == 1


async def test_expired_tokens_are_swept_repeatedly(
    database: Database[dict[str, Any]],
    mongodb_url: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    async with blocklist_of(mongodb_url, database.name, sweep_interval=0.01) as (blocklist, store):
        blocklist.start()
        for number in range(2):
            database.blacktokens.insert_one({"_id": long_ago(number), "blackToken": "x"})
            while database.blacktokens.count_documents({}):
                await asyncio.sleep(0.01)
        await store.close()
        while "expired tokens stay listed for now" not in caplog.text:
            await asyncio.sleep(0.01)

"""Dry runs on a real MongoDB read their own writes, continue after refusals, store nothing and lock briefly."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final

import pytest
import pytest_asyncio
from bson import ObjectId
from pymongo.database import Database

from handlers.storage.driver import DRIVERS
from handlers.storage.dry_run import DryRunTransaction
from handlers.storage.errors import DuplicateError, RefusedError, UnavailableError
from handlers.storage.store import Store
from tests.support.backends import scratch_database
from tests.support.dry_runs import NoProcesses, whole
from tests.support.mongodb_relay import Relay, command
from tests.support.waiting import HANG_TIMEOUT, PROMPT_TIMEOUT

A, B = ObjectId(), ObjectId()
Documents = Database[dict[str, Any]]


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def scratch(mongodb_url: str) -> Iterator[Documents]:
    with scratch_database(mongodb_url) as mongo_database:
        yield mongo_database


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=DRIVERS)
async def store(mongodb_url: str, scratch: Documents, request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    opened = Store(mongodb_url, scratch.name, driver=request.param)
    await opened.ping()
    yield opened
    await opened.close()


@pytest.fixture
def database(scratch: Documents) -> Documents:
    """Return a database with one note and no other collection."""
    for name in scratch.list_collection_names():
        scratch.drop_collection(name)
    scratch["notes"].insert_one({"_id": A, "n": 0})
    return scratch


def writes_of(dry_run: DryRunTransaction) -> list[tuple[str, str, Any]]:
    return [(write.operation, write.collection, dict(write.fields)) for write in dry_run.writes]


LIMITS: Final = (2.0, 10.0)
"""Seconds of a dry run that a test lets expire: the first in which a busy machine begins it and writes."""


async def begin_dry_run(stack: contextlib.AsyncExitStack, store: Store) -> DryRunTransaction:
    """Return a dry run on `stack` that has written the note."""
    for limit in LIMITS:
        transaction = await stack.enter_async_context(store.dry_run(limit))
        with contextlib.suppress(UnavailableError):
            await store.notes.update_one({"_id": A}, {"$set": {"n": 1}})
            return transaction
        await stack.aclose()
    raise TimeoutError


def seconds_to_write(database: Documents) -> float:
    """Return the duration of another client's write of the same document."""
    began = time.monotonic()
    database["notes"].update_one({"_id": A}, {"$inc": {"others": 1}})
    return time.monotonic() - began


async def test_dry_run_reads_its_writes_and_stores_nothing(store: Store, database: Documents) -> None:
    before = whole(database)
    async with store.dry_run(60) as dry_run:
        await store.notes.insert({"_id": B})
        assert await store.notes.update_one({"_id": B}, {"$set": {"n": 1}}) == 1
        assert await store.notes.get(B) == {"_id": B, "n": 1}
        assert await store.notes.update_one({"_id": ObjectId()}, {"$set": {"n": 1}}) == 0
        assert await store.notes.update_and_get({"_id": A}, {"$inc": {"n": 1}}) == {"_id": A, "n": 1}
        assert await store.notes.delete({"_id": A}) == 1
        assert await store.notes.find({}) == [{"_id": B, "n": 1}]
        await store.prompts.insert({"_id": B})
    assert writes_of(dry_run) == [
        ("insert", "notes", {"document": {"_id": B}}),
        ("update", "notes", {"filter": {"_id": B}, "update": {"$set": {"n": 1}}}),
        ("update", "notes", {"filter": {"_id": A}, "update": {"$inc": {"n": 1}}}),
        ("delete", "notes", {"filter": {"_id": A}}),
        ("insert", "prompts", {"document": {"_id": B}}),
    ]
    assert not dry_run.outcome_unknown
    assert whole(database) == before
    assert await store.notes.get(B) is None


async def test_uncommitted_writes_are_invisible_outside(store: Store, database: Documents) -> None:
    async def read_outside() -> object:
        await written.wait()
        return await store.notes.get(B)

    written = asyncio.Event()
    outside = asyncio.create_task(read_outside())
    async with store.dry_run(60):
        await store.notes.insert({"_id": B})
        written.set()
        inside, other = await asyncio.gather(store.notes.get(B), outside)
    assert (inside, other) == ({"_id": B}, None)


async def test_dry_run_continues_after_a_duplicate(store: Store, database: Documents) -> None:
    await store.make_indexes()
    database["users"].insert_one({"_id": A, "email": "a@b"})
    before = whole(database)
    async with store.dry_run(60) as dry_run:
        await store.notes.insert({"_id": B})
        with pytest.raises(DuplicateError):
            await store.users.insert({"_id": B, "email": "a@b"})
        with pytest.raises(RefusedError):
            await store.notes.find({"$nonsense": 1})
        assert await store.notes.get(B) == {"_id": B}
        await store.notes.update_one({"_id": B}, {"$set": {"n": 2}})
        assert await store.notes.get(B) == {"_id": B, "n": 2}
    assert [write.operation for write in dry_run.writes] == ["insert", "update"]
    assert whole(database) == before


async def test_failed_transaction_reverts_within_the_dry_run(store: Store, database: Documents) -> None:
    async def stumble() -> None:
        await store.notes.insert({"_id": B})
        raise LookupError("own")

    async def write() -> str:
        await store.prompts.insert({"_id": B})
        return "done"

    async with store.dry_run(60) as dry_run:
        await store.notes.update_one({"_id": A}, {"$set": {"n": 1}})
        with pytest.raises(LookupError):
            await store.run_in_transaction(stumble)
        assert await store.notes.find({}) == [{"_id": A, "n": 1}]
        with pytest.raises(LookupError):
            await store.run_in_transaction(_nothing_but_an_error)
        assert await store.run_in_transaction(write) == "done"
    assert [write.collection for write in dry_run.writes] == ["notes", "prompts"]


async def _nothing_but_an_error() -> None:
    raise LookupError("own")


async def test_concurrent_operations_are_serialised(store: Store, database: Documents) -> None:
    async with store.dry_run(60) as dry_run:
        await asyncio.gather(*(store.notes.insert({"_id": number}) for number in range(20)))
        assert len(await store.notes.find({})) == 21
    assert len(dry_run.writes) == 20


async def test_operations_use_the_session_one_at_a_time(store: Store) -> None:
    at_once: list[int] = []
    running = 0

    async def operation(_: object) -> None:
        nonlocal running
        running += 1
        at_once.append(running)
        await asyncio.sleep(0)
        running -= 1

    async with store.dry_run(HANG_TIMEOUT) as transaction:
        await asyncio.gather(*(transaction.execute(operation) for _ in range(5)))
    assert at_once == [1] * 5


async def test_conflict_is_waited_for_and_earlier_writes_are_repeated(store: Store, database: Documents) -> None:
    with database.client.start_session() as session, session.start_transaction():
        database["notes"].update_one({"_id": A}, {"$set": {"n": 7}}, session=session)
        async with store.dry_run(60) as dry_run:
            await store.prompts.insert({"_id": B})
            writing = asyncio.create_task(store.notes.update_and_get({"_id": A}, {"$inc": {"n": 1}}))
            await asyncio.sleep(0.1)
            assert not writing.done()
            await asyncio.to_thread(session.commit_transaction)
            assert await writing == {"_id": A, "n": 8}
            assert await store.prompts.get(B) == {"_id": B}
    assert [write.collection for write in dry_run.writes] == ["prompts", "notes"]
    assert database["notes"].find_one() == {"_id": A, "n": 7}


async def test_lasting_conflict_ends_the_dry_run(store: Store, database: Documents) -> None:
    with database.client.start_session() as session, session.start_transaction():
        database["notes"].update_one({"_id": A}, {"$set": {"n": 7}}, session=session)
        began = time.monotonic()
        async with store.dry_run(0.1) as dry_run:
            with pytest.raises(UnavailableError):
                await store.notes.update_one({"_id": A}, {"$set": {"n": 1}})
            with pytest.raises(UnavailableError, match="deadline"):
                await store.notes.find({})
        assert dry_run.outcome_unknown
        assert time.monotonic() - began < PROMPT_TIMEOUT


async def test_dry_run_blocks_other_writes_until_its_end_only(store: Store, database: Documents) -> None:
    async with store.dry_run(60):
        await store.notes.update_one({"_id": A}, {"$set": {"n": 1}})
        waiting = asyncio.create_task(asyncio.to_thread(seconds_to_write, database))
        await asyncio.sleep(0.1)
        assert not waiting.done()
    assert await waiting < PROMPT_TIMEOUT
    assert database["notes"].find_one() == {"_id": A, "n": 0, "others": 1}


async def test_cancellation_within_an_operation_aborts_at_once(store: Store, database: Documents) -> None:
    before = whole(database)

    async def work() -> None:
        async with store.dry_run(60):
            while True:
                await store.notes.update_one({"_id": A}, {"$inc": {"n": 1}})

    for pause in (0.0, 0.002, 0.004, 0.006, 0.008, 0.01, 0.02):
        task = asyncio.create_task(work())
        await asyncio.sleep(pause)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert whole(database) == before
    assert await asyncio.to_thread(seconds_to_write, database) < PROMPT_TIMEOUT


async def test_second_cancellation_still_aborts(store: Store, database: Documents) -> None:
    async def work() -> None:
        async with store.dry_run(60):
            await store.notes.update_one({"_id": A}, {"$inc": {"n": 1}})
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await asyncio.sleep(0.05)
    task.cancel()
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert await asyncio.to_thread(seconds_to_write, database) < PROMPT_TIMEOUT
    assert database["notes"].find_one() == {"_id": A, "n": 0, "others": 1}


async def test_write_after_the_end_is_refused(store: Store, database: Documents) -> None:
    async def come_late(over: asyncio.Event) -> None:
        await over.wait()
        await store.notes.insert({"_id": B})

    over = asyncio.Event()
    async with store.dry_run(60):
        late = asyncio.create_task(come_late(over))
        await store.notes.update_one({"_id": A}, {"$set": {"n": 1}})
    over.set()
    with pytest.raises(UnavailableError, match="deadline"):
        await late
    assert list(database["notes"].find()) == [{"_id": A, "n": 0}]


async def test_dry_run_without_operations_begins_no_transaction(store: Store, database: Documents) -> None:
    async with store.dry_run(60) as dry_run:
        pass
    assert (dry_run.has_begun, list(dry_run.writes)) == (False, [])


async def test_missing_reaper_refuses_the_dry_run(mongodb_url: str, database: Documents) -> None:
    store = Store(mongodb_url, database.name, reaper=NoProcesses(mongodb_url))
    try:
        async with store.dry_run(60) as dry_run:
            with pytest.raises(UnavailableError, match="no reaper"):
                await store.notes.insert({"_id": B})
    finally:
        await store.close()
    assert (dry_run.has_begun, dry_run.outcome_unknown) == (False, True)
    assert list(database["notes"].find()) == [{"_id": A, "n": 0}]


async def test_slow_abort_is_handed_to_the_reaper(store: Store, database: Documents) -> None:
    async with store.dry_run(60, max_abort_duration=0):
        await store.notes.update_one({"_id": A}, {"$set": {"n": 1}})
    assert await asyncio.to_thread(seconds_to_write, database) < PROMPT_TIMEOUT
    async with store.dry_run(60):
        assert await store.notes.get(A) == {"_id": A, "n": 0, "others": 1}


async def test_broken_connection_is_aborted_by_the_reaper(mongodb_url: str, database: Documents) -> None:
    # The server may have begun an operation whose reply was lost, and cannot be reached until it is reconnected.
    with Relay(mongodb_url) as relay:
        relay.mend()
        store = Store(relay.url, database.name)
        try:
            async with contextlib.AsyncExitStack() as stack:
                dry_run = await begin_dry_run(stack, store)
                relay.cut_at(command("insert", "prompts"))
                with pytest.raises(UnavailableError):
                    await store.prompts.insert({"_id": B})
            assert dry_run.outcome_unknown
            waiting = asyncio.create_task(asyncio.to_thread(seconds_to_write, database))
            relay.mend()
            assert await waiting < PROMPT_TIMEOUT
            assert database["notes"].find_one() == {"_id": A, "n": 0, "others": 1}
        finally:
            await store.close()


async def test_stopped_process_blocks_no_other_write(store: Store, database: Documents) -> None:
    waited: list[float] = []
    other = threading.Thread(target=lambda: waited.append(seconds_to_write(database)))
    async with contextlib.AsyncExitStack() as stack:
        dry_run = await begin_dry_run(stack, store)
        other.start()
        other.join(HANG_TIMEOUT)  # blocks the event loop, like a handler that computes
        assert waited[0] < PROMPT_TIMEOUT
        with pytest.raises(UnavailableError):
            await store.notes.get(A)
    assert dry_run.outcome_unknown
    assert database["notes"].find_one() == {"_id": A, "n": 0, "others": 1}
    async with store.dry_run(60):
        assert await store.notes.get(A) == {"_id": A, "n": 0, "others": 1}

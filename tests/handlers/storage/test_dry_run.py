"""Dry runs on a real MongoDB read their own writes, continue after refusals, store nothing and lock briefly."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

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
from tests.support.line import Line, command
from tests.support.waiting import HANG_TIMEOUT, PROMPT_TIMEOUT

A, B = ObjectId(), ObjectId()
Documents = Database[dict[str, Any]]


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def scratch(mongodb_url: str) -> Iterator[Documents]:
    with scratch_database(mongodb_url) as found:
        yield found


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


def told(dry_run: DryRunTransaction) -> list[tuple[str, str, Any]]:
    return [(write.operation, write.collection, dict(write.fields)) for write in dry_run.writes]


def seconds_to_write(database: Documents) -> float:
    """Return the duration of another client's write of the same document."""
    began = time.monotonic()
    database["notes"].update_one({"_id": A}, {"$inc": {"others": 1}})
    return time.monotonic() - began


async def test_reads_what_it_wrote_and_leaves_nothing(store: Store, database: Documents) -> None:
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
    assert told(dry_run) == [
        ("insert", "notes", {"document": {"_id": B}}),
        ("update", "notes", {"filter": {"_id": B}, "update": {"$set": {"n": 1}}}),
        ("update", "notes", {"filter": {"_id": A}, "update": {"$inc": {"n": 1}}}),
        ("delete", "notes", {"filter": {"_id": A}}),
        ("insert", "prompts", {"document": {"_id": B}}),
    ]
    assert not dry_run.outcome_unknown
    assert whole(database) == before
    assert await store.notes.get(B) is None


async def test_others_see_nothing_of_it(store: Store, database: Documents) -> None:
    async def look_outside() -> object:
        await written.wait()
        return await store.notes.get(B)

    written = asyncio.Event()
    outside = asyncio.create_task(look_outside())
    async with store.dry_run(60):
        await store.notes.insert({"_id": B})
        written.set()
        inside, other = await asyncio.gather(store.notes.get(B), outside)
    assert (inside, other) == ({"_id": B}, None)


async def test_goes_on_after_a_refusal(store: Store, database: Documents) -> None:
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


async def test_what_fails_as_a_whole_is_taken_back_as_a_whole(store: Store, database: Documents) -> None:
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


async def test_operations_asked_at_the_same_time_take_turns(store: Store, database: Documents) -> None:
    async with store.dry_run(60) as dry_run:
        await asyncio.gather(*(store.notes.insert({"_id": place}) for place in range(20)))
        assert len(await store.notes.find({})) == 21
    assert len(dry_run.writes) == 20


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


async def test_conflict_that_outlasts_it_ends_it(store: Store, database: Documents) -> None:
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


async def test_holds_others_up_only_until_its_end(store: Store, database: Documents) -> None:
    async with store.dry_run(60):
        await store.notes.update_one({"_id": A}, {"$set": {"n": 1}})
        waiting = asyncio.create_task(asyncio.to_thread(seconds_to_write, database))
        await asyncio.sleep(0.1)
        assert not waiting.done()
    assert await waiting < PROMPT_TIMEOUT
    assert database["notes"].find_one() == {"_id": A, "n": 0, "others": 1}


async def test_cancelled_amid_an_operation_it_lets_go_at_once(store: Store, database: Documents) -> None:
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


async def test_cancelled_twice_it_still_ends(store: Store, database: Documents) -> None:
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


async def test_who_comes_after_its_end_writes_nothing(store: Store, database: Documents) -> None:
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


async def test_trial_of_nothing_asks_for_nothing(store: Store, database: Documents) -> None:
    async with store.dry_run(60) as dry_run:
        pass
    assert (dry_run.has_begun, list(dry_run.writes)) == (False, [])


async def test_without_a_guardian_nothing_is_begun(mongodb_url: str, database: Documents) -> None:
    store = Store(mongodb_url, database.name, reaper=NoProcesses(mongodb_url))
    try:
        async with store.dry_run(60) as dry_run:
            with pytest.raises(UnavailableError, match="no reaper"):
                await store.notes.insert({"_id": B})
    finally:
        await store.close()
    assert (dry_run.has_begun, dry_run.outcome_unknown) == (False, True)
    assert list(database["notes"].find()) == [{"_id": A, "n": 0}]


async def test_end_that_took_long_is_made_sure_of(store: Store, database: Documents) -> None:
    async with store.dry_run(60, max_abort_duration=0):
        await store.notes.update_one({"_id": A}, {"$set": {"n": 1}})
    assert await asyncio.to_thread(seconds_to_write, database) < PROMPT_TIMEOUT
    async with store.dry_run(60):
        assert await store.notes.get(A) == {"_id": A, "n": 0, "others": 1}


async def test_connection_that_breaks_leaves_it_to_the_guardian(mongodb_url: str, database: Documents) -> None:
    # The server may have begun an operation whose reply was lost, and cannot be reached until it is reconnected.
    line = Line(mongodb_url)
    await line.mend()
    store = Store(line.url, database.name)
    try:
        async with store.dry_run(2) as dry_run:
            await store.notes.update_one({"_id": A}, {"$set": {"n": 1}})
            line.snap_at = command("insert", "prompts")
            with pytest.raises(UnavailableError):
                await store.prompts.insert({"_id": B})
        assert dry_run.outcome_unknown
        waiting = asyncio.create_task(asyncio.to_thread(seconds_to_write, database))
        await line.mend()
        assert await waiting < PROMPT_TIMEOUT
        assert database["notes"].find_one() == {"_id": A, "n": 0, "others": 1}
    finally:
        await store.close()
        await line.cut()


async def test_process_that_stands_still_holds_nobody_up(store: Store, database: Documents) -> None:
    waited: list[float] = []
    other = threading.Thread(target=lambda: waited.append(seconds_to_write(database)))
    async with store.dry_run(2) as dry_run:
        await store.notes.update_one({"_id": A}, {"$set": {"n": 1}})
        other.start()
        other.join(HANG_TIMEOUT)  # holds the event loop, as would a handler that computes
        assert waited[0] < PROMPT_TIMEOUT
        with pytest.raises(UnavailableError):
            await store.notes.get(A)
    assert dry_run.outcome_unknown
    assert database["notes"].find_one() == {"_id": A, "n": 0, "others": 1}
    async with store.dry_run(60):
        assert await store.notes.get(A) == {"_id": A, "n": 0, "others": 1}

"""The store on a real MongoDB: queries, joins, refusals, rollbacks, and a server that is unavailable."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId, encode
from bson.codec_options import CodecOptions
from bson.datetime_ms import DatetimeMS
from bson.raw_bson import RawBSONDocument
from pymongo.database import Database

from demo.mongod import Mongod, find_mongod
from demo.ports import free_port
from handlers.storage.documents import equals, group_by_field
from handlers.storage.driver import DRIVERS, DriverName
from handlers.storage.errors import (
    DuplicateError,
    NoTransactionsError,
    RefusedError,
    StoreError,
    UnavailableError,
    UnreadableError,
    UnstorableError,
)
from handlers.storage.indexes import INDEXES
from handlers.storage.store import Store
from handlers.storage.transactions import execute
from tests.support.backends import scratch_database
from tests.support.mongodb_relay import Relay, collect_abandoned_sockets
from tests.support.random_seed import seed_of
from tests.support.waiting import HANG_TIMEOUT, PROMPT_TIMEOUT, until

A, B, C = ObjectId(), ObjectId(), ObjectId()


@pytest.fixture
def database(mongodb_url: str) -> Iterator[Database[dict[str, Any]]]:
    with scratch_database(mongodb_url) as mongo_database:
        yield mongo_database


@pytest.fixture(params=DRIVERS)
async def store(
    mongodb_url: str, database: Database[dict[str, Any]], request: pytest.FixtureRequest
) -> AsyncIterator[Store]:
    opened = Store(mongodb_url, database.name, driver=request.param)
    await opened.ping()
    yield opened
    await opened.close()


async def test_reads_dates_of_any_size_and_selected_fields(store: Store) -> None:
    far = DatetimeMS(-62198755200001)
    await store.users.insert({"_id": A, "username": "amara", "createdAt": far})
    assert await store.users.get(A) == {"_id": A, "username": "amara", "createdAt": far}
    assert await store.users.get(A, ["createdAt"]) == {"_id": A, "createdAt": far}
    assert await store.users.get(B) is None
    assert await store.users.get("x") is None


async def test_concurrent_lookups_are_one_query(store: Store) -> None:
    for index, identity in enumerate((A, B)):
        await store.notes.insert({"_id": identity, "consultation": C, "created_at": index})
    alone = await store.notes.get(A)
    assert list(await asyncio.gather(store.notes.get(A), store.notes.get(B), store.notes.get(C))) == [
        alone,
        {"_id": B, "consultation": C, "created_at": 1},
        None,
    ]
    newest = await store.notes.find_by("consultation", C, sort=[("created_at", -1)])
    assert [document["_id"] for document in newest] == [B, A]
    assert await store.notes.find_by("consultation", None) == []
    assert await store.read("notes", [A.binary, C.binary]) == {A.binary: alone}
    assert await store.read("notes", []) == {}


@pytest.mark.seeded
@pytest.mark.parametrize("is_indexed", [True, False], ids=["index", "no index"])
@pytest.mark.parametrize(
    ("owners", "times"),
    [([], []), ([[A, B], [C, A], [B]], []), ([[A, B]], [[1, 7]]), ([], [[1, 7]])],
    ids=["plain", "arrays of ids", "arrays in both", "arrays of times"],
)
async def test_lists_read_together_are_those_read_alone(
    store: Store, owners: list[object], times: list[object], is_indexed: bool
) -> None:
    if is_indexed and not (owners and times):  # MongoDB refuses to index arrays in both fields
        await store.make_indexes()
    documents = [
        {"_id": ObjectId(), "clinician": owner, "started_at": time}
        for owner, time, _ in itertools.product([A, B, C, *owners], [1, 2, 2.0, None, DatetimeMS(5), *times], range(3))
    ]
    random.Random(seed_of(1)).shuffle(documents)
    for document in documents:
        await store.consultations.insert(document)

    async def read(owner: ObjectId) -> list[dict[str, Any]]:
        return await store.consultations.find_by("clinician", owner, sort=[("started_at", -1)])

    alone = [await read(owner) for owner in (A, B, C)]
    assert min(map(len, alone)) >= 15
    assert await asyncio.gather(*map(read, (A, B, C))) == alone


async def test_changes_and_deletes(store: Store) -> None:
    await store.notes.insert({"_id": A, "body": "x"})
    assert await store.notes.update_one({"_id": A}, {"$set": {"body": "y"}}) == 1
    assert await store.notes.update_one({"_id": B}, {"$set": {"body": "y"}}) == 0
    assert await store.notes.update_and_get({"_id": A}, {"$set": {"n": 1}}) == {"_id": A, "body": "y", "n": 1}
    assert await store.notes.find_one({"body": "y"}) == {"_id": A, "body": "y", "n": 1}
    assert await store.notes.update_and_get({"_id": B}, {"$set": {"n": 1}}) is None
    assert await store.notes.delete({"_id": A}) == 1
    assert await store.notes.find_one({}) is None


async def test_duplicate_and_unavailable_errors_differ(store: Store) -> None:
    await store.make_indexes()
    await store.users.insert({"_id": A, "email": "a@b"})
    with pytest.raises(DuplicateError, match=r"^E11000 duplicate key error.*email_1") as duplicate:
        await store.users.insert({"_id": B, "email": "a@b"})
    assert duplicate.value.code == 11000
    with pytest.raises(RefusedError, match="immutable field '_id'") as refused:
        await store.users.update_one({"_id": A}, {"$set": {"_id": B}})
    assert refused.value.code == 66
    with pytest.raises(RefusedError, match="Modifiers operate on fields but we found type array"):
        await store.users.update_and_get({"_id": A}, {"$set": []})
    with pytest.raises(UnstorableError):
        await store.users.insert({"_id": B, "x": object()})
    with pytest.raises(UnstorableError):
        await store.users.insert({"_id": B, "a\0b": 1})
    with pytest.raises(UnstorableError):
        await store.users.update_one({"_id": A}, {})
    with pytest.raises(StoreError):
        await store.users.insert({"_id": B, "x": "y" * 17_000_000})


async def test_stored_text_that_is_not_utf8_cannot_be_read(store: Store, database: Database[dict[str, Any]]) -> None:
    raw: CodecOptions[RawBSONDocument] = CodecOptions(document_class=RawBSONDocument)
    invalid = RawBSONDocument(encode({"_id": A, "username": "amara"}).replace(b"amara", b"amar\xff"), raw)
    database.get_collection("users", codec_options=raw).insert_one(invalid)
    for operation in (
        lambda: store.users.get(A),
        lambda: store.users.find({}),
        lambda: store.users.update_and_get({"_id": A}, {"$set": {"role": "patient"}}),
        lambda: store.run_in_transaction(lambda: store.users.find_one({"_id": A})),
    ):
        with pytest.raises(UnreadableError, match=r"^Invalid UTF-8 string in BSON document$"):
            await operation()
    assert await store.users.get(A, ["role"]) == {"_id": A, "role": "patient"}


async def test_missing_indexes_are_created_and_existing_ones_kept(
    store: Store, database: Database[dict[str, Any]]
) -> None:
    database["users"].create_index("email", name="email_1", unique=True, background=True)
    database["notes"].create_index([("consultation", 1), ("created_at", -1), ("_id", -1)], name="made otherwise")
    store.start()
    store.start()
    expected = {name: len(indexes) + 1 for name, indexes in INDEXES.items()}
    await until(lambda: {name: len(database[name].index_information()) for name in expected} == expected)
    assert "made otherwise" in database["notes"].index_information()


async def test_transaction_commits_all_or_nothing(store: Store) -> None:
    async def write() -> str:
        await store.notes.insert({"_id": A})
        await store.consultations.insert({"_id": B})
        assert await store.notes.get(A) == {"_id": A}
        assert await store.notes.get_all([A.binary, B.binary]) == {A.binary: {"_id": A}}
        return "done"

    async def fail() -> None:
        await store.transcripts.insert({"_id": A})
        await store.notes.insert({"_id": A})

    assert await store.run_in_transaction(write) == "done"
    with pytest.raises(DuplicateError):
        await store.run_in_transaction(fail)
    assert await store.transcripts.get(A) is None
    assert await store.run_in_transaction(lambda: store.run_in_transaction(lambda: store.notes.get(A))) == {"_id": A}


async def test_conflicting_writes_are_tried_again(store: Store) -> None:
    await store.consultations.insert({"_id": A, "n": 0})

    async def count() -> None:
        stored = await store.consultations.get(A)
        assert stored is not None
        await store.consultations.update_one({"_id": A}, {"$set": {"n": stored["n"] + 1}})

    await asyncio.gather(*(store.run_in_transaction(count) for _ in range(5)))
    assert await store.consultations.get(A) == {"_id": A, "n": 5}


async def test_cancelled_transaction_commits_all_or_nothing(store: Store) -> None:
    async def write() -> None:
        await store.notes.insert({"_id": ObjectId()})
        await store.prompts.insert({"_id": ObjectId()})

    await store.run_in_transaction(write)
    for pause in range(60):
        task = asyncio.create_task(store.run_in_transaction(write))
        await asyncio.sleep(pause / 8000)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled() or task.exception() is None
    assert len(await store.notes.find({})) == len(await store.prompts.find({}))


async def test_cancelled_transaction_waits_for_its_operation(store: Store) -> None:
    begun, released, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def operation(_: object) -> None:
        begun.set()
        await released.wait()
        ended.set()

    task = asyncio.create_task(store.run_in_transaction(lambda: execute(operation)))
    await begun.wait()
    task.cancel()
    await asyncio.sleep(0)
    released.set()
    await asyncio.wait([task])
    assert (task.cancelled(), ended.is_set()) == (True, True)


async def test_broken_transaction_blocks_no_other_write(mongodb_url: str, database: Database[dict[str, Any]]) -> None:
    database["notes"].insert_one({"_id": A, "n": 0})
    with Relay(mongodb_url) as relay:
        relay.mend()
        store = Store(relay.url, database.name)
        await store.ping()

        async def write() -> None:
            await store.notes.update_one({"_id": A}, {"$set": {"n": 1}})
            relay.cut()
            await store.notes.update_one({"_id": A}, {"$set": {"n": 2}})

        try:
            with pytest.raises(UnavailableError):
                await store.run_in_transaction(write)
            other = asyncio.to_thread(database["notes"].update_one, {"_id": A}, {"$inc": {"others": 1}})
            waiting = asyncio.create_task(other)
            relay.mend()
            await asyncio.wait_for(waiting, PROMPT_TIMEOUT)  # MongoDB itself would end the transaction in a minute
            assert database["notes"].find_one() == {"_id": A, "n": 0, "others": 1}
        finally:
            await store.close()


async def test_other_errors_pass_through_a_transaction(store: Store) -> None:
    async def stumble() -> None:
        await store.notes.insert({"_id": A})
        raise LookupError("own")

    with pytest.raises(LookupError, match="own"):
        await store.run_in_transaction(stumble)
    assert await store.notes.get(A) is None


def test_shares_out_as_mongodb_would_match() -> None:
    one, both, none = {"_id": 1, "x": A}, {"_id": 2, "x": [A, B, A]}, {"_id": 3, "x": "x"}
    assert group_by_field([one, both, none], "x") == {A.binary: [one, both], B.binary: [both]}
    assert equals(A, A)
    assert equals([B, A], A)
    assert not equals([[A]], A)
    assert equals(value=True, wanted=True)
    assert not equals(value=1, wanted=True)


@pytest.mark.parametrize("driver", DRIVERS)
async def test_operations_without_a_server_fail_in_time(driver: DriverName) -> None:
    store = Store(f"mongodb://127.0.0.1:{free_port()}", "nowhere", timeout=0.5, driver=driver)
    store.start()
    begun = time.monotonic()
    operations = (store.notes.get(A), store.notes.find({}), store.notes.insert({"_id": A}), store.ping())
    errors = await asyncio.gather(*operations, return_exceptions=True)
    assert [type(error) for error in errors] == [UnavailableError] * 4
    assert time.monotonic() - begun < PROMPT_TIMEOUT
    assert not store.has_transactions
    with pytest.raises(UnavailableError):
        await store.run_in_transaction(lambda: asyncio.sleep(0))
    await store.close()
    collect_abandoned_sockets()


@pytest.mark.skipif(find_mongod() is None, reason="no mongod to stop and start")
@pytest.mark.parametrize("driver", [DRIVERS[0], *(pytest.param(each, marks=pytest.mark.slow) for each in DRIVERS[1:])])
async def test_store_recovers_when_the_server_returns(tmp_path: Path, driver: DriverName) -> None:
    mongod = Mongod(tmp_path / "data", port=free_port())
    await asyncio.to_thread(mongod.start)
    store = Store(mongod.url, "recovery", timeout=5, driver=driver)
    try:
        await store.notes.insert({"_id": A})
        await asyncio.to_thread(mongod.stop)
        begun = time.monotonic()
        with pytest.raises(UnavailableError):
            await store.notes.get(A)
        assert time.monotonic() - begun < PROMPT_TIMEOUT
        await asyncio.to_thread(mongod.start)
        await until_it_answers(store)
        assert await store.notes.get(A) == {"_id": A}
    finally:
        await store.close()
        await asyncio.to_thread(mongod.stop)


async def until_it_answers(store: Store) -> None:
    async with asyncio.timeout(HANG_TIMEOUT):
        while True:
            try:
                return await store.ping()
            except UnavailableError:
                await asyncio.sleep(0.05)


@pytest.mark.skipif(find_mongod() is None, reason="no mongod to stop and start")
async def test_standalone_server_gets_single_writes(tmp_path: Path) -> None:
    program, port = find_mongod(), free_port()
    assert program is not None
    (tmp_path / "data").mkdir()
    arguments: list[str | Path] = [
        program,
        "--port",
        str(port),
        "--bind_ip",
        "127.0.0.1",
        "--dbpath",
        tmp_path / "data",
    ]
    alone = await asyncio.create_subprocess_exec(*arguments, "--nounixsocket", stdout=asyncio.subprocess.DEVNULL)
    store = Store(f"mongodb://127.0.0.1:{port}", "alone", timeout=15)
    try:
        await until_it_answers(store)
        await store.run_in_transaction(lambda: store.notes.insert({"_id": A}))
        assert not store.has_transactions
        with pytest.raises(NoTransactionsError):
            async with store.dry_run(5):
                await store.notes.insert({"_id": B})
        assert await store.notes.find({}) == [{"_id": A}]
    finally:
        await store.close()
        alone.terminate()
        await alone.wait()

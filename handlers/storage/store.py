"""MongoDB: the only module that touches motor.

    store = Store("mongodb://127.0.0.1:27017", "scribe")
    await store.users.get(some_object_id)                       # batched with others asked for meanwhile
    await store.prompts.find({"is_deleted": False}, sort=[("created_at", -1)])
    await store.users.insert(document)                          # `_id` and all, as it is to be stored
    await store.notes.change({"_id": note_id}, {"$set": {…}})   # how many matched
    await store.notes.change_and_get({"_id": note_id}, {…})     # the document afterwards, or None
    await store.atomically(work)                                # where MongoDB has transactions
    async with store.dry_run(0.25) as dry_run:                 # nothing of what happens here is kept

Documents are plain dicts of BSON values: dates are `DatetimeMS`, ids `ObjectId`. Those that come out of a
read may be shared with other callers, so they are not to be changed. What runs
below `atomically` or `dry_run` belongs to it, wherever it is called from, and is then never batched.

Everything raises `StoreError` (handlers/storage/errors.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Hashable, Mapping, Sequence
from contextvars import Context
from operator import eq, itemgetter
from typing import Any, Final, Literal, TypeAlias, TypeVar

import pymongo
from bson import ObjectId
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.datetime_ms import DatetimeMS
from motor.motor_asyncio import AsyncIOMotorClient, AsyncIOMotorClientSession, AsyncIOMotorCollection
from pymongo import ASCENDING, DESCENDING, IndexModel, ReturnDocument, errors
from pymongo.errors import PyMongoError

from handlers.circuit_breaker import CircuitBreaker
from handlers.failure_log import summary_of
from handlers.storage.dataloader import Loader
from handlers.storage.dry_run import DryRunTransaction
from handlers.storage.errors import NoTransactionsError, RefusedError, StoreError, UnavailableError, translated
from handlers.storage.transaction_reaper import Reaper
from handlers.storage.transactions import (
    ABORTING,
    Operation,
    Transaction,
    Write,
    ask,
    current_transaction,
    is_within_transaction,
    use_transaction,
)

T = TypeVar("T")
Document: TypeAlias = dict[str, Any]
Filter: TypeAlias = Mapping[str, object]
Sort: TypeAlias = Sequence[tuple[str, int]]

logger = logging.getLogger(__name__)

PATIENCE: Final = 2.5
"""Seconds that an operation may take, waiting for a server included."""

INDEX_EXISTS: Final = frozenset({85, 86})
"""The server's codes for an index of the same keys or name that was made otherwise."""

_WITHOUT_TRANSACTIONS: Final = frozenset({"Unknown", "Standalone"})
_OPEN_FOR: Final = 60

INDEXES: Final[Mapping[str, Sequence[IndexModel]]] = {
    "users": [IndexModel([("email", ASCENDING)], name="email_1", unique=True)],
    "blacktokens": [IndexModel([("blackToken", "hashed")], name="blackToken_hashed")],
    "consultations": [IndexModel([("clinician", ASCENDING), ("started_at", DESCENDING)])],
    "transcripts": [IndexModel([("consultation", ASCENDING)])],
    "notes": [IndexModel([("consultation", ASCENDING), ("created_at", DESCENDING)])],
    "prompts": [
        IndexModel([("clinician", ASCENDING), ("created_at", DESCENDING), ("_id", ASCENDING)]),
        IndexModel([("is_shareable", ASCENDING), ("created_at", DESCENDING), ("_id", ASCENDING)]),
    ],
}
"""What the product's queries need; made in the background at start-up, and left alone where they exist."""


class Collection:
    """One collection's operations; all raise `StoreError`."""

    def __init__(self, collection: AsyncIOMotorCollection[Document], breaker: CircuitBreaker) -> None:
        self._collection = collection
        self._breaker = breaker
        self._loaders: dict[Hashable, Loader[Hashable, list[Document]]] = {}

    async def get(self, identity: object, fields: Sequence[str] = ()) -> Document | None:
        """The document of an `_id`, with `fields` (and `_id`) alone where given."""
        found = await self.find_by("_id", identity, fields)
        return found[0] if found else None

    async def get_all(self, identities: Sequence[ObjectId], fields: Sequence[str] = ()) -> list[Document]:
        """The documents of several ids, as far as they are found, in no certain order."""
        if not identities:
            return []
        if is_within_transaction():
            return await self.find({"_id": {"$in": list(identities)}}, fields=fields)
        found = await self._loader("_id", tuple(fields), ()).load_all(identities)
        return [held[0] for held in map(found.get, identities) if held]

    async def find_by(self, field: str, value: object, fields: Sequence[str] = (), sort: Sort = ()) -> list[Document]:
        """Documents whose field equals a value; ids asked for at the same time travel in one query."""
        if not isinstance(value, ObjectId) or is_within_transaction():
            return await self.find({field: value}, fields=fields, sort=sort)
        return await self._loader(field, tuple(fields), tuple(sort)).load(value)

    def _loader(
        self, field: str, fields: tuple[str, ...], sort: tuple[tuple[str, int], ...]
    ) -> Loader[Hashable, list[Document]]:
        loader = self._loaders.get((field, fields, sort))
        if loader is None:
            shown = fields if not fields or field in fields else (*fields, field)

            async def fetch(values: Sequence[Hashable]) -> Mapping[Hashable, list[Document]]:
                wanted = values[0] if len(values) == 1 else {"$in": list(values)}
                return share_out(await self.find({field: wanted}, fields=shown, sort=sort), field)

            loader = self._loaders[field, fields, sort] = Loader(fetch, [])
        return loader

    async def find_one(self, filter_: Filter) -> Document | None:
        """The first document that matches."""
        found = await self.find(filter_, limit=1)
        return found[0] if found else None

    async def find(
        self, filter_: Filter, *, sort: Sort = (), fields: Sequence[str] = (), limit: int = 0, skip: int = 0
    ) -> list[Document]:
        """All documents that match, in one round trip wherever they fit into one answer.

        Those that `sort` holds for equal come in the order in which they were stored, whatever index is used.
        """
        shown = dict.fromkeys(fields, 1) if fields else None

        async def look(session: Any) -> list[Document]:
            cursor = self._collection.find(
                filter_,
                shown,
                sort=list(sort) or None,
                limit=-limit,
                skip=skip,
                session=session,
                show_record_id=bool(sort),
            )
            return await cursor.to_list(None)

        found = await self._ask(look)
        return break_ties(found, sort) if sort else found

    async def page(self, filter_: Filter, *, sort: Sort, limit: int, skip: int) -> tuple[list[Document], int]:
        """Some of the documents that match, in an order that leaves no ties, and how many match in all."""

        async def count(session: Any) -> int:
            return int(await self._collection.count_documents(filter_, session=session))

        return await self.find(filter_, sort=sort, limit=limit, skip=skip), await self._ask(count)

    async def insert(self, document: Document) -> None:
        """Stores a new document."""

        async def insert(session: Any) -> bool:
            return bool(await self._collection.insert_one(document, session=session))

        await self._ask(insert, self._write("insert", document=document))

    async def change(self, filter_: Filter, update: Filter) -> int:
        """Changes the first document that matches; answers how many did."""

        async def change(session: Any) -> int:
            return int((await self._collection.update_one(filter_, update, session=session)).matched_count)

        return await self._ask(change, self._write("update", filter=filter_, update=update))

    async def change_and_get(self, filter_: Filter, update: Filter) -> Document | None:
        """Changes the first document that matches, and answers it as it is then."""

        async def change(session: Any) -> Document | None:
            changed: Document | None = await self._collection.find_one_and_update(
                filter_, update, return_document=ReturnDocument.AFTER, session=session
            )
            return changed

        return await self._ask(change, self._write("update", filter=filter_, update=update))

    async def delete(self, filter_: Filter) -> int:
        """Removes the first document that matches; answers how many did."""

        async def delete(session: Any) -> int:
            return int((await self._collection.delete_one(filter_, session=session)).deleted_count)

        return await self._ask(delete, self._write("delete", filter=filter_))

    async def _ask(self, operation: Operation[T], write: Write | None = None) -> T:
        """Do an operation; on its own, and not as part of a transaction, behind the circuit breaker."""
        if is_within_transaction():
            return await ask(operation, write)
        return await self._breaker.run(lambda: ask(operation, write))

    def _write(self, operation: Literal["insert", "update", "delete"], **said: object) -> Write:
        return Write(self._collection.name, operation, said)


def break_ties(found: list[Document], sort: Sort) -> list[Document]:
    """Sorted documents, those of equal sort values by their `$recordId`, which goes."""
    numbers = [document.pop("$recordId") for document in found]
    values = [[document.get(name) for name, _ in sort] for document in found]
    if not any(map(eq, values, values[1:])):
        return found
    settled: list[Document] = []
    for _, equal in itertools.groupby(zip(values, numbers, found, strict=True), itemgetter(0)):
        settled += [document for _, _, document in sorted(equal, key=itemgetter(1))]
    return settled


def share_out(documents: Sequence[Document], field: str) -> dict[Hashable, list[Document]]:
    """Documents by the ids that a field equals, be it as one of an array's elements; in their order."""
    if field == "_id":
        return {document["_id"]: [document] for document in documents}
    shared: dict[Hashable, list[Document]] = {}
    for document in documents:
        value = document.get(field)
        for key in value if isinstance(value, list) else (value,):
            if isinstance(key, ObjectId):
                held = shared.setdefault(key, [])
                if not held or held[-1] is not document:
                    held.append(document)
    return shared


def equals(value: object, wanted: object) -> bool:
    """Whether MongoDB would find a field of this value by equality: as the value, or among an array's."""
    candidates = (value, *value) if isinstance(value, list) else (value,)
    return any(type(item) is type(wanted) and item == wanted for item in candidates)


class Store:
    """The collections of one database, over one pool of connections."""

    def __init__(self, url: str, database: str, *, patience: float = PATIENCE) -> None:
        limit = int(patience * 1000)
        self._client: AsyncIOMotorClient[Document] = AsyncIOMotorClient(
            url,
            serverSelectionTimeoutMS=limit,
            connectTimeoutMS=limit,
            timeoutMS=limit,
            appname="scribe-native",
        )
        self._patience = patience
        self._breaker = CircuitBreaker(self._probe, patience)
        codec: CodecOptions[Document] = CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_MS)
        self._database = self._client.get_database(database, codec_options=codec)
        self._indexing: asyncio.Task[None] | None = None
        self._ending: set[asyncio.Task[None]] = set()
        self._guardian = Reaper(url)
        self.users = self._collection("users")
        self.blacktokens = self._collection("blacktokens")
        self.consultations = self._collection("consultations")
        self.transcripts = self._collection("transcripts")
        self.notes = self._collection("notes")
        self.prompts = self._collection("prompts")

    def _collection(self, name: str) -> Collection:
        return Collection(self._database.get_collection(name), self._breaker)

    async def read(self, model: str, identities: Sequence[ObjectId], fields: Sequence[str] = ()) -> list[Document]:
        """Documents of the collection of a name, by their ids."""
        collection: Collection = getattr(self, model)
        return await collection.get_all(identities, fields)

    def start(self) -> None:
        """Begins to make the indexes, in the background; needs a running event loop."""
        if self._indexing is None:
            self._indexing = asyncio.create_task(self.make_indexes())

    async def close(self) -> None:
        """Stops what runs in the background and closes the connections."""
        if self._indexing is not None:
            self._indexing.cancel()
            await asyncio.gather(self._indexing, return_exceptions=True)
            self._indexing = None
        await self._breaker.close()
        for task in self._ending:
            task.cancel()
        await asyncio.gather(*self._ending, return_exceptions=True)
        await asyncio.to_thread(self._guardian.close)
        self._client.close()

    async def ping(self) -> None:
        """Return if the server answers; raise `UnavailableError` if it does not, at once if that is known."""
        await self._breaker.run(self._reach)

    async def _reach(self) -> None:
        with translated():
            await self._database.command("ping")

    async def _probe(self) -> None:
        """Return if the server takes writes; raise `UnavailableError` if it does not, as during an election."""
        if not (await self._hello())["isWritablePrimary"]:
            raise UnavailableError("no primary")

    async def _hello(self) -> Mapping[str, Any]:
        with translated():
            answer: Mapping[str, Any] = await self._database.command("hello")
        return answer

    async def now(self) -> float:
        """Return the database's time, in seconds since 1970; raises `StoreError`."""
        told = await self._breaker.run(self._hello)
        return int(DatetimeMS(told["localTime"])) / 1000

    async def make_indexes(self) -> None:
        """Makes what `INDEXES` lists, trying again until there is a server to make them on."""
        for name, indexes in INDEXES.items():
            for index in indexes:
                await self._make_index(name, index)

    async def _make_index(self, collection: str, index: IndexModel) -> None:
        while True:
            try:
                with translated(), pymongo.timeout(None):
                    await self._database[collection].create_indexes([index])
            except UnavailableError:
                await asyncio.sleep(1)
            except StoreError as error:
                if not (isinstance(error, RefusedError) and error.code in INDEX_EXISTS):
                    logger.warning("no index on %s: %s", collection, summary_of(error))
                return
            else:
                return

    @property
    def has_transactions(self) -> bool:
        """Whether the server is known to be of a replica set or a sharded cluster."""
        servers = self._client.delegate.topology_description.server_descriptions().values()
        return any(server.server_type_name not in _WITHOUT_TRANSACTIONS for server in servers)

    async def atomically(self, work: Callable[[], Awaitable[T]]) -> T:
        """All or nothing for what `work` writes, where MongoDB has transactions; one by one elsewhere.

        Within another one, part of that. A conflict with somebody else's writes, or with an index that is being
        made, runs `work` again; raises `UnavailableError` where that does not help in time.
        """
        if (unit := current_transaction()) is not None:
            return await unit.nest(work)
        self._breaker.require_closed()
        await self._know_server()
        if not self.has_transactions:
            return await work()
        over = time.monotonic() + self._patience
        async with await self._client.start_session() as session:
            transaction = Transaction(session, over)
            try:
                return await transaction.run(work)
            except UnavailableError:
                if not self._client.delegate.topology_description.has_known_servers:
                    self._breaker.record_failure()
                if transaction.lost:
                    self._in_background(self._kill(session.delegate.session_id))
                raise

    async def _know_server(self) -> None:
        if not self._client.delegate.topology_description.has_known_servers:
            await self.ping()

    @contextlib.asynccontextmanager
    async def dry_run(self, seconds: float) -> AsyncIterator[DryRunTransaction]:
        """Has everything asked meanwhile happen in a transaction that is aborted in the end, whatever comes of it.

        Operations take no longer than what is left of `seconds`. Raises `UnavailableError`, or
        `NoTransactionsError` where MongoDB has none.
        """
        over = time.monotonic() + seconds
        self._breaker.require_closed()
        await self._know_server()
        if not self.has_transactions:
            raise NoTransactionsError
        session = await self._client.start_session()
        dry_run = DryRunTransaction(session, over, lambda: self._guardian.watch(session.delegate.session_id, over))
        try:
            with use_transaction(dry_run):
                yield dry_run
        finally:
            await asyncio.shield(self._in_background(self._abandon(dry_run, session)))

    async def _abandon(self, dry_run: DryRunTransaction, session: AsyncIOMotorClientSession) -> None:
        """Where it is not sure to have ended, it ends as well as can be now, and again by the guardian: what was
        sent before the connection broke may arrive later. Its session is then nobody else's any more.
        """
        if not await dry_run.end():
            with contextlib.suppress(StoreError), translated(), pymongo.timeout(ABORTING):
                await self._client.admin.command("killSessions", [session.delegate.session_id])
            return
        if dry_run.begun:
            self._guardian.forget(session.delegate.session_id)
        await session.end_session()

    def _in_background(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work, context=Context())
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)
        return task

    async def _kill(self, session: Mapping[str, object]) -> None:
        """Ends a transaction that a lost connection has left open.

        The server would do so itself, but only after a minute, and keeps others from its documents until then.
        Twice, since what was sent before the connection broke may arrive after the first time.
        """
        killed = 0
        for _ in range(_OPEN_FOR):
            try:
                await self._client.admin.command("killSessions", [session])
            except errors.OperationFailure as error:
                logger.warning("a lost transaction stays open for a minute: %s", summary_of(error))
                return
            except PyMongoError:
                logger.debug("a lost transaction cannot be ended yet")
            else:
                killed += 1
                if killed > 1:
                    return
            await asyncio.sleep(1)

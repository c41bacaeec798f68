"""MongoDB access: the collections, lookups in batches, transactions and dry runs.

    store = Store("mongodb://127.0.0.1:27017", "scribe")
    await store.users.get(some_object_id)                       # batched with concurrent lookups
    await store.prompts.find({"is_deleted": False}, sort=[("created_at", -1)])
    await store.users.insert(document)                          # complete, `_id` included
    await store.notes.update_one({"_id": note_id}, {"$set": {…}})     # number of matches
    await store.notes.update_and_get({"_id": note_id}, {…})     # the updated document, or None
    await store.run_in_transaction(work)                        # if MongoDB has transactions
    async with store.dry_run(0.25) as transaction:              # always aborted

Documents are plain dicts of BSON values: dates are `DatetimeMS`, ids `ObjectId`. Documents from a read may be shared
between callers and must not be changed. Operations below `run_in_transaction` or `dry_run` belong to that
transaction wherever they are called from, and are never batched.

All operations raise `StoreError` (handlers/storage/errors.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

import pymongo
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.datetime_ms import DatetimeMS
from pymongo import IndexModel, errors
from pymongo.errors import NotPrimaryError, PyMongoError

from common.background_tasks import BackgroundTasks
from handlers.failure_log import summary_of
from handlers.storage.circuit_breaker import BreakerTimings, CircuitBreaker
from handlers.storage.collection import Collection
from handlers.storage.driver import DriverName, Session
from handlers.storage.driver_choice import open_driver
from handlers.storage.dry_run import MAX_ABORT_DURATION, DryRunTransaction
from handlers.storage.errors import NoTransactionsError, RefusedError, StoreError, UnavailableError, translate_errors
from handlers.storage.indexes import INDEX_EXISTS, INDEXES, Indexes
from handlers.storage.reads import Document
from handlers.storage.transaction_reaper import Reaper
from handlers.storage.transactions import (
    ABORT_TIMEOUT,
    Transaction,
    current_transaction,
    use_transaction,
)

T = TypeVar("T")

logger = logging.getLogger(__name__)

OPERATION_TIMEOUT: Final = 2.0
"""Seconds per operation, server selection included, so that a client gets a 503 within 2.5 s in all."""

_WITHOUT_TRANSACTIONS: Final = frozenset({"Unknown", "Standalone"})
_OPEN_FOR: Final = 60


class Store:
    """The collections of one database, over one connection pool."""

    def __init__(
        self,
        url: str,
        database: str,
        *,
        timeout: float = OPERATION_TIMEOUT,
        driver: DriverName = "motor",
        reaper: Reaper | None = None,
        breaker_timings: BreakerTimings | None = None,
    ) -> None:
        # The driver polls: it would check a server that streams its state only ten seconds after an error.
        limits = dict.fromkeys(("serverSelectionTimeoutMS", "connectTimeoutMS", "timeoutMS"), int(timeout * 1000))
        self._driver = open_driver(driver, url, {**limits, "appname": "scribe-native", "serverMonitoringMode": "poll"})
        self._timeout = timeout
        self._breaker = self._breaker_with(breaker_timings or BreakerTimings())
        codec: CodecOptions[Document] = CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_MS)
        self._database = self._driver.database(database, codec)
        self._admin = self._driver.database("admin")
        self._indexing: asyncio.Task[None] | None = None
        self._tasks = BackgroundTasks()
        self._reaper = reaper or Reaper(url)
        self.users = self.collection("users")
        self.blacktokens = self.collection("blacktokens")
        self.consultations = self.collection("consultations")
        self.transcripts = self.collection("transcripts")
        self.notes = self.collection("notes")
        self.prompts = self.collection("prompts")

    def _breaker_with(self, timings: BreakerTimings) -> CircuitBreaker:
        return CircuitBreaker(
            self._probe,
            self._timeout,
            is_unreachable=self._is_unreachable,
            concurrency=self._driver.concurrency,
            timings=timings,
        )

    def collection(self, name: str) -> Collection:
        """Return a collection besides the product's own."""
        return Collection(self._database[name], self._driver, self._breaker)

    async def read(self, model: str, identities: Sequence[bytes], fields: Sequence[str] = ()) -> dict[bytes, Document]:
        """Return documents of the collection of `model`; ids and keys of the result are the bytes of the id."""
        collection: Collection = getattr(self, model)
        return await collection.get_all(identities, fields)

    def start(self, indexes: Indexes = INDEXES) -> None:
        """Start creating indexes in the background; needs a running event loop."""
        if self._indexing is None:
            self._indexing = self._tasks.start(self.make_indexes(indexes))

    async def close(self) -> None:
        """Stop the background tasks and close the connections."""
        await self._tasks.stop()
        await self._breaker.close()
        await asyncio.to_thread(self._reaper.close)
        await self._driver.close()

    async def ping(self) -> None:
        """Send a ping; raise `UnavailableError` if the server does not answer, immediately if that is already known."""
        await self._breaker.run(self._reach)

    async def _reach(self) -> None:
        with translate_errors():
            await self._database.command("ping")

    async def _probe(self) -> None:
        """Check that the server accepts writes; raise `UnavailableError` if it does not, as during an election."""
        if not (await self._hello())["isWritablePrimary"]:
            raise UnavailableError("no primary")

    def _is_unreachable(self) -> bool:
        """Return whether the driver has tried to reach a server and knows none."""
        servers = self._driver.topology.server_descriptions().values()
        if any(server.is_server_type_known for server in servers):
            return False
        return any(server.error and not isinstance(server.error, NotPrimaryError) for server in servers)

    async def _hello(self) -> Mapping[str, Any]:
        with translate_errors():
            answer: Mapping[str, Any] = await self._database.command("hello")
        return answer

    async def now(self) -> float:
        """Return the database's time, in seconds since 1970; raises `StoreError`."""
        reply = await self._breaker.run(self._hello)
        return int(DatetimeMS(reply["localTime"])) / 1000

    async def make_indexes(self, indexes: Indexes = INDEXES) -> None:
        """Create the indexes of each collection, retrying until a server is available."""
        for name, models in indexes.items():
            for model in models:
                await self._make_index(name, model)

    async def _make_index(self, collection: str, index: IndexModel) -> None:
        while True:
            try:
                with translate_errors(), pymongo.timeout(None):
                    await self._database[collection].create_indexes([index])
            except UnavailableError:
                await asyncio.sleep(1)
            except StoreError as error:
                if not (isinstance(error, RefusedError) and error.code in INDEX_EXISTS):
                    logger.warning("index not created on %s: %s", collection, summary_of(error))
                return
            else:
                return

    @property
    def has_transactions(self) -> bool:
        """Return whether the server is known to belong to a replica set or a sharded cluster."""
        servers = self._driver.topology.server_descriptions().values()
        return any(server.server_type_name not in _WITHOUT_TRANSACTIONS for server in servers)

    async def run_in_transaction(self, work: Callable[[], Awaitable[T]]) -> T:
        """Run `work` in a transaction if MongoDB has transactions; without atomicity elsewhere.

        Within a transaction, `work` becomes part of that one. A conflict with other clients' writes, or with an
        index build, runs `work` again; raises `UnavailableError` if the conflict persists until the timeout.
        """
        if (context := current_transaction()) is not None:
            return await context.run_nested(work)
        self._breaker.require_closed()
        await self._discover_server()
        if not self.has_transactions:
            return await work()
        deadline = time.monotonic() + self._timeout
        async with await self._driver.start_session() as session:
            transaction = Transaction(session, deadline)
            try:
                return await transaction.run(work)
            except UnavailableError:
                if not self._driver.topology.has_known_servers:
                    self._breaker.record_failure()
                if transaction.outcome_unknown:
                    self._tasks.start(self._kill(session.id))
                raise

    async def _discover_server(self) -> None:
        if not self._driver.topology.has_known_servers:
            await self.ping()

    @contextlib.asynccontextmanager
    async def dry_run(
        self, seconds: float, *, max_abort_duration: float = MAX_ABORT_DURATION
    ) -> AsyncIterator[DryRunTransaction]:
        """Execute all operations of the `with` block in a transaction that is always aborted.

        Operations take no longer than the rest of `seconds`. An abort that takes `max_abort_duration` (seconds) or
        longer counts as uncertain. Raises `UnavailableError`, or `NoTransactionsError` if MongoDB has no
        transactions.
        """
        deadline = time.monotonic() + seconds
        self._breaker.require_closed()
        await self._discover_server()
        if not self.has_transactions:
            raise NoTransactionsError
        session = await self._driver.start_session()
        transaction = DryRunTransaction(
            session,
            deadline,
            lambda: self._reaper.watch(session.id, deadline),
            max_abort_duration=max_abort_duration,
        )
        try:
            with use_transaction(transaction):
                yield transaction
        finally:
            await asyncio.shield(self._tasks.start(self._abandon(transaction, session)))

    async def _abandon(self, transaction: DryRunTransaction, session: Session) -> None:
        """End the transaction and the session.

        If the abort is not certain, kill the session now and leave a second kill to the reaper: requests sent before
        the connection broke may arrive later. Such a session does not return to the pool.
        """
        if not await transaction.end():
            with contextlib.suppress(StoreError), translate_errors(), pymongo.timeout(ABORT_TIMEOUT):
                await self._admin.command("killSessions", [session.id])
            return
        if transaction.has_begun:
            self._reaper.discard(session.id)
        await session.end()

    async def _kill(self, session: Mapping[str, object]) -> None:
        """Kill the session of a transaction that a broken connection has left open.

        The server would end it only after a minute and block other writers of its documents until then. The kill is
        repeated once, since requests sent before the connection broke may arrive after the first.
        """
        killed = 0
        for _ in range(_OPEN_FOR):
            try:
                await self._admin.command("killSessions", [session])
            except errors.OperationFailure as error:
                logger.warning("an abandoned transaction stays open for a minute: %s", summary_of(error))
                return
            except PyMongoError:
                logger.debug("an abandoned transaction cannot be ended yet")
            else:
                killed += 1
                if killed > 1:
                    return
            await asyncio.sleep(1)

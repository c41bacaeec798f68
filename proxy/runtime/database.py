"""The gateway's own database: the only module of `proxy` that touches motor.

    database = Database.of(config.mongodb)                      # None: no URL, nothing is kept or shared
    with database.asking():
        await database.collection("samples").find_one({"_id": …})

One a process. It makes no connection until it is asked, and goes on by itself when MongoDB comes back; `available` says
without asking how things stand. What MongoDB says is translated in `asking`, so that nobody else knows its errors.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from motor.motor_asyncio import AsyncIOMotorClient, AsyncIOMotorCollection, AsyncIOMotorDatabase
from pymongo.errors import (
    BulkWriteError,
    ConfigurationError,
    ConnectionFailure,
    DuplicateKeyError,
    ExecutionTimeout,
    OperationFailure,
    PyMongoError,
)
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

from proxy.observability import metrics

if TYPE_CHECKING:
    from proxy.config.service_models import MongoSettings

Document: TypeAlias = dict[str, Any]
Collection: TypeAlias = AsyncIOMotorCollection[Document]

PATIENCE: Final = 2.0
REACH_TIMEOUT: Final = 0.8
"""Seconds that a page waits for a server of which nothing is known."""
_DUPLICATE: Final = 11000


class DatabaseError(Exception):
    """MongoDB did not do what it was asked. The text is for a person and holds no data and no credentials."""


class Unavailable(DatabaseError):
    """MongoDB cannot be reached, or not in time."""


class Conflict(DatabaseError):
    """A document of the same key is there already."""


class InvalidDatabaseUrl(DatabaseError):
    """A URL, or a name of a database, that makes no sense."""


class Database:
    """One database of one server. Raises `NoDatabase`. Bound to the loop it is used in.

    `patience`: seconds until a server that does not answer counts as away.
    """

    def __init__(self, url: str, name: str, patience: float | None = None) -> None:
        waiting = int((PATIENCE if patience is None else patience) * 1000)
        try:
            self._client: AsyncIOMotorClient[Document] = AsyncIOMotorClient(
                url,
                connect=False,
                appname="scribe-proxy",
                event_listeners=[_Timing()],
                serverSelectionTimeoutMS=waiting,
                connectTimeoutMS=waiting,
                socketTimeoutMS=10_000,
                heartbeatFrequencyMS=1000,  # how soon it is seen that MongoDB is back
            )
            self._database: AsyncIOMotorDatabase[Document] = self._client[name]
        except (PyMongoError, ValueError) as error:  # whose text may quote the URL
            raise InvalidDatabaseUrl(f"no MongoDB URL, or no name of a database ({type(error).__name__})") from None
        self.name: Final = name
        self._away_until = 0.0

    @classmethod
    def of(cls, settings: MongoSettings) -> Database | None:
        """The database that routing.yaml names, None where it names none."""
        url = settings.url.get_secret_value()
        return cls(url, settings.database) if url else None

    @property
    def available(self) -> bool:
        """Whether a server that takes writes is known just now. Asks nobody; False before the first question."""
        return bool(self._client.delegate.topology_description.has_writable_server())

    async def is_reachable(self) -> bool:
        """Whether a server is known, or answers within `REACH_TIMEOUT`; a failure is remembered for as long."""
        if self.available:
            return True
        if time.monotonic() < self._away_until:
            return False
        try:
            async with asyncio.timeout(REACH_TIMEOUT):
                await self.reach()
        except (TimeoutError, DatabaseError):
            self._away_until = time.monotonic() + REACH_TIMEOUT
            return False
        return True

    def collection(self, name: str) -> Collection:
        """A collection, there or not."""
        return self._database[name]

    async def command(self, command: Document) -> Document:
        """Runs a database command. Raises as `asking` does."""
        with self.asking():
            return await self._database.command(command)

    async def reach(self) -> None:
        """Returns if MongoDB answers; raises `DatabaseError` if not in time."""
        await self.command({"ping": 1})

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Translates what goes wrong within into `Unavailable`, `Conflict` or another `DatabaseError`."""
        try:
            yield
        except PyMongoError as error:
            raise _translated(error) from None  # the original quotes documents and addresses

    async def drop(self) -> None:
        """Drops the database with all that is in it."""
        with self.asking():
            await self._client.drop_database(self.name)

    async def close(self) -> None:
        """Closes every connection; in a thread, since the driver waits for the server to hear of it."""
        await asyncio.to_thread(self._client.close)


def _translated(error: PyMongoError) -> DatabaseError:
    if isinstance(error, DuplicateKeyError):
        return Conflict("MongoDB has such a document already")
    if isinstance(error, BulkWriteError):
        codes = {fault["code"] for fault in error.details.get("writeErrors", ())}
        told = ", ".join(map(str, sorted(codes)))
        return Conflict("MongoDB has such documents already") if codes == {_DUPLICATE} else _refused(told)
    if isinstance(error, ExecutionTimeout):
        return Unavailable("MongoDB took too long")
    if isinstance(error, ConnectionFailure | ConfigurationError) or error.timeout:  # a name that DNS does not know
        return Unavailable("MongoDB cannot be reached")
    if isinstance(error, OperationFailure):
        return _refused(str(error.code))
    return DatabaseError(f"MongoDB: {type(error).__name__}")


def _refused(code: str) -> DatabaseError:
    return DatabaseError(f"MongoDB refused it (code {code})")


class _Timing(CommandListener):
    """Tells the metrics how long each command took, in seconds. Called from the driver's threads."""

    def started(self, event: CommandStartedEvent) -> None:
        """Nothing to tell yet."""

    def succeeded(self, event: CommandSucceededEvent) -> None:
        metrics.MONGODB_SECONDS.labels(event.command_name, "ok").observe(event.duration_micros / 1e6)

    def failed(self, event: CommandFailedEvent) -> None:
        metrics.MONGODB_SECONDS.labels(event.command_name, "failed").observe(event.duration_micros / 1e6)

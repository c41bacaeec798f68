"""The gateway's own database: the only module of `proxy` that imports motor.

    database = Database.of(config.mongodb)                      # None: no URL, nothing is stored or shared
    with database.translate_errors():
        await database.collection("samples").find_one({"_id": …})

There is one per process. It connects with its first request and reconnects by itself; `available` returns the state of
the connection without I/O. `translate_errors` turns the driver's errors into those below: no other module knows them.
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

TIMEOUT: Final = 2.0
"""Seconds until a server that does not answer counts as unreachable."""
REACH_TIMEOUT: Final = 0.8
"""Seconds that a page waits for a server whose state is unknown."""
_DUPLICATE: Final = 11000
_UNREACHABLE: Final = "MongoDB cannot be reached"


class DatabaseError(Exception):
    """MongoDB did not carry out a request. The message is for people; it contains no data and no credentials."""


class Unavailable(DatabaseError):
    """MongoDB cannot be reached in time."""


class Conflict(DatabaseError):
    """A document with the same key exists already."""


class InvalidDatabaseUrl(DatabaseError):
    """The URL or the name of the database is invalid."""


class Database:
    """One database of one server, bound to the event loop it is used in. Raises `InvalidDatabaseUrl`.

    `timeout`: seconds until a server that does not answer counts as unreachable.
    """

    def __init__(self, url: str, name: str, timeout: float | None = None) -> None:
        timeout_ms = int((TIMEOUT if timeout is None else timeout) * 1000)
        try:
            self._client: AsyncIOMotorClient[Document] = AsyncIOMotorClient(
                url,
                connect=False,
                appname="scribe-proxy",
                event_listeners=[_Timing()],
                serverSelectionTimeoutMS=timeout_ms,
                connectTimeoutMS=timeout_ms,
                socketTimeoutMS=10_000,
                heartbeatFrequencyMS=1000,  # the delay until a reconnection is noticed
            )
            self._database: AsyncIOMotorDatabase[Document] = self._client[name]
        except (PyMongoError, ValueError) as error:  # whose text may quote the URL
            raise InvalidDatabaseUrl(f"no MongoDB URL, or no name of a database ({type(error).__name__})") from None
        self.name: Final = name
        self._unreachable_until = 0.0

    @classmethod
    def of(cls, settings: MongoSettings) -> Database | None:
        """Return the database that routing.yaml names, None where it names none."""
        url = settings.url.get_secret_value()
        return cls(url, settings.database) if url else None

    @property
    def available(self) -> bool:
        """True while a writable server is known. No I/O; False before the first request."""
        return bool(self._client.delegate.topology_description.has_writable_server())

    @property
    def _known_unreachable(self) -> bool:
        """True where no server is known and the last attempt to reach one failed; checked every second. No I/O."""
        servers = self._client.delegate.topology_description.server_descriptions().values()
        return not any(server.is_server_type_known for server in servers) and any(server.error for server in servers)

    async def is_reachable(self) -> bool:
        """Return True where a server is known or answers within `REACH_TIMEOUT`; a failure is cached for as long."""
        if self.available:
            return True
        if self._known_unreachable or time.monotonic() < self._unreachable_until:
            return False
        try:
            async with asyncio.timeout(REACH_TIMEOUT):
                await self.reach()
        except (TimeoutError, DatabaseError):
            self._unreachable_until = time.monotonic() + REACH_TIMEOUT
            return False
        return True

    async def require_reachable(self) -> None:
        """Raise `Unavailable` within `REACH_TIMEOUT` where no server is reachable: for pages, which do not wait."""
        if not await self.is_reachable():
            raise Unavailable(_UNREACHABLE)

    def collection(self, name: str) -> Collection:
        """Return a collection, which need not exist."""
        return self._database[name]

    async def command(self, command: Document) -> Document:
        """Run a database command. Raises `DatabaseError`."""
        with self.translate_errors():
            return await self._database.command(command)

    async def reach(self) -> None:
        """Ping MongoDB. Raises `DatabaseError` where it does not answer in time."""
        await self.command({"ping": 1})

    @contextmanager
    def translate_errors(self) -> Iterator[None]:
        """Translate the driver's errors into `Unavailable`, `Conflict` or another `DatabaseError`."""
        try:
            yield
        except PyMongoError as error:
            raise _translated(error) from None  # the original quotes documents and addresses

    async def drop(self) -> None:
        """Drop the database."""
        with self.translate_errors():
            await self._client.drop_database(self.name)

    async def close(self) -> None:
        """Close all connections; in a thread, since the driver waits for the server."""
        await asyncio.to_thread(self._client.close)


def _translated(error: PyMongoError) -> DatabaseError:
    if isinstance(error, DuplicateKeyError):
        return Conflict("MongoDB has such a document already")
    if isinstance(error, BulkWriteError):
        codes = {fault["code"] for fault in error.details.get("writeErrors", ())}
        listed = ", ".join(map(str, sorted(codes)))
        return Conflict("MongoDB has such documents already") if codes == {_DUPLICATE} else _refused(listed)
    if isinstance(error, ExecutionTimeout):
        return Unavailable("MongoDB took too long")
    if isinstance(error, ConnectionFailure | ConfigurationError) or error.timeout:  # a name that DNS does not resolve
        return Unavailable(_UNREACHABLE)
    if isinstance(error, OperationFailure):
        return _refused(str(error.code))
    return DatabaseError(f"MongoDB: {type(error).__name__}")


def _refused(code: str) -> DatabaseError:
    return DatabaseError(f"MongoDB refused it (code {code})")


class _Timing(CommandListener):
    """Records each command's duration, in seconds. Called from the driver's threads."""

    def started(self, event: CommandStartedEvent) -> None:
        """Do nothing: the duration is known at the end."""

    def succeeded(self, event: CommandSucceededEvent) -> None:
        metrics.MONGODB_SECONDS.labels(event.command_name, "ok").observe(event.duration_micros / 1e6)

    def failed(self, event: CommandFailedEvent) -> None:
        metrics.MONGODB_SECONDS.labels(event.command_name, "failed").observe(event.duration_micros / 1e6)

"""The gateway's own database, over the driver that `MONGODB_DRIVER` names.

    database = Database.of(config.mongodb)                      # None: no URL, nothing is stored or shared
    with database.translate_errors():
        await database.collection("samples").find_one({"_id": …})

One instance per process connects with its first request and reconnects automatically. `available` returns the state of
the connection without I/O. `translate_errors` converts the driver's errors to those below.
"""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import Awaitable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, TypeVar

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

from proxy.database.driver import (
    ChangeStream,
    Collection,
    DatabaseDriver,
    Document,
    DriverName,
    PyMongoDriver,
    name_from,
)
from proxy.observability import metrics

if TYPE_CHECKING:
    from proxy.config.service_models import MongoSettings

Result = TypeVar("Result")

TIMEOUT: Final = 2.0
"""Seconds after which an unresponsive server counts as unreachable."""
REACH_TIMEOUT: Final = 0.8
PING_AFTER: Final = 0.3
"""Seconds after which a ping accompanies a page's request."""
PING_TICKS: Final = 10
"""Ticks that a page waits for its request or the ping. A process that gets no CPU ticks later."""
TICK: Final = 0.05
"""Seconds between two ticks."""
HANG_CACHED: Final = 2.0
"""Seconds for which a server that answered no ping counts as unreachable."""
_DUPLICATE: Final = 11000


class DatabaseError(Exception):
    """Raised if MongoDB rejects a request. The message contains neither data nor credentials."""


class Unavailable(DatabaseError):
    """MongoDB is unreachable or too slow."""


class Conflict(DatabaseError):
    """A document with the same key exists."""


class InvalidDatabaseUrl(DatabaseError):
    """Raised for an invalid URL, database name or `MONGODB_DRIVER`."""


class InvalidDriver(InvalidDatabaseUrl):
    """Raised for an invalid `MONGODB_DRIVER`."""


class Database:
    """One database, bound to the event loop that uses it. Raises `InvalidDatabaseUrl`.

    `timeout`: seconds after which an unresponsive server counts as unreachable. `driver`: by default the one that
    `MONGODB_DRIVER` names. `reach_timeout`: seconds that a page waits for a server in an unknown state.
    `ping_ticks`: ticks of `TICK` seconds that a page waits for a server which hangs.
    """

    def __init__(
        self,
        url: str,
        name: str,
        timeout: float | None = None,
        driver: DriverName | None = None,
        reach_timeout: float = REACH_TIMEOUT,
        ping_ticks: int = PING_TICKS,
    ) -> None:
        timeout_ms = int((TIMEOUT if timeout is None else timeout) * 1000)
        options = {
            "connect": False,
            "appname": "scribe-proxy",
            "event_listeners": [_Timing()],
            "serverSelectionTimeoutMS": timeout_ms,
            "connectTimeoutMS": timeout_ms,
            "socketTimeoutMS": 10_000,
            "heartbeatFrequencyMS": 1000,  # maximum delay until a recovered server is noticed
        }
        self._driver = _open_driver(driver or _driver_name(), url, options)
        try:
            self._database = self._driver.database(name)
        except PyMongoError:
            raise InvalidDatabaseUrl(f"invalid MongoDB database name {name!r}") from None
        self.name: Final = name
        self._unreachable: Final = f"MongoDB at {hosts_of(url)} cannot be reached"
        self._reach_timeout, self._ping_ticks = reach_timeout, ping_ticks
        self._unreachable_until = 0.0

    @classmethod
    def of(cls, settings: MongoSettings) -> Database | None:
        """Return the configured database, or None."""
        url = settings.url.get_secret_value()
        return cls(url, settings.database) if url else None

    @property
    def available(self) -> bool:
        """True while a writable server is known. No I/O; False before the first request."""
        return bool(self._driver.topology.has_writable_server())

    @property
    def _known_unreachable(self) -> bool:
        """True if no server is known and the last attempt failed. The driver retries every second. No I/O."""
        servers = self._driver.topology.server_descriptions().values()
        return not any(server.is_server_type_known for server in servers) and any(server.error for server in servers)

    async def is_reachable(self) -> bool:
        """Return True if a server is known or answers within `reach_timeout`. A failure is cached for that long."""
        if time.monotonic() < self._unreachable_until:
            return False
        if self.available:
            return True
        if self._known_unreachable:
            return False
        try:
            async with asyncio.timeout(self._reach_timeout):
                await self.reach()
        except (TimeoutError, DatabaseError):
            self._unreachable_until = time.monotonic() + self._reach_timeout
            return False
        return True

    async def require_reachable(self) -> None:
        """Raise `Unavailable` within `reach_timeout` if no server is reachable. Used by pages."""
        if not await self.is_reachable():
            raise Unavailable(self._unreachable)

    async def answer(self, work: Awaitable[Result]) -> Result:
        """Return the result of a page's requests. Raises `Unavailable` if the server does not even answer a ping.

        The driver notices a server that hangs, and keeps its connections, only after seconds. A large request may take
        as long; the ping distinguishes the two.
        """
        async with asyncio.timeout(None) as limit:
            watching = asyncio.create_task(self._watch(limit))
            try:
                return await work
            except asyncio.CancelledError:
                if limit.expired():
                    raise Unavailable(self._unreachable) from None
                raise
            finally:
                watching.cancel()

    async def _watch(self, limit: asyncio.Timeout) -> None:
        """End a request that takes long if a ping is not answered either."""
        await asyncio.sleep(PING_AFTER)
        ping = asyncio.create_task(self._answers())
        try:
            for _ in range(self._ping_ticks):
                if (await asyncio.wait({ping}, timeout=TICK))[0]:
                    break
            if not ping.done() or not ping.result():
                self._unreachable_until = time.monotonic() + HANG_CACHED
                limit.reschedule(asyncio.get_running_loop().time())
        finally:
            ping.cancel()

    async def _answers(self) -> bool:
        try:
            await self.reach()
        except DatabaseError:
            return False
        return True

    def collection(self, name: str) -> Collection:
        """Return a collection, which need not exist."""
        collection: Collection = self._database[name]
        return collection

    async def command(self, command: Document) -> Document:
        """Run a database command. Raises `DatabaseError`."""
        with self.translate_errors():
            answer: Document = await self._database.command(command)
        return answer

    async def aggregate(self, name: str, stages: Sequence[Document], **options: Any) -> list[Document]:
        """Return all results of an aggregation over a collection. Raises `DatabaseError`."""
        with self.translate_errors():
            return await self._driver.aggregate(self.collection(name), stages, **options)

    async def watch(self, name: str, stages: Sequence[Document]) -> ChangeStream:
        """Return the change stream of a collection, to be entered. Raises `DatabaseError`."""
        with self.translate_errors():
            return await self._driver.watch(self.collection(name), stages)

    async def reach(self) -> None:
        """Ping MongoDB. Raises `DatabaseError` if it does not answer in time."""
        await self.command({"ping": 1})

    @contextmanager
    def translate_errors(self) -> Iterator[None]:
        """Translate the driver's errors into `Unavailable`, `Conflict` or another `DatabaseError`."""
        try:
            yield
        except PyMongoError as error:
            raise self._translated(error) from None  # the original message quotes documents and addresses

    async def close(self) -> None:
        """Close all connections."""
        await self._driver.close()

    def _translated(self, error: PyMongoError) -> DatabaseError:
        if isinstance(error, DuplicateKeyError):
            return Conflict("the document already exists in MongoDB")
        if isinstance(error, BulkWriteError):
            kinds = ("writeErrors", "writeConcernErrors")  # the latter alone at a shutdown or a change of primary
            codes = {fault["code"] for kind in kinds for fault in error.details.get(kind, ())}
            listed = ", ".join(map(str, sorted(codes)))
            return Conflict("the documents already exist in MongoDB") if codes == {_DUPLICATE} else _refused(listed)
        if isinstance(error, ExecutionTimeout):
            return Unavailable("MongoDB took too long")
        if isinstance(error, ConnectionFailure | ConfigurationError) or error.timeout:  # ConfigurationError: DNS failed
            return Unavailable(self._unreachable)
        if isinstance(error, OperationFailure):
            return _refused(str(error.code))
        return DatabaseError(f"MongoDB: {type(error).__name__}")


def hosts_of(url: str) -> str:
    """Return the hosts of a MongoDB URL without its credentials, database and options, as in `db1:27017,db2:27017`."""
    address = url.partition("://")[2].partition("?")[0]
    return address.rpartition("@")[2].partition("/")[0]


def _url_fault(url: str, error: Exception) -> str:
    """Return the usual cause of an invalid URL, or the type of the driver's error. It quotes nothing of the URL."""
    if not url.startswith(("mongodb://", "mongodb+srv://")):
        return "it must begin with mongodb:// or mongodb+srv://"
    user_info, at, _ = url.partition("://")[2].partition("?")[0].rpartition("@")
    if at and (user_info.count(":") > 1 or set("/@%").intersection(re.sub("%[0-9A-Fa-f]{2}", "", user_info))):
        return "percent-encode `:`, `/`, `@` and `%` in the user name and the password"
    return type(error).__name__


def _driver_name() -> DriverName:
    try:
        return name_from(os.environ)
    except ValueError as error:
        raise InvalidDriver(str(error)) from None


def _open_driver(name: DriverName, url: str, options: Mapping[str, Any]) -> DatabaseDriver:
    """Return a driver's client with PyMongo's options, which connects with its first operation.

    Raises InvalidDatabaseUrl.
    """
    try:
        if name == "pymongo":
            return PyMongoDriver(url, options)
        from proxy.database.motor_driver import MotorDriver  # imports motor

        return MotorDriver(url, options)
    except (PyMongoError, ValueError) as error:  # the message may quote the URL
        raise InvalidDatabaseUrl(f"invalid MongoDB URL: {_url_fault(url, error)}") from None


def _refused(code: str) -> DatabaseError:
    return DatabaseError(f"MongoDB rejected the request (code {code})")


class _Timing(CommandListener):
    """Listener that observes the duration of each command in seconds. Called from the driver's threads."""

    def started(self, event: CommandStartedEvent) -> None:
        """Do nothing: the duration is known when the command ends."""

    def succeeded(self, event: CommandSucceededEvent) -> None:
        metrics.MONGODB_SECONDS.labels(event.command_name, "ok").observe(event.duration_micros / 1e6)

    def failed(self, event: CommandFailedEvent) -> None:
        metrics.MONGODB_SECONDS.labels(event.command_name, "failed").observe(event.duration_micros / 1e6)

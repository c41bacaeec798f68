"""The interface of MongoDB's drivers for asyncio; driver_choice.py opens one by its name.

    driver = open_driver("motor", url, {"timeoutMS": 2000})
    await driver.database("scribe", codec)["notes"].insert_one({…})
    async with await driver.start_session() as session:
        await session.start_transaction()

`motor` runs PyMongo in threads, and is imported only if it is used; `pymongo` is PyMongo's own
client for asyncio. Their databases, collections and cursors have the same methods as far as the store uses them; a
`Driver` covers the differences. It translates no errors.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Literal, Self, TypeAlias, get_args

from bson.codec_options import CodecOptions
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.client_session import ClientSession
from pymongo.topology_description import TopologyDescription

from handlers.storage.reads import Document, Query

DriverName: TypeAlias = Literal["motor", "pymongo"]
DRIVERS: tuple[DriverName, ...] = get_args(DriverName)
DriverDatabase: TypeAlias = Any
"""A driver's database, whose methods return awaitables."""
DriverCollection: TypeAlias = Any
"""A driver's collection, whose methods return awaitables."""


class Session(ABC):
    """A session. `native` is the driver's own, which its operations take as `session`."""

    def __init__(self, driver: Driver, native: Any) -> None:
        self.native = native
        self._driver = driver

    @property
    @abstractmethod
    def _state(self) -> ClientSession | AsyncClientSession:
        """Return the object of PyMongo that holds the session's state."""

    @property
    def id(self) -> Mapping[str, Any]:
        """Return the id that the server knows the session by."""
        return self._state.session_id

    @property
    def in_transaction(self) -> bool:
        """Return whether a transaction has been started and not ended."""
        return self._state.in_transaction

    @abstractmethod
    async def start_transaction(self) -> None:
        """Start a transaction, without I/O."""

    async def commit_transaction(self) -> None:
        """Commit the transaction."""
        await self.native.commit_transaction()

    async def abort_transaction(self) -> None:
        """Abort the transaction."""
        await self.native.abort_transaction()

    async def end(self) -> None:
        """End the session; abort a transaction that is still open."""
        await self.native.end_session()

    async def replace_connections(self) -> None:
        """Let the session's driver open new connections."""
        await self._driver.replace_connections()

    async def __aenter__(self) -> Self:
        """Return the session."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the session."""
        await self.end()


class Driver(ABC):
    """One client with its connection pool."""

    concurrency: int
    """Maximum concurrent operations that do not delay a probe."""

    @property
    @abstractmethod
    def topology(self) -> TopologyDescription:
        """Return the known state of the servers. No I/O."""

    @abstractmethod
    def database(self, name: str, codec: CodecOptions[Any] | None = None) -> DriverDatabase:
        """Return a database."""

    @abstractmethod
    async def find(self, collection: DriverCollection, query: Query) -> list[Document]:
        """Return all matches of a query, outside of any session."""

    @abstractmethod
    async def start_session(self) -> Session:
        """Return a new session."""

    @abstractmethod
    async def replace_connections(self) -> None:
        """Close the idle connections now and those in use after their operation.

        A connection knows only the abilities that its server had when it was opened. If the server had not joined its
        replica set yet, the connection refuses sessions until it is closed.
        """

    @abstractmethod
    async def close(self) -> None:
        """Close the connections."""

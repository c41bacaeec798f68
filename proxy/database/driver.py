"""MongoDB's drivers for asyncio behind one interface, for the gateway's own database.

    driver = PyMongoDriver(url, {"connect": False})
    await driver.aggregate(driver.database("scribe_proxy")["hours"], [{"$match": {}}])

`motor` runs PyMongo in threads, and is imported only if it is used (motor_driver.py); `pymongo` is PyMongo's own
client for asyncio. Their collections have the same methods as far as the stores use them; a `DatabaseDriver` covers
the differences. Errors are PyMongo's.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, Literal, TypeAlias, get_args

from pymongo import AsyncMongoClient
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.topology_description import TopologyDescription

DriverName: TypeAlias = Literal["motor", "pymongo"]
Document: TypeAlias = dict[str, Any]
Collection: TypeAlias = AsyncCollection[Document]
"""A driver's collection, with PyMongo's methods; motor's differ where a `DatabaseDriver` has a method of its own."""
ChangeStream: TypeAlias = AbstractAsyncContextManager[AsyncIterator[Document]]

DRIVERS: Final[tuple[DriverName, ...]] = get_args(DriverName)
VARIABLE: Final = "MONGODB_DRIVER"


class DatabaseDriver(ABC):
    """One client with its connection pool."""

    @property
    @abstractmethod
    def topology(self) -> TopologyDescription:
        """Return the known state of the servers. No I/O."""

    @abstractmethod
    def database(self, name: str) -> Any:
        """Return a database."""

    @abstractmethod
    async def aggregate(self, collection: Collection, stages: Sequence[Document], **options: Any) -> list[Document]:
        """Return all results of an aggregation."""

    @abstractmethod
    async def watch(self, collection: Collection, stages: Sequence[Document]) -> ChangeStream:
        """Return a change stream, to be entered."""

    @abstractmethod
    async def close(self) -> None:
        """Close all connections."""


class PyMongoDriver(DatabaseDriver):
    """PyMongo's own client for asyncio."""

    def __init__(self, url: str, options: Mapping[str, Any]) -> None:
        self._client: AsyncMongoClient[Document] = AsyncMongoClient(url, **options)

    @property
    def topology(self) -> TopologyDescription:
        return self._client.topology_description

    def database(self, name: str) -> Any:
        return self._client[name]

    async def aggregate(self, collection: Collection, stages: Sequence[Document], **options: Any) -> list[Document]:
        return await (await collection.aggregate(stages, **options)).to_list(None)

    async def watch(self, collection: Collection, stages: Sequence[Document]) -> ChangeStream:
        return await collection.watch(stages)

    async def close(self) -> None:
        await self._client.close()


def name_from(environ: Mapping[str, str]) -> DriverName:
    """Return the driver that the environment names, by default motor. Raises `ValueError`."""
    named = environ.get(VARIABLE) or "motor"
    if named not in DRIVERS:
        raise ValueError(f"{VARIABLE} must be {' or '.join(DRIVERS)}, not {named!r}")
    return named

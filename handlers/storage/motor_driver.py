"""Motor: PyMongo in threads, with futures for its results; the only module that imports it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bson.codec_options import CodecOptions
from motor.frameworks.asyncio import max_workers
from motor.motor_asyncio import AsyncIOMotorClient, AsyncIOMotorClientSession
from pymongo.client_session import ClientSession
from pymongo.synchronous.pool import Pool
from pymongo.topology_description import TopologyDescription

from handlers.storage.direct_reads import DirectReads, threaded_path
from handlers.storage.driver import Driver, DriverCollection, DriverDatabase, Session
from handlers.storage.read_threads import ReadThreads
from handlers.storage.reads import Document, Query


class MotorSession(Session):
    """A session of Motor's client."""

    native: AsyncIOMotorClientSession

    @property
    def _state(self) -> ClientSession:
        state: ClientSession = self.native.delegate
        return state

    async def start_transaction(self) -> None:
        self.native.start_transaction()


class MotorDriver(Driver):
    """Motor's client."""

    concurrency = max(1, max_workers - 2)  # each operation occupies a thread

    def __init__(self, url: str, options: Mapping[str, Any]) -> None:
        self._client: AsyncIOMotorClient[dict[str, Any]] = AsyncIOMotorClient(url, **options)
        self._threads = ReadThreads("mongodb-read", self.concurrency)
        self.reads = DirectReads(self._client.delegate, threaded_path(self._threads))

    @property
    def topology(self) -> TopologyDescription:
        topology: TopologyDescription = self._client.delegate.topology_description
        return topology

    @property
    def pools(self) -> list[Pool]:
        """Return the connection pools of the known servers."""
        return [server.pool for server in list(self._client.delegate._topology._servers.values())]

    def database(self, name: str, codec: CodecOptions[Any] | None = None) -> DriverDatabase:
        return self._client.get_database(name, codec_options=codec)

    async def find(self, collection: DriverCollection, query: Query) -> list[Document]:
        """Return the matches without a thread, or after one hop to a thread, where Motor makes one for each reply."""
        return await self.reads.find(collection.delegate, query)

    async def start_session(self) -> Session:
        return MotorSession(self, await self._client.start_session())

    async def replace_connections(self) -> None:
        self.reads.close_free()
        for pool in self.pools:
            pool.reset_without_pause()

    async def close(self) -> None:
        await self.reads.close()
        self._client.close()
        self._threads.close()

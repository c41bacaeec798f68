"""PyMongo's own client for asyncio."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bson.codec_options import CodecOptions
from pymongo import AsyncMongoClient
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.pool import Pool
from pymongo.topology_description import TopologyDescription

from handlers.storage.direct_reads import DirectReads, async_path
from handlers.storage.driver import Driver, DriverCollection, DriverDatabase, Session
from handlers.storage.reads import Document, Query


class PyMongoSession(Session):
    """A session of PyMongo's client."""

    native: AsyncClientSession

    @property
    def _state(self) -> AsyncClientSession:
        return self.native

    async def start_transaction(self) -> None:
        await self.native.start_transaction()


class PyMongoDriver(Driver):
    """PyMongo's client."""

    concurrency = 64  # PyMongo's pool has 100 connections

    def __init__(self, url: str, options: Mapping[str, Any]) -> None:
        self._client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(url, **options)
        self.reads = DirectReads(self._client, async_path())

    @property
    def topology(self) -> TopologyDescription:
        return self._client.topology_description

    @property
    def pools(self) -> list[Pool]:
        """Return the connection pools of the known servers."""
        return [server.pool for server in list(self._client._topology._servers.values())]

    def database(self, name: str, codec: CodecOptions[Any] | None = None) -> DriverDatabase:
        return self._client.get_database(name, codec_options=codec)

    async def find(self, collection: DriverCollection, query: Query) -> list[Document]:
        return await self.reads.find(collection, query)

    async def start_session(self) -> Session:
        return PyMongoSession(self, self._client.start_session())

    async def replace_connections(self) -> None:
        self.reads.close_free()
        for pool in self.pools:
            await pool.reset_without_pause()

    async def close(self) -> None:
        await self.reads.close()
        await self._client.close()

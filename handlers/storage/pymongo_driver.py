"""PyMongo's own client for asyncio."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bson.codec_options import CodecOptions
from pymongo import AsyncMongoClient
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.topology_description import TopologyDescription

from handlers.storage.driver import Driver, DriverCollection, DriverDatabase, Session
from handlers.storage.reads import Document, Query, find_all_async


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

    @property
    def topology(self) -> TopologyDescription:
        return self._client.topology_description

    def database(self, name: str, codec: CodecOptions[Any] | None = None) -> DriverDatabase:
        return self._client.get_database(name, codec_options=codec)

    async def find(self, collection: DriverCollection, query: Query) -> list[Document]:
        return await find_all_async(collection, query)

    async def start_session(self) -> Session:
        return PyMongoSession(self, self._client.start_session())

    async def replace_connections(self) -> None:
        for server in list(self._client._topology._servers.values()):
            await server.pool.reset_without_pause()

    async def close(self) -> None:
        await self._client.close()

"""Motor: PyMongo in threads, with futures for its results. No other module of `proxy` imports it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, cast

from motor.motor_asyncio import AsyncIOMotorClient, AsyncIOMotorCommandCursor
from pymongo.topology_description import TopologyDescription

from proxy.database.driver import ChangeStream, Collection, DatabaseDriver, Document


class MotorDriver(DatabaseDriver):
    """Motor's client."""

    def __init__(self, url: str, options: Mapping[str, Any]) -> None:
        self._client: AsyncIOMotorClient[Document] = AsyncIOMotorClient(url, **options)

    @property
    def topology(self) -> TopologyDescription:
        topology: TopologyDescription = self._client.delegate.topology_description
        return topology

    def database(self, name: str) -> Any:
        return self._client[name]

    async def aggregate(self, collection: Collection, stages: Sequence[Document], **options: Any) -> list[Document]:
        cursor = cast("AsyncIOMotorCommandCursor[Document]", collection.aggregate(stages, **options))
        documents: list[Document] = await cursor.to_list(None)
        return documents

    async def watch(self, collection: Collection, stages: Sequence[Document]) -> ChangeStream:
        return cast("ChangeStream", collection.watch(stages))

    async def close(self) -> None:
        """Close all connections, in a thread because the driver waits for the server."""
        await asyncio.to_thread(self._client.close)

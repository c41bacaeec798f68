"""Queries that return all their matches, each as one command.

    documents = find_all(collection, Query({"clinician": identity}, sort=[("started_at", -1)]))

A cursor costs the driver 1.5 times as much as a command, and its first reply has 101 documents. The driver does not
retry a command, however, and its reply holds at most 16 MiB. A query is therefore repeated once if it fails with a
retryable error, as by Node's driver, and repeated with a cursor if it has more matches.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from pymongo import ReadPreference
from pymongo.errors import (
    AutoReconnect,
    NetworkTimeout,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
)

if TYPE_CHECKING:
    from pymongo.asynchronous.collection import AsyncCollection
    from pymongo.collection import Collection

Document: TypeAlias = dict[str, Any]

BATCH: Final = 100_000
"""Documents that one reply may hold; the server returns 101 if none are stated."""

RETRYABLE: Final = frozenset({6, 7, 89, 91, 134, 189, 262, 9001, 10107, 11600, 11602, 13435, 13436})
"""Server error codes for which a read is retried (specification "Retryable Reads")."""


class Query(NamedTuple):
    """A filter, the fields to return (all if none are given), the order, and the page; `limit` 0 is all matches."""

    filter: Mapping[str, object]
    fields: Sequence[str] = ()
    sort: Sequence[tuple[str, int]] = ()
    limit: int = 0
    skip: int = 0

    def command(self, collection: str) -> Document:
        """Return the command; sorted documents carry their `$recordId`."""
        command: Document = {"find": collection, "filter": self.filter, "batchSize": BATCH}
        if self.fields:
            command["projection"] = dict.fromkeys(self.fields, 1)
        if self.sort:
            command["sort"] = dict(self.sort)
            command["showRecordId"] = True
        if self.skip:
            command["skip"] = self.skip
        if self.limit:
            command |= {"limit": self.limit, "singleBatch": True}
        return command

    def options(self) -> Document:
        """Return the query as arguments of `find`."""
        return {
            "filter": self.filter,
            "projection": dict.fromkeys(self.fields, 1) if self.fields else None,
            "sort": list(self.sort) or None,
            "skip": self.skip,
            "limit": -self.limit,
            "batch_size": BATCH,
            "show_record_id": bool(self.sort),
        }


def find_all(collection: Collection[Document], query: Query) -> list[Document]:
    """Return the matches through PyMongo's blocking collection."""
    try:
        return find_once(collection, query)
    except PyMongoError as error:
        if not is_retryable(error):
            raise
    return find_once(collection, query)


def find_once(collection: Collection[Document], query: Query) -> list[Document]:
    """Return the matches; raise the first error."""
    if is_plain(collection):
        database = collection.database
        reply = database.command(query.command(collection.name), codec_options=collection.codec_options)
        if not reply["cursor"]["id"]:
            return _documents_of(reply)
        return find_by_cursor(collection, query, reply)
    return collection.find(**query.options()).to_list()


def find_by_cursor(collection: Collection[Document], query: Query, reply: Mapping[str, Any]) -> list[Document]:
    """Return the matches with a cursor, after a command's reply that holds only some; end the cursor of that."""
    with contextlib.suppress(PyMongoError):
        collection.database.command(_kill(collection.name, reply))
    return collection.find(**query.options()).to_list()


async def find_all_async(collection: AsyncCollection[Document], query: Query) -> list[Document]:
    """Return the matches through PyMongo's collection for asyncio."""
    try:
        return await find_once_async(collection, query)
    except PyMongoError as error:
        if not is_retryable(error):
            raise
    return await find_once_async(collection, query)


async def find_once_async(collection: AsyncCollection[Document], query: Query) -> list[Document]:
    """Return the matches; raise the first error."""
    if is_plain(collection):
        database = collection.database
        reply = await database.command(query.command(collection.name), codec_options=collection.codec_options)
        if not reply["cursor"]["id"]:
            return _documents_of(reply)
        return await find_by_cursor_async(collection, query, reply)
    return await collection.find(**query.options()).to_list()


async def find_by_cursor_async(
    collection: AsyncCollection[Document], query: Query, reply: Mapping[str, Any]
) -> list[Document]:
    """Return the matches with a cursor, after a command's reply that holds only some; end the cursor of that."""
    with contextlib.suppress(PyMongoError):
        await collection.database.command(_kill(collection.name, reply))
    return await collection.find(**query.options()).to_list()


def is_plain(collection: Collection[Document] | AsyncCollection[Document]) -> bool:
    """Return whether a collection reads from the primary with the server's read concern, as commands do."""
    return collection.read_preference == ReadPreference.PRIMARY and collection.read_concern.level is None


def is_retryable(error: PyMongoError) -> bool:
    """Return whether a failed read should be tried again; one that ran out of time should not."""
    if isinstance(error, ServerSelectionTimeoutError | NetworkTimeout):
        return False
    return isinstance(error, AutoReconnect) or (isinstance(error, OperationFailure) and error.code in RETRYABLE)


def _documents_of(reply: Mapping[str, Any]) -> list[Document]:
    documents: list[Document] = reply["cursor"]["firstBatch"]
    return documents


def _kill(collection: str, reply: Mapping[str, Any]) -> Document:
    return {"killCursors": collection, "cursors": [reply["cursor"]["id"]]}

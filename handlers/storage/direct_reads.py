"""Reads on the event loop, over connections of PyMongo's pool, with PyMongo's own path for everything unusual.

    find ─▶ free connection ─▶ OP_MSG ─▶ event loop ─▶ reply ─▶ documents
      └─▶ none, or a failure: PyMongo, from the start

PyMongo spends four times as long on a command as on its bytes: an implicit session, server selection, a checkout, a
retry loop, and events. Its blocking client needs a thread with a way there and back, its client for asyncio two tasks
for each reply. A borrowed connection is used for one `find` at a time, without a session. Connections that are
encrypted or compressed are not borrowed.

A read that fails with a retryable error is repeated once, by PyMongo, as in `find_all`. The server refuses a read on
a connection to a former primary. A connection of an earlier generation of its pool is closed before its use.
`$clusterTime` is not sent, because these reads are not causally consistent with anything.

If a release of PyMongo lacks a name that `borrowed_connection` uses, a warning is logged and PyMongo reads everything;
tests/handlers/storage/test_direct_reads.py fails for such a release.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextvars import Context
from functools import partial
from typing import Any, Final, NamedTuple, TypeAlias

import bson
from pymongo import AsyncMongoClient, MongoClient
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.collection import Collection
from pymongo.errors import AutoReconnect, ExecutionTimeout, OperationFailure, PyMongoError

from handlers.storage.borrowed_connection import (
    MAX_BORROWED,
    BorrowedConnection,
    UnsuitableError,
    borrow,
    borrow_async,
    give_back,
    give_back_async,
)
from handlers.storage.errors import EXCEEDED_TIME
from handlers.storage.read_threads import ReadThreads
from handlers.storage.reads import (
    Document,
    Query,
    find_all,
    find_all_async,
    find_by_cursor,
    find_by_cursor_async,
    find_once,
    find_once_async,
    is_plain,
    is_retryable,
)
from handlers.storage.reply_channel import ReplyChannel

AnyClient: TypeAlias = MongoClient[Document] | AsyncMongoClient[Document]
AnyCollection: TypeAlias = Collection[Document] | AsyncCollection[Document]

logger = logging.getLogger(__name__)

_TOPOLOGIES: Final = frozenset({"Single", "ReplicaSetWithPrimary"})
_COMMAND_LOG: Final = logging.getLogger("pymongo.command")


class ClientPath(NamedTuple):
    """The functions of `reads` and `borrowed_connection` for one kind of client, as awaitables."""

    find_all: Callable[..., Awaitable[list[Document]]]
    find_once: Callable[..., Awaitable[list[Document]]]
    find_by_cursor: Callable[..., Awaitable[list[Document]]]
    borrow: Callable[..., Awaitable[BorrowedConnection]]
    give_back: Callable[..., asyncio.Future[None]]
    """Goes on if the caller does not wait, or is cancelled while it waits with `asyncio.shield`."""


def threaded_path(threads: ReadThreads) -> ClientPath:
    """Return the path of a blocking client, through threads."""
    functions: tuple[Callable[..., Any], ...] = (find_all, find_once, find_by_cursor, borrow, give_back)
    return ClientPath(*(partial(threads.submit, function) for function in functions))


def async_path() -> ClientPath:
    """Return the path of a client for asyncio."""
    return ClientPath(find_all_async, find_once_async, find_by_cursor_async, borrow_async, _start_give_back)


def _start_give_back(borrowed: BorrowedConnection, error: Exception | None) -> asyncio.Task[None]:
    return asyncio.get_running_loop().create_task(give_back_async(borrowed, error), context=Context())


class DirectReads:
    """The reads of one client on one event loop.

    Connections are borrowed one after the other, each after a read that found none free and that PyMongo has
    answered, unless one has been borrowed meanwhile.
    """

    def __init__(self, client: AnyClient, path: ClientPath) -> None:
        self.channels: set[ReplyChannel] = set()
        self.free: list[ReplyChannel] = []
        """Those of `channels` without a command."""
        self.is_disabled = False
        """True if the client, or this release of PyMongo, is unsuitable: PyMongo reads everything."""
        self._client = client
        self._path = path
        self._loop: asyncio.AbstractEventLoop | None = None
        self._opening: asyncio.Task[None] | None = None
        self._returning: set[asyncio.Future[None]] = set()

    async def find(self, collection: AnyCollection, query: Query) -> list[Document]:
        """Return the matches; raise the errors of `find_all`."""
        channel = self._take_channel(collection)
        if channel is None:
            before = len(self.channels)
            documents = await self._path.find_all(collection, query)
            if len(self.channels) == before:
                self._open_another()
            return documents
        reply = await self._read(channel, collection, query)
        if isinstance(reply, _Unanswered):
            return await self._repeat(reply, collection, query)
        if reply["cursor"]["id"]:
            return await self._path.find_by_cursor(collection, query, reply)
        matches: list[Document] = reply["cursor"]["firstBatch"]
        return matches

    async def _read(self, channel: ReplyChannel, collection: AnyCollection, query: Query) -> Document | _Unanswered:
        """Return the server's reply; raise the error of a read that has run out of time."""
        codec = collection.codec_options
        try:
            pending = channel.send(query.command(collection.name), collection.database.name, codec)
        except Exception:  # raised again by PyMongo
            self.free.append(channel)
            return _Unanswered()
        try:
            document = await pending
        except AutoReconnect as error:
            returning = self._remove(channel, error)
            if is_retryable(error):
                return _Unanswered(returning)
            raise
        except BaseException:
            self._remove(channel)
            raise
        try:
            reply: Document = bson.decode(document, codec)
        except Exception:  # a document that cannot be decoded
            self.free.append(channel)
            return _Unanswered()
        if not reply["ok"]:
            return self._refused(channel, reply)
        self.free.append(channel)
        return reply

    def _refused(self, channel: ReplyChannel, reply: Document) -> _Unanswered:
        """Return what remains to do after a retryable error of the server; raise any other."""
        code = reply.get("code")
        kind = ExecutionTimeout if code == EXCEEDED_TIME else OperationFailure
        error = kind(reply["errmsg"], code, reply)
        if is_retryable(error):  # such as a former primary's
            return _Unanswered(self._remove(channel, error))
        self.free.append(channel)
        raise error

    async def _repeat(self, read: _Unanswered, collection: AnyCollection, query: Query) -> list[Document]:
        """Return the matches through PyMongo, at the second attempt if the first has failed."""
        if read.returning is None:
            return await self._path.find_all(collection, query)
        await asyncio.shield(read.returning)
        return await self._path.find_once(collection, query)

    def _take_channel(self, collection: AnyCollection) -> ReplyChannel | None:
        """Return a free channel; None if there is none, or for a read that is not plain or whose command is logged."""
        if (
            not self.free
            or not is_plain(collection)
            or _COMMAND_LOG.isEnabledFor(logging.DEBUG)
            or asyncio.get_running_loop() is not self._loop
        ):
            return None
        while self.free:
            channel = self.free.pop()
            if channel.is_usable:
                return channel
            self._remove(channel)
        return None

    def _remove(self, channel: ReplyChannel, error: Exception | None = None) -> asyncio.Future[None]:
        """Close a channel; return the future of its connection's return to the pool, which handles the error."""
        channel.close()
        self.channels.discard(channel)
        return self._give_back(channel.connection, error)

    def _give_back(self, connection: BorrowedConnection, error: Exception | None = None) -> asyncio.Future[None]:
        returning = self._path.give_back(connection, error)
        self._returning.add(returning)
        returning.add_done_callback(self._returning.discard)
        return returning

    def _remove_free(self, channel: ReplyChannel) -> None:
        if channel in self.free:  # otherwise its reply is being read, and the channel is found unusable later
            self.free.remove(channel)
            self._remove(channel)

    def _open_another(self) -> None:
        if self.is_disabled or self._opening is not None or len(self.channels) >= MAX_BORROWED:
            return
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
        if self._loop is loop and self._client.topology_description.topology_type_name in _TOPOLOGIES:
            self._opening = loop.create_task(self._open(), context=Context())

    async def _open(self) -> None:
        try:
            connection = await self._path.borrow(self._client)
            channel = await self._connect(connection)
        except UnsuitableError:
            self.is_disabled = True
        except (PyMongoError, OSError):
            logger.debug("no connection for reads yet")
        except Exception as error:
            self.is_disabled = True
            logger.warning("PyMongo reads everything, more slowly: %s", type(error).__name__)
        else:
            self.channels.add(channel)
            self.free.append(channel)
        finally:
            self._opening = None

    async def _connect(self, connection: BorrowedConnection) -> ReplyChannel:
        """Return the channel of a connection, which is ended if it fails."""
        loop = asyncio.get_running_loop()
        try:
            connection.socket.setblocking(False)
            _, channel = await loop.create_connection(
                lambda: ReplyChannel(connection, self._remove_free), sock=connection.socket
            )
        except BaseException:
            connection.socket.close()
            self._give_back(connection)
            raise
        return channel

    def close_free(self) -> None:
        """Close the free connections."""
        while self.free:
            self._remove(self.free.pop())

    async def close(self) -> None:
        """Close the connections."""
        self.is_disabled = True
        if self._opening is not None:
            await asyncio.wait([self._opening])
        self.free.clear()
        for channel in tuple(self.channels):
            self._remove(channel)
        if self._returning:
            await asyncio.wait(self._returning)


class _Unanswered(NamedTuple):
    """A read for PyMongo: one that was not sent or not decoded, or one that failed with its connection."""

    returning: asyncio.Future[None] | None = None
    """The connection's way back to the pool."""

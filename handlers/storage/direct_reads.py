"""Reads on the event loop, over connections of PyMongo's pool, with PyMongo's own path for everything unusual.

    find ─▶ free connection ─▶ OP_MSG ─▶ event loop ─▶ reply ─▶ documents
      └─▶ none, or a failure: PyMongo in a thread, from the start

PyMongo spends four times as long on a command as on its bytes: an implicit session, server selection, a checkout, a
retry loop, events, and a thread with a way there and back. A borrowed connection is used for one `find` at a time,
without a session. Connections that are encrypted or compressed are not borrowed.

A read that fails with a retryable error is repeated once, by PyMongo, as in `find_all`. The server refuses a read on
a connection to a former primary. A connection of an earlier generation of its pool is closed before its use.
`$clusterTime` is not sent, because these reads are not causally consistent with anything.

If a release of PyMongo lacks a name that `BorrowedConnection` uses, a warning is logged and PyMongo reads everything;
tests/handlers/storage/test_direct_reads.py fails for such a release.
"""

from __future__ import annotations

import asyncio
import logging
from contextvars import Context
from typing import TYPE_CHECKING, Final

import bson
from pymongo.errors import AutoReconnect, ExecutionTimeout, OperationFailure, PyMongoError

from handlers.storage.borrowed_connection import MAX_BORROWED, BorrowedConnection, UnsuitableError
from handlers.storage.errors import EXCEEDED_TIME
from handlers.storage.read_threads import ReadThreads
from handlers.storage.reads import Document, Query, find_all, find_by_cursor, find_once, is_plain, is_retryable
from handlers.storage.reply_channel import ReplyChannel

if TYPE_CHECKING:
    from pymongo import MongoClient
    from pymongo.collection import Collection

logger = logging.getLogger(__name__)

_TOPOLOGIES: Final = frozenset({"Single", "ReplicaSetWithPrimary"})
_COMMAND_LOG: Final = logging.getLogger("pymongo.command")


class DirectReads:
    """The reads of one client on one event loop.

    Connections are borrowed one after the other, each after a read that found none free and that PyMongo has
    answered.
    """

    def __init__(self, client: MongoClient[Document], threads: ReadThreads) -> None:
        self.channels: set[ReplyChannel] = set()
        self.free: list[ReplyChannel] = []
        """Those of `channels` without a command."""
        self.is_disabled = False
        """True if the client, or this release of PyMongo, is unsuitable: PyMongo reads everything."""
        self._client = client
        self._threads = threads
        self._loop: asyncio.AbstractEventLoop | None = None
        self._opening: asyncio.Task[None] | None = None

    async def find(self, collection: Collection[Document], query: Query) -> list[Document]:
        """Return the matches; raise the errors of `find_all`."""
        channel = self._take_channel(collection)
        if channel is None:
            documents: list[Document] = await self._threads.submit(find_all, collection, query)
            self._open_another()
            return documents
        reply = await self._read(channel, collection, query)
        if isinstance(reply, _Unanswered):
            documents = await self._threads.submit(reply.repeat, collection, query)
        elif reply["cursor"]["id"]:
            documents = await self._threads.submit(find_by_cursor, collection, query, reply)
        else:
            documents = reply["cursor"]["firstBatch"]
        return documents

    async def _read(
        self, channel: ReplyChannel, collection: Collection[Document], query: Query
    ) -> Document | _Unanswered:
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
            connection = self._remove(channel)
            if is_retryable(error):
                return _Unanswered(connection, error)
            self._threads.submit(connection.end, error)
            raise
        except BaseException:
            self._threads.submit(self._remove(channel).end)
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
            return _Unanswered(self._remove(channel), error)
        self.free.append(channel)
        raise error

    def _take_channel(self, collection: Collection[Document]) -> ReplyChannel | None:
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
            self._threads.submit(self._remove(channel).end)
        return None

    def _remove(self, channel: ReplyChannel) -> BorrowedConnection:
        """Close a channel; its connection remains to be ended, which may block."""
        channel.close()
        self.channels.discard(channel)
        return channel.connection

    def _remove_free(self, channel: ReplyChannel) -> None:
        if channel in self.free:  # otherwise its reply is being read, and the channel is found unusable later
            self.free.remove(channel)
            self._threads.submit(self._remove(channel).end)

    def _open_another(self) -> None:
        if self.is_disabled or self._opening is not None or self.free or len(self.channels) >= MAX_BORROWED:
            return
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
        if self._loop is loop and self._client.topology_description.topology_type_name in _TOPOLOGIES:
            self._opening = loop.create_task(self._open(), context=Context())

    async def _open(self) -> None:
        try:
            connection: BorrowedConnection = await self._threads.submit(BorrowedConnection, self._client)
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
            self._threads.submit(connection.end)
            raise
        return channel

    def close_free(self) -> None:
        """Close the free connections."""
        while self.free:
            self._threads.submit(self._remove(self.free.pop()).end)

    async def close(self) -> None:
        """Close the connections."""
        self.is_disabled = True
        if self._opening is not None:
            await asyncio.wait([self._opening])
        self.free.clear()
        for channel in tuple(self.channels):
            self._remove(channel).end()


class _Unanswered:
    """A read for PyMongo: one that was not sent or not decoded, or one that failed with its connection."""

    def __init__(self, connection: BorrowedConnection | None = None, error: Exception | None = None) -> None:
        self._connection = connection
        self._error = error

    def repeat(self, collection: Collection[Document], query: Query) -> list[Document]:
        """Return the matches; blocks."""
        if self._connection is None:
            return find_all(collection, query)
        self._connection.end(self._error)
        return find_once(collection, query)

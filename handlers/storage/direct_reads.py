"""Reads on the event loop, over connections of PyMongo's pool, with PyMongo's own path for everything unusual.

    find ─▶ free connection ─▶ OP_MSG ─▶ event loop ─▶ reply ─▶ documents
      └─▶ none, or a failure: PyMongo in a thread, from the start

PyMongo spends four times as long on a command as on its bytes: an implicit session, server selection, a checkout, a
retry loop, events, and a thread with a way there and back. Here a connection is checked out once, by PyMongo, which
has also opened it and authenticated on it. It is used for one `find` at a time, without a session, and is never
returned to the pool open: it is closed before, so that the pool meets no connection in an unknown state.

A read that fails with a retryable error is repeated once, by PyMongo, as in `find_all`. The server refuses a read on
a connection to a former primary. A connection of an earlier generation of its pool is closed before its use.
`$clusterTime` is not sent, because these reads are not causally consistent with anything.

The names of PyMongo that are not public are used in `_CheckedOut` only. If a release lacks one, a warning is logged
and PyMongo reads everything; tests/handlers/storage/test_direct_reads.py fails for such a release.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Mapping
from contextvars import Context
from itertools import count
from struct import Struct
from typing import TYPE_CHECKING, Any, Final, cast

import bson
from pymongo import ReadPreference
from pymongo.errors import AutoReconnect, ExecutionTimeout, NetworkTimeout, OperationFailure, PyMongoError

from handlers.storage.errors import EXCEEDED_TIME
from handlers.storage.read_threads import ReadThreads
from handlers.storage.reads import Document, Query, find_all, find_by_cursor, find_once, is_plain, is_retryable

if TYPE_CHECKING:
    from bson.codec_options import CodecOptions
    from pymongo import MongoClient
    from pymongo.collection import Collection

logger = logging.getLogger(__name__)

MAX_CONNECTIONS: Final = 8
MIN_POOL_SIZE: Final = 4 * MAX_CONNECTIONS
"""A smaller pool lends no connections, which would be missing elsewhere."""

MAX_MESSAGE: Final = 1 << 20
"""Bytes of a command, beyond which PyMongo sends it and checks the server's limit."""

_HEAD: Final = Struct("<iiiiIB")
"""Length, request, request answered, operation, flags, kind of the section: the bytes before the command."""
_OP_MSG: Final = 2013
_TOPOLOGIES: Final = frozenset({"Single", "ReplicaSetWithPrimary"})
_COMMAND_LOG: Final = logging.getLogger("pymongo.command")

_request_ids: Final = count(1)


class UnsuitableError(Exception):
    """A client whose commands only PyMongo can send."""


class _CheckedOut:
    """A connection that is checked out of the pool of the primary, or of the only server; blocks.

    Raises `UnsuitableError`, `PyMongoError`, or `AttributeError` if PyMongo has changed.
    """

    def __init__(self, client: Any) -> None:
        self._checkout = client._conn_for_reads(ReadPreference.PRIMARY, None, "find")
        self._connection, preference = self._checkout.__enter__()
        try:
            _require_plain(client, self._connection)
            self.timeout: float | None = client.options.timeout or self._connection.opts.socket_timeout
            self.fields: Document = {} if client.options.timeout is None else {"maxTimeMS": _milliseconds(self.timeout)}
            self.suffix: Document = {"$readPreference": preference.document} if preference.mode else {}
            self.is_stale()
            self.socket: socket.socket = self._connection.conn.sock.dup()
        except BaseException:
            self._checkout.__exit__(None, None, None)
            raise

    def is_stale(self) -> bool:
        """Return whether the pool has been cleared since the connection was opened."""
        connection = self._connection
        return bool(connection.pool_gen.stale(connection.generation, connection.service_id))

    def end(self, error: Exception | None = None) -> None:
        """Close the connection and count it out of the pool, which is cleared if the error asks for that; blocks."""
        self._connection.close_conn(None)
        self._checkout.__exit__(type(error) if error else None, error, None)


def _require_plain(client: Any, connection: Any) -> None:
    """Raise `UnsuitableError` unless commands are sent unencrypted, uncompressed, unobserved and as they are."""
    options = connection.opts
    if (
        type(connection.conn.sock) is not socket.socket
        or connection.compression_context is not None
        or connection.more_to_come
        or client._encrypter is not None
        or client.options.event_listeners
        or options.server_api is not None
        or options.load_balanced
        or options.max_idle_time_seconds is not None
        or options.max_pool_size < MIN_POOL_SIZE
    ):
        raise UnsuitableError


def _milliseconds(seconds: float | None) -> int:
    return max(1, int((seconds or 0) * 1000))


class _Channel(asyncio.Protocol):
    """A connection with at most one command, whose reply is a future."""

    def __init__(self, checked_out: _CheckedOut, on_idle_closed: Callable[[_Channel], None]) -> None:
        self.checked_out = checked_out
        self._on_idle_closed = on_idle_closed
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._pending: asyncio.Future[memoryview] | None = None
        self._request = 0
        self._timer: asyncio.TimerHandle | None = None
        self._received = bytearray()
        self._is_closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember the transport."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own does not inherit from it

    @property
    def is_usable(self) -> bool:
        """Return whether a command may be sent."""
        return not self._is_closed and not self.checked_out.is_stale()

    def send(self, message: bytes, request: int) -> asyncio.Future[memoryview]:
        """Send a command; return a future of the reply's document, or of `AutoReconnect` (`NetworkTimeout`).

        If the future fails or is cancelled, the channel must be closed.
        """
        assert self._transport is not None
        assert self._pending is None, "a channel has one command at a time"
        self._pending = self._loop.create_future()
        self._request = request
        if self.checked_out.timeout is not None:
            self._timer = self._loop.call_later(self.checked_out.timeout, self._expire)
        self._transport.write(message)
        return self._pending

    def data_received(self, data: bytes) -> None:
        """Collect the bytes of the reply."""
        if self._received:
            self._received += data
        if self._pending is None:
            self._fail(AutoReconnect("a message that nothing asked for"))
            return
        received = self._received or data
        length = int.from_bytes(received[:4], "little") if len(received) >= _HEAD.size else len(received) + 1
        if len(received) < length:
            self._received = self._received or bytearray(data)
            return
        _, _, answered, operation, flags, kind = _HEAD.unpack_from(received)
        if len(received) > length or (answered, operation, flags, kind) != (self._request, _OP_MSG, 0, 0):
            self._fail(AutoReconnect("a reply that is not the one to the command"))
            return
        self._received = bytearray()
        pending = self._end_command()
        if not pending.done():
            pending.set_result(memoryview(received)[_HEAD.size :])

    def connection_lost(self, error: Exception | None) -> None:
        """Fail the command."""
        self._fail(AutoReconnect(f"connection closed: {error}" if error else "connection closed"))

    def close(self) -> None:
        """Close the connection, without waiting."""
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._transport is not None:
            self._transport.abort()

    def _expire(self) -> None:
        self._fail(NetworkTimeout("timed out"))

    def _fail(self, error: AutoReconnect) -> None:
        was_closed, self._is_closed = self._is_closed, True
        if self._pending is not None:
            pending = self._end_command()
            if not pending.done():
                pending.set_exception(error)
        elif not was_closed:
            self._on_idle_closed(self)

    def _end_command(self) -> asyncio.Future[memoryview]:
        """Return the future of the command, which is done if its caller has gone; the channel is free."""
        assert self._pending is not None
        pending, self._pending = self._pending, None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        return pending


class DirectReads:
    """The reads of one client on one event loop.

    Connections are checked out one after the other, each after a read that found none free and that PyMongo has
    answered.
    """

    def __init__(self, client: MongoClient[Document], threads: ReadThreads) -> None:
        self._client = client
        self._threads = threads
        self._loop: asyncio.AbstractEventLoop | None = None
        self._idle: list[_Channel] = []
        self._channels: set[_Channel] = set()
        self._opening: asyncio.Task[None] | None = None
        self._is_disabled = False

    @property
    def open_connections(self) -> int:
        """Number of connections that are checked out."""
        return len(self._channels)

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

    async def _read(self, channel: _Channel, collection: Collection[Document], query: Query) -> Document | _Unanswered:
        """Return the server's reply; raise the error of a read that has run out of time."""
        codec, request = collection.codec_options, next(_request_ids) & 0x7FFFFFFF
        try:
            message = _encode(query.command(collection.name), collection.database.name, channel, codec, request)
        except Exception:  # raised again by PyMongo
            self._idle.append(channel)
            return _Unanswered()
        try:
            document = await channel.send(message, request)
        except AutoReconnect as error:
            checked_out = self._remove(channel)
            if is_retryable(error):
                return _Unanswered(checked_out, error)
            self._threads.submit(checked_out.end, error)
            raise
        except BaseException:
            self._threads.submit(self._remove(channel).end)
            raise
        try:
            reply: Document = bson.decode(document, codec)
        except Exception:  # a document that cannot be decoded
            self._idle.append(channel)
            return _Unanswered()
        if not reply["ok"]:
            return self._refused(channel, reply)
        self._idle.append(channel)
        return reply

    def _refused(self, channel: _Channel, reply: Document) -> _Unanswered:
        """Return what remains to do after a retryable error of the server; raise any other."""
        code = reply.get("code")
        kind = ExecutionTimeout if code == EXCEEDED_TIME else OperationFailure
        error = kind(reply["errmsg"], code, reply)
        if is_retryable(error):  # such as a former primary's
            return _Unanswered(self._remove(channel), error)
        self._idle.append(channel)
        raise error

    def _take_channel(self, collection: Collection[Document]) -> _Channel | None:
        """Return a free channel; None if there is none, or for a read that is not plain or whose command is logged."""
        if (
            not self._idle
            or not is_plain(collection)
            or _COMMAND_LOG.isEnabledFor(logging.DEBUG)
            or asyncio.get_running_loop() is not self._loop
        ):
            return None
        while self._idle:
            channel = self._idle.pop()
            if channel.is_usable:
                return channel
            self._threads.submit(self._remove(channel).end)
        return None

    def _remove(self, channel: _Channel) -> _CheckedOut:
        """Close a channel; its connection remains to be ended, which may block."""
        channel.close()
        self._channels.discard(channel)
        return channel.checked_out

    def _remove_idle(self, channel: _Channel) -> None:
        if channel in self._channels:
            self._idle.remove(channel)
            self._threads.submit(self._remove(channel).end)

    def _open_another(self) -> None:
        if self._is_disabled or self._opening is not None or self._idle or len(self._channels) >= MAX_CONNECTIONS:
            return
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
        if self._loop is loop and self._client.topology_description.topology_type_name in _TOPOLOGIES:
            self._opening = loop.create_task(self._open(), context=Context())

    async def _open(self) -> None:
        try:
            checked_out: _CheckedOut = await self._threads.submit(_CheckedOut, self._client)
            channel = await self._connect(checked_out)
        except UnsuitableError:
            self._is_disabled = True
        except (PyMongoError, OSError):
            logger.debug("no connection for reads yet")
        except Exception as error:
            self._is_disabled = True
            logger.warning("PyMongo reads everything, more slowly: %s", type(error).__name__)
        else:
            self._channels.add(channel)
            self._idle.append(channel)
        finally:
            self._opening = None

    async def _connect(self, checked_out: _CheckedOut) -> _Channel:
        """Return the channel of a connection, which is ended if it fails."""
        loop = asyncio.get_running_loop()
        try:
            checked_out.socket.setblocking(False)
            _, channel = await loop.create_connection(
                lambda: _Channel(checked_out, self._remove_idle), sock=checked_out.socket
            )
        except BaseException:
            checked_out.socket.close()
            self._threads.submit(checked_out.end)
            raise
        return channel

    def close_idle(self) -> None:
        """Close the free connections."""
        while self._idle:
            self._threads.submit(self._remove(self._idle.pop()).end)

    async def close(self) -> None:
        """Close the connections."""
        self._is_disabled = True
        if self._opening is not None:
            await asyncio.wait([self._opening])
        self._idle.clear()
        for channel in tuple(self._channels):
            self._remove(channel).end()


class _Unanswered:
    """A read for PyMongo: one that was not sent or not decoded, or one that failed with its connection."""

    def __init__(self, checked_out: _CheckedOut | None = None, error: Exception | None = None) -> None:
        self._checked_out = checked_out
        self._error = error

    def repeat(self, collection: Collection[Document], query: Query) -> list[Document]:
        """Return the matches; blocks."""
        if self._checked_out is None:
            return find_all(collection, query)
        self._checked_out.end(self._error)
        return find_once(collection, query)


def _encode(
    command: Mapping[str, object], database: str, channel: _Channel, codec: CodecOptions[Any], request: int
) -> bytes:
    """Return a command as a message; raises `ValueError` for a long one, and the errors of BSON."""
    checked_out = channel.checked_out
    fields = {**command, **checked_out.fields, "$db": database, **checked_out.suffix}
    body = bson.encode(fields, codec_options=codec)
    if len(body) > MAX_MESSAGE:
        raise ValueError("a long command")
    return _HEAD.pack(_HEAD.size + len(body), request, 0, _OP_MSG, 0, 0) + body

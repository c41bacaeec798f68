"""A connection that PyMongo has opened and authenticated, borrowed from its pool for reads of our own.

    connection = borrow(client)                 # MongoClient: blocks
    connection = await borrow_async(client)     # AsyncMongoClient

The connection is closed before it is returned, so that the pool meets none in an unknown state. The names of PyMongo
used here are not public. If a release lacks one, both functions raise `AttributeError`. They also raise
`UnsuitableError` and `PyMongoError`.
"""

from __future__ import annotations

import os
import socket
from typing import Any, Final

from pymongo import ReadPreference

from handlers.storage.reads import Document

MAX_BORROWED: Final = 8
"""Connections borrowed from one pool."""
MIN_POOL_SIZE: Final = 4 * MAX_BORROWED
"""A smaller pool lends no connections, which would be missing elsewhere."""


class UnsuitableError(Exception):
    """A client whose commands only PyMongo can send."""


class BorrowedConnection:
    """A connection that is checked out of the pool of the primary, or of the only server.

    `socket` is a duplicate: closing it does not close the connection.
    """

    def __init__(self, client: Any, checkout: Any, connection: Any, read_preference: Any) -> None:
        _require_plain(client, connection)
        self.checkout = checkout
        self.connection = connection
        self.timeout: float | None = client.options.timeout or connection.opts.socket_timeout
        self.fields: Document = {} if client.options.timeout is None else {"maxTimeMS": _milliseconds(self.timeout)}
        self.suffix: Document = {"$readPreference": read_preference.document} if read_preference.mode else {}
        self.is_stale()
        self.socket = socket.socket(fileno=os.dup(connection.conn.sock.fileno()))

    def is_stale(self) -> bool:
        """Return whether the pool has been cleared since the connection was opened."""
        connection = self.connection
        return bool(connection.pool_gen.stale(connection.generation, connection.service_id))


def borrow(client: Any) -> BorrowedConnection:
    """Check a connection out of the pool of a `MongoClient`; blocks."""
    checkout = client._conn_for_reads(ReadPreference.PRIMARY, None, "find")
    lent = checkout.__enter__()
    try:
        return BorrowedConnection(client, checkout, *lent)
    except BaseException:
        checkout.__exit__(None, None, None)
        raise


def give_back(borrowed: BorrowedConnection, error: Exception | None) -> None:
    """Close the connection and count it out of the pool, which is cleared if the error asks for that; blocks."""
    borrowed.connection.close_conn(None)
    borrowed.checkout.__exit__(type(error) if error else None, error, None)


async def borrow_async(client: Any) -> BorrowedConnection:
    """Check a connection out of the pool of an `AsyncMongoClient`, whose transport stops reading."""
    checkout = await client._conn_for_reads(ReadPreference.PRIMARY, None, "find")
    lent = await checkout.__aenter__()
    try:
        lent[0].conn.get_conn.transport.pause_reading()
        return BorrowedConnection(client, checkout, *lent)
    except BaseException:
        await checkout.__aexit__(None, None, None)
        raise


async def give_back_async(borrowed: BorrowedConnection, error: Exception | None) -> None:
    """Close the connection and count it out of the pool, which is cleared if the error asks for that."""
    await borrowed.connection.close_conn(None)
    await borrowed.checkout.__aexit__(type(error) if error else None, error, None)


def _require_plain(client: Any, connection: Any) -> None:
    """Raise `UnsuitableError` unless commands are sent unencrypted, uncompressed, unobserved and as they are."""
    options = connection.opts
    if (
        options._ssl_context is not None
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

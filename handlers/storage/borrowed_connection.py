"""A connection that PyMongo has opened and authenticated, borrowed from its pool for reads of our own.

The connection is closed before it is returned, so that the pool meets none in an unknown state. The names of PyMongo
used here are not public. If a release lacks one, `BorrowedConnection` raises `AttributeError`.
"""

from __future__ import annotations

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

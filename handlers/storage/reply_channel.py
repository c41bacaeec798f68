"""Commands and replies in MongoDB's wire protocol (OP_MSG), one at a time, over a connection of the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import count
from struct import Struct
from typing import TYPE_CHECKING, Any, Final, cast

import bson
from pymongo.errors import AutoReconnect, NetworkTimeout

from common.late_timeout import LateTimer
from handlers.storage.borrowed_connection import BorrowedConnection
from handlers.storage.reads import Document

if TYPE_CHECKING:
    from bson.codec_options import CodecOptions

MAX_COMMAND: Final = 1 << 20
"""Bytes of a command, beyond which PyMongo sends it and checks the server's limit."""

MAX_REPLY: Final = 48_000_000
"""Bytes of a reply, as in PyMongo."""

_HEAD: Final = Struct("<iiiiIB")
"""Length, request, request answered, operation, flags, kind of the section: the bytes before the command."""
_OP_MSG: Final = 2013

_requests: Final = count(1)


class ReplyChannel(asyncio.Protocol):
    """A connection with at most one command, whose reply is a future."""

    def __init__(self, connection: BorrowedConnection, on_free_closed: Callable[[ReplyChannel], None]) -> None:
        self.connection = connection
        self._on_free_closed = on_free_closed
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._pending: asyncio.Future[memoryview] | None = None
        self._request = 0
        self._timer: LateTimer | None = None
        self._received = bytearray()
        self._is_closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember the transport."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own does not inherit from it

    @property
    def is_usable(self) -> bool:
        """Return whether a command may be sent."""
        return not self._is_closed and not self.connection.is_stale()

    def send(self, command: Document, database: str, codec: CodecOptions[Any]) -> asyncio.Future[memoryview]:
        """Send a command; return a future of the reply's document, or of `AutoReconnect` (`NetworkTimeout`).

        If the future fails or is cancelled, the channel must be closed. Raises `ValueError` for a command longer than
        `MAX_COMMAND`, and the errors of BSON; nothing is sent then.
        """
        assert self._transport is not None
        assert self._pending is None, "a channel has one command at a time"
        connection = self.connection
        body = bson.encode({**command, **connection.fields, "$db": database, **connection.suffix}, codec_options=codec)
        if len(body) > MAX_COMMAND:
            raise ValueError("a long command")
        self._request = next(_requests) & 0x7FFFFFFF
        self._pending = self._loop.create_future()
        if connection.timeout is not None:
            self._timer = LateTimer(connection.timeout, self._expire)
        self._transport.write(_HEAD.pack(_HEAD.size + len(body), self._request, 0, _OP_MSG, 0, 0) + body)
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
        if length > MAX_REPLY:
            self._fail(AutoReconnect("a reply of impossible length"))
            return
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
            self._on_free_closed(self)

    def _end_command(self) -> asyncio.Future[memoryview]:
        """Return the future of the command, which is done if its caller has gone; the channel is free."""
        assert self._pending is not None
        pending, self._pending = self._pending, None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        return pending

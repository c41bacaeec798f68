"""Messages over a socket between two processes of ours: pickled, each behind its length.

What is sent within one turn of the event loop is packed and written after it, so that the answer which is on its way to
a client goes first. The link itself has no bound; the gateway keeps the number and size of what is outstanding
within one, so nothing more can ever wait here.
"""

from __future__ import annotations

import asyncio
import pickle
import socket
from collections.abc import Callable
from struct import Struct
from typing import Final, Generic, TypeVar, cast

In = TypeVar("In")
Out = TypeVar("Out")

_LENGTH: Final = Struct(">Q")


class Link(asyncio.Protocol, Generic[In, Out]):
    """One end. `hear` is called with each message; `closed` is set once there will be none any more."""

    def __init__(self, hear: Callable[[In], None]) -> None:
        self.closed: Final = asyncio.Event()
        self._hear: Final = hear
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._waiting: list[Out] = []
        self._read = bytearray()

    async def open(self, own: socket.socket) -> None:
        """Speak over a socket that is connected, and from now on the link's."""
        await self._loop.create_unix_connection(lambda: self, sock=own)

    def send(self, message: Out) -> None:
        """Send soon; nowhere, where the link is closed."""
        if not self._waiting:
            self._loop.call_soon(self._flush)
        self._waiting.append(message)

    def close(self) -> None:
        """Send what waits, then close."""
        self._flush()
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self.closed.set()

    def data_received(self, data: bytes) -> None:
        self._read += data
        begin = 0
        while (found := self._next(begin)) is not None:
            end, message = found
            self._hear(message)
            begin = end
        del self._read[:begin]

    def _next(self, begin: int) -> tuple[int, In] | None:
        """The message that begins there, and where it ends; None while it is not there as a whole."""
        body = begin + _LENGTH.size
        if len(self._read) < body:
            return None
        end = body + int(_LENGTH.unpack_from(self._read, begin)[0])
        if len(self._read) < end:
            return None
        with memoryview(self._read) as view:
            return end, cast(In, pickle.loads(view[body:end]))  # noqa: S301 - from our own process, by no other way

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        if waiting and self._transport is not None and not self._transport.is_closing():
            self._transport.write(b"".join(map(_framed, waiting)))


def _framed(message: object) -> bytes:
    data = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    return _LENGTH.pack(len(data)) + data

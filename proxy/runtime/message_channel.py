"""Messages over a socket between two processes of one gateway: pickled, several together, behind their length.

Sending is put off until the turn of the event loop is over, so that the answer which is on its way to a client goes
first. Under load it is put off for longer, until `gather` seconds after the last time: waking up the other process, and
being woken by it, costs more than any message. What cannot wait says so. The queue has no bound of its own: whoever
sends bounds the number and size of what is outstanding. A batch that is longer than `max_batch` closes the channel.
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


class MessageChannel(asyncio.Protocol, Generic[In, Out]):
    """One end of a channel.

    `on_message` is called with each message; `closed` is set once no more can arrive. `max_batch` is in bytes.
    """

    def __init__(self, on_message: Callable[[In], None], gather: float = 0.0, max_batch: int | None = None) -> None:
        self.closed: Final = asyncio.Event()
        self._on_message: Final = on_message
        self._gather: Final = gather
        self._max_batch: Final = max_batch
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._waiting: list[Out] = []
        self._flushing: asyncio.Handle | None = None
        self._flushed = 0.0
        self._read = bytearray()

    async def open(self, own: socket.socket) -> None:
        """Use a connected socket, which from now on belongs to the channel."""
        await self._loop.create_unix_connection(lambda: self, sock=own)

    def send(self, message: Out, *, urgent: bool = False) -> None:
        """Send soon; nowhere, where the channel is closed. What waits goes along with what is `urgent`."""
        self._waiting.append(message)
        if urgent and self._flushing is not None:
            self._flushing.cancel()
            self._flushing = None
        if self._flushing is None:
            due = self._flushed + self._gather
            if urgent or due <= self._loop.time():
                self._flushing = self._loop.call_soon(self._flush)
            else:
                self._flushing = self._loop.call_at(due, self._flush)

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
        while (end := self._end(begin)) is not None:
            with memoryview(self._read) as view:
                messages = pickle.loads(view[begin + _LENGTH.size : end])  # noqa: S301 - from our own process alone
            for message in messages:
                self._on_message(message)
            begin = end
        del self._read[:begin]

    def _end(self, begin: int) -> int | None:
        """Where the messages end that begin there; None while they are not there as a whole."""
        body = begin + _LENGTH.size
        if len(self._read) < body:
            return None
        length = int(_LENGTH.unpack_from(self._read, begin)[0])
        if self._max_batch is not None and length > self._max_batch and self._transport is not None:
            self._transport.abort()
            return None
        end = body + length
        return end if end <= len(self._read) else None

    def _flush(self) -> None:
        if self._flushing is not None:
            self._flushing.cancel()
            self._flushing = None
        waiting, self._waiting = self._waiting, []
        if waiting and self._transport is not None and not self._transport.is_closing():
            data = pickle.dumps(waiting, pickle.HIGHEST_PROTOCOL)
            self._transport.write(_LENGTH.pack(len(data)) + data)
        self._flushed = self._loop.time()

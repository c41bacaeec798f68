"""Pickled messages between two processes of one gateway, over a socket, in length-prefixed batches.

Sending is deferred to the end of the event loop's iteration, so that answers to clients are sent first. Under load, it
is deferred until `gather` seconds after the last batch, because waking the other process costs more than a message.
A sender may leave it to `prepare` to build the messages of a batch, in steps between which the event loop does other
work. Urgent messages are sent without delay. The queue has no bound of its own: senders bound the number and size of
outstanding messages. A batch longer than `max_batch` closes the channel.
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
    `prepare` is called before each batch is sent, once in each iteration of the event loop while it returns True. The
    messages that it sends are part of the batch.
    """

    def __init__(
        self,
        on_message: Callable[[In], None],
        gather: float = 0.0,
        max_batch: int | None = None,
        prepare: Callable[[], bool] = bool,
    ) -> None:
        self.closed: Final = asyncio.Event()
        self._on_message: Final = on_message
        self._gather: Final = gather
        self._max_batch: Final = max_batch
        self._prepare: Final = prepare
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._waiting: list[Out] = []
        self._flushing: asyncio.Handle | None = None
        self._is_urgent = False
        self._flushed = 0.0
        self._read = bytearray()

    async def open(self, own: socket.socket) -> None:
        """Use a connected socket, which the channel owns from then on."""
        await self._loop.create_unix_connection(lambda: self, sock=own)

    def send(self, message: Out, *, urgent: bool = False) -> None:
        """Queue a message; a closed channel drops it. An `urgent` message is sent immediately, with all queued ones."""
        self._waiting.append(message)
        self.request_flush(urgent=urgent)

    def request_flush(self, *, urgent: bool = False) -> None:
        """Send a batch soon, with what `prepare` adds to it; an urgent one is sent after the first step."""
        if urgent:
            self._is_urgent = True
            self._cancel_flush()
        if self._flushing is None:
            due = self._flushed + self._gather
            if urgent or due <= self._loop.time():
                self._flushing = self._loop.call_soon(self._flush)
            else:
                self._flushing = self._loop.call_at(due, self._flush)

    def close(self) -> None:
        """Send queued messages, then close."""
        while self._prepare():
            pass
        self._send_waiting()
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
                messages = pickle.loads(view[begin + _LENGTH.size : end])  # noqa: S301 - the peer is our own process
            for message in messages:
                self._on_message(message)
            begin = end
        del self._read[:begin]

    def _end(self, begin: int) -> int | None:
        """Return the end of the batch that begins at `begin`; None while it is incomplete."""
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
        """Do one step of the preparation; send the batch after the last step, or now if a message is urgent."""
        is_unfinished = self._prepare()
        self._cancel_flush()  # `prepare` has sent messages
        if self._is_urgent or not is_unfinished:
            self._send_waiting()
        if is_unfinished:
            self._flushing = self._loop.call_soon(self._flush)

    def _send_waiting(self) -> None:
        self._cancel_flush()
        self._is_urgent = False
        waiting, self._waiting = self._waiting, []
        if waiting and self._transport is not None and not self._transport.is_closing():
            data = pickle.dumps(waiting, pickle.HIGHEST_PROTOCOL)
            self._transport.writelines((_LENGTH.pack(len(data)), data))
        self._flushed = self._loop.time()

    def _cancel_flush(self) -> None:
        if self._flushing is not None:
            self._flushing.cancel()
            self._flushing = None

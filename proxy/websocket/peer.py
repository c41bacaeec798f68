"""A client's open WebSocket for a native ASGI app: receive and send messages, and report how the connection ended.

The asyncio connection of `websockets` is not used. It needs a task, locks and a queue for each socket, declares a
peer dead that receives a 16 MiB message slowly, delays a close that arrives inside a fragmented message, and quotes
Python's errors in close frames.

Besides the kernel's buffers, a client can make this process hold the message that it is sending (`max_size`),
`HIGH_WATER` bytes of messages that the app has not received yet, and one outgoing message. A `BufferBudget` bounds the
first two over all connections.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final

from proxy.fair_queue import LARGE, fair_queue_of
from proxy.read_flow import ReadFlow
from proxy.websocket.frames import (
    BINARY,
    CLOSE,
    FRAMES_AT_ONCE,
    PING,
    PONG,
    TEXT,
    close_payload,
    encode_control,
    encode_head,
)
from proxy.websocket.inbox import BufferBudget, Inbox
from proxy.websocket.link import Timing, acknowledged
from proxy.websocket.liveness import LivenessMonitor
from proxy.websocket.messages import (
    NO_STATUS,
    Closed,
    Message,
    MessageReader,
    PingReceived,
    ProtocolViolation,
    is_close_code,
)
from proxy.websocket.packets import PACKET_END, PacketEnd, PacketReader
from proxy.websocket.progress_timeout import ProgressTimeout

__all__ = ["ABNORMAL", "GOING_AWAY", "INTERNAL_ERROR", "NO_STATUS", "Closed", "Peer", "PeerGone"]

GOING_AWAY: Final = 1001
ABNORMAL: Final = 1006
INTERNAL_ERROR: Final = 1011
TRY_AGAIN_LATER: Final = 1013

HIGH_WATER = 64 * 1024
"""Bytes of messages, not yet received by the app, at which reading is paused."""
END_GRACE = 10.0
"""Seconds that an app has for each message before the client's end; parsing 33 MiB on a busy machine takes long."""
PONG_DELAY = 3.0
"""Seconds that a pong waits for an app that has not received the messages before its ping."""
JOIN_LIMIT = 64 * 1024
"""Maximum bytes of a message that is copied behind its head, so that it takes a single write."""


class PeerGone(ConnectionError):
    """Raised when a message cannot be sent, because the connection is closing or closed."""


class Peer(asyncio.Protocol):
    """The server's end of one client connection after its handshake. `max_size`: maximum bytes of a message."""

    def __init__(
        self,
        timing: Timing,
        max_size: int,
        on_disconnected: Callable[[], None] | None = None,
        budget: BufferBudget | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._timing = timing
        self._on_disconnected = on_disconnected
        self._messages = MessageReader(max_size)
        self._packets = PacketReader(self._messages)
        self._transport: asyncio.Transport
        self._inbox = Inbox(budget)
        self._written = self._received = 0
        self._close_sent = self._input_ended = self._half_closed = False
        self._conclude: Callable[[], None] | None = None
        self._late_pong = b""
        self._pong_timer: asyncio.TimerHandle | None = None
        self._input: ReadFlow
        self._writable = asyncio.Event()
        self._writable.set()
        self._receiver: asyncio.Future[None] | None = None
        self._client: str | None = None
        self._liveness: LivenessMonitor
        self._draining = ProgressTimeout(END_GRACE, lambda: self._written + self._received, self._end_input)
        self._closing = ProgressTimeout(timing.closing, self._acknowledged, self._abort)
        self.ended: Closed | None = None
        """Set once messages are neither received nor sent any more."""

    def attach(self, transport: asyncio.Transport, data: bytes = b"") -> None:
        """Use `transport`, whose handshake is complete; `data` was received after the handshake."""
        self._transport = transport
        self._client = (transport.get_extra_info("peername") or (None,))[0]
        self._liveness = LivenessMonitor(transport, lambda: self._written, self._send_ping, self._die)
        self._input = ReadFlow(self._loop, transport, self._client, self._read_on, self._liveness.mark_alive)
        self._liveness.start(self._timing, self._input)
        transport.set_protocol(self)
        if data:
            self.data_received(data)

    # -- messages

    async def receive(self) -> Message | Closed:
        """Return the next message. After the last one, return how the connection ended, however often it is called."""
        self._leave_packet(self._inbox.peek())
        if self._inbox:  # an app that receives many small messages must not hold the event loop
            await fair_queue_of(self._loop).wait_if_contended(self._client)
        while (message := self._take()) is None:
            self._end_input()
            if self.ended is not None:
                return self.ended
            await self._wait_for_data()
        return message

    async def is_packet_over(self) -> bool:
        """Return whether the app has received all messages that arrived together with the last one.

        False if the end of the connection was among them. The pings behind the last message are answered.
        """
        while self.ended is None:
            event = self._inbox.peek()
            if isinstance(event, PingReceived):
                self._inbox.take()
                self._send_pong(event)
                self._release()
            elif event is not None:
                return self._leave_packet(event)
            elif self._conclude is not None:
                return False
            elif not self._packets.unread:
                return True
            else:
                await self._wait_for_data()
        return False

    def _leave_packet(self, event: Message | PingReceived | PacketEnd | None) -> bool:
        """Remove the mark at the end of a packet; return whether `event`, the first of the inbox, is one."""
        is_over = isinstance(event, PacketEnd)
        if is_over:
            self._inbox.take()
            self._release()
        return is_over

    async def _wait_for_data(self) -> None:
        """Wait until something was read, or the connection has ended."""
        self._receiver = self._loop.create_future()
        await self._receiver

    def _take(self) -> Message | None:
        """Remove and return the next message, None if there is none; answer the pings before it."""
        if not self._inbox:
            return None
        message: Message | None = None
        while self._inbox and message is None:
            event = self._inbox.take()
            if isinstance(event, PingReceived):
                self._send_pong(event)
            elif not isinstance(event, PacketEnd):
                message = event
                self._received += 1
        self._release()
        return message

    def _release(self) -> None:
        """Release the memory of what has left the inbox, and read on if it has room."""
        self._reserve()
        if self._inbox.size < HIGH_WATER:
            self._input.resume()

    def _reserve(self) -> bool:
        """Reserve the bytes held for messages that the app has not received; return False if too few are left."""
        return self._inbox.reserve(self._messages.buffered)

    async def send(self, message: Message) -> None:
        """Write a message once the send buffer has room. Raises `PeerGone`."""
        if not self._writable.is_set():
            await self._writable.wait()
        if self.ended is not None:
            raise PeerGone
        opcode = TEXT if isinstance(message, str) else BINARY
        data = message.encode() if isinstance(message, str) else message
        head = encode_head(opcode, len(data))
        if len(data) <= JOIN_LIMIT:
            self._write(head + data)
        else:
            self._write(head)
            self._write(data)

    def close(self, code: int, reason: str = "") -> None:
        """Begin the closing handshake; code 1005 sends a close frame without a code.

        A code that must not be sent (RFC 6455 §7.4) is replaced by 1011. Queued messages are dropped.
        """
        self._inbox.clear()
        if self.ended is None:
            self._send_close(code, reason)
            self._end(Closed(code, reason))
        self._reserve()

    # -- asyncio.Protocol

    def data_received(self, data: bytes) -> None:
        self._liveness.mark_alive()
        if len(data) >= LARGE:
            self._input.resume_by_queue(large=True)
        self._read(data)

    def _read_on(self) -> None:
        """Read the frames that the last pass left."""
        if self._packets.unread:
            self._read(self._packets.unread)

    def _read(self, data: bytes) -> None:
        self._packets.unread = b""
        if self._input_ended:
            return  # read and drop: closing a socket with unread bytes resets it, and the close frame is lost
        try:
            self._packets.unread = self._read_packets(data)
        except ProtocolViolation as violation:
            self._end_after_inbox(partial(self._fail, violation.code))
        if self._packets.unread:
            self._input.queue(large=True)
        self._wake()
        if not self._reserve():
            self._end_after_inbox(partial(self._fail, TRY_AGAIN_LATER))
        if self._inbox.size >= HIGH_WATER and self.ended is None:
            self._input.pause()

    def _read_packets(self, data: bytes) -> bytes:
        """Read the frames of one packet after the other; return the bytes after `FRAMES_AT_ONCE` frames.

        An app that waits for the next packet needs no end of one.
        """
        frames = 0
        while data and frames < FRAMES_AT_ONCE:
            for event in self._packets.events(data, FRAMES_AT_ONCE - frames):
                if isinstance(event, PingReceived):
                    self._take_ping(event)
                elif isinstance(event, Closed):
                    self._end_after_inbox(partial(self._take_close, event))
                elif self.ended is None:
                    self._inbox.add(event)
            if self._input_ended:
                return b""
            frames += self._messages.frames
            data, is_over = self._packets.advance(data)
            if is_over and self.ended is None and (self._inbox or not self._is_receiving):
                self._inbox.add(PACKET_END)
        return data

    def _take_ping(self, ping: PingReceived) -> None:
        """Answer a ping after the messages before it: Node's handlers run before the next frame is read."""
        if self.ended is not None or (not self._inbox and self._is_receiving):
            self._send_pong(ping)
            return
        self._inbox.add(ping)
        if self._pong_timer is None:
            self._pong_timer = self._loop.call_later(PONG_DELAY, self._answer_queued_pings)

    def _answer_queued_pings(self) -> None:
        """Answer the pings in the inbox, for an app that does not receive: its client would count it as dead."""
        self._pong_timer = None
        for ping in self._inbox.take_pings():
            self._send_pong(ping)
        self._release()

    def eof_received(self) -> bool:
        while self._packets.unread and not self._input_ended:  # frames that came with the handshake
            self._read(self._packets.unread)
        self._half_closed = True
        if not self._input_ended:
            self._end_after_inbox(self._take_eof)
            return True
        return self._conclude is not None  # the app has not answered all messages before the close frame

    def connection_lost(self, exc: Exception | None) -> None:
        self._conclude, self._input_ended = None, True
        self._end(Closed(ABNORMAL))
        self._liveness.stop()
        self._closing.cancel()
        self._draining.cancel()
        if self._pong_timer is not None:
            self._pong_timer.cancel()
        if self._on_disconnected is not None:
            self._on_disconnected()

    def pause_writing(self) -> None:
        if self.ended is None:
            self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()
        if self._late_pong and self.ended is None:
            self._write(self._late_pong)
        self._late_pong = b""

    # -- writing

    def _send_pong(self, ping: PingReceived) -> None:
        """Write a pong. While the send buffer is full, only the latest pong is retained (RFC 6455 §5.5.3)."""
        if self._close_sent or self.ended is not None:
            return
        pong = encode_control(PONG, ping.payload)
        if self._writable.is_set():
            self._write(pong)
        else:
            self._late_pong = pong

    def _send_close(self, code: int, reason: str = "") -> None:
        if self._close_sent:
            return
        self._close_sent = True
        sendable = code if is_close_code(code) else INTERNAL_ERROR
        payload = b"" if code == NO_STATUS else close_payload(sendable, reason)
        self._write(encode_control(CLOSE, payload))

    def _write(self, data: bytes) -> None:
        self._written += len(data)
        self._transport.write(data)

    # -- the end

    def _end_after_inbox(self, conclude: Callable[[], None]) -> None:
        """Call `conclude` once the app has received all queued messages: Node's handlers run before the close too."""
        if self._input_ended:
            return
        self._input_ended = True
        self._messages.discard()
        self._conclude = conclude
        if not self._inbox and (self.ended is not None or self._is_receiving):
            self._end_input()
        else:
            self._draining.start()  # for an app that neither receives nor sends

    def _end_input(self) -> None:
        conclude, self._conclude = self._conclude, None
        if conclude is not None:
            conclude()

    def _take_eof(self) -> None:
        """Handle a client that ended its stream without a close frame."""
        self._end(Closed(ABNORMAL))
        self._transport.close()

    def _take_close(self, closed: Closed) -> None:
        """Answer a close frame with its own code. The client then waits for the server to close (RFC 6455 §7.1.1)."""
        self._send_close(closed.code, closed.reason)
        self._end(closed)
        self._finish()

    def _end(self, ended: Closed) -> None:
        """Stop receiving and sending messages, and start the timeout of the closing handshake."""
        if self.ended is not None:
            return
        self.ended = ended
        self._messages.discard()
        self._reserve()
        self._liveness.stop()
        self._input.resume()
        self._closing.start()
        self._writable.set()
        self._wake()

    def _fail(self, code: int) -> None:
        """Close the connection with the code of a client's violation."""
        if self.ended is None:
            self._send_close(code)
            self._end(Closed(ABNORMAL))
            self._finish()

    def _finish(self) -> None:
        """End the sending direction and read until the client ends too: closing with unread bytes resets the socket."""
        if self._transport.can_write_eof() and not self._half_closed:
            self._transport.write_eof()
        else:
            self._transport.close()

    def _acknowledged(self) -> int:
        return acknowledged(self._transport, self._written)

    def _abort(self) -> None:
        self._transport.abort()

    # -- liveness

    def _send_ping(self) -> None:
        self._write(encode_control(PING))
        self._liveness.ping_written()

    def _die(self) -> None:
        self._send_close(INTERNAL_ERROR, "no answer to a ping")
        self._end(Closed(ABNORMAL, "no answer to a ping"))
        self._transport.abort()

    # -- the waiting app

    @property
    def _is_receiving(self) -> bool:
        """True while the app waits for a message."""
        return self._receiver is not None and not self._receiver.done()

    def _wake(self) -> None:
        if self._receiver is not None and not self._receiver.done():
            self._receiver.set_result(None)

"""The other end of an open WebSocket, whichever side it is on: messages in, messages out, and how it ended.

Client and legacy are both peers of the gateway, and what a peer may do to us is the same: send faster than we can
pass on, read slower than we write, close, drop, or freeze. So one class holds both legs. The frames are `websockets`'
sans-I/O `Protocol`; its asyncio connection was not taken, since it costs a task, locks and a queue for each socket,
keeps its pings out of reach (they would declare dead a peer that merely takes a 16 MiB message slowly), and reads an
HTTP answer in a way of its own.

What a peer can make us hold, besides the kernel's buffers: the message it is sending (`max_size`), `HIGH_WATER` bytes
of messages not yet taken, and one message on its way out.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, cast

from websockets.frames import EXTERNAL_CLOSE_CODES, Frame, Opcode
from websockets.protocol import OPEN, Protocol, Side

from proxy.websocket.heartbeat import Beat, Heartbeat, Sight
from proxy.websocket.send_queue import measure

GOING_AWAY: Final = 1001
NO_STATUS: Final = 1005
ABNORMAL: Final = 1006
INVALID_TEXT: Final = 1007
INTERNAL_ERROR: Final = 1011

HIGH_WATER = 64 * 1024
"""Bytes of messages not yet taken at which reading pauses."""
MESSAGE_COST = 64
"""Bytes that a message counts for besides its own, so that many empty ones are bounded too."""
LONGEST_REASON = 123
"""Bytes of a close frame left for its reason (RFC 6455 §5.5)."""

logger = logging.getLogger("scribe_proxy.websocket")
logger.setLevel(logging.WARNING)  # `websockets` tells of every connection that opens and closes


@dataclass(frozen=True, slots=True)
class Limits:
    """`max_size`: bytes of a message, `ws`'s own limit. The rest are seconds: of quiet before a ping, for its answer,
    that a peer with a full buffer may take nothing (see `heartbeat`), and for the answer to a close frame."""

    max_size: int = 100 * 1024 * 1024
    ping_interval: float = 2.0
    ping_timeout: float = 2.0
    stall: float = 30.0
    closing: float = 5.0


@dataclass(frozen=True, slots=True)
class Closed:
    """How a connection ended: the close frame's code and reason, 1005 where it had none, 1006 where there was none."""

    code: int
    reason: str = ""


class PeerGone(ConnectionError):
    """A message cannot be sent: the connection is closing or closed."""


class Peer(asyncio.Protocol):
    """One open WebSocket; `side` is ours. Goes on a transport whose handshake is done (`adopt`)."""

    def __init__(self, side: Side, limits: Limits, on_lost: Callable[[], None] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        self._limits = limits
        self._on_lost = on_lost
        self._frames = Protocol(side, state=OPEN, max_size=limits.max_size, logger=logger)
        self._transport: asyncio.Transport
        self._inbox: deque[str | bytes] = deque()
        self._held = 0
        self._fragments = bytearray()
        self._is_text = False
        self._written = 0
        self._late_pong = b""
        self._read_paused = False
        self._writable = asyncio.Event()
        self._writable.set()
        self._reader: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._heartbeat: Heartbeat
        self.ended: Closed | None = None
        """Set as soon as no more messages will come or go."""
        self.lost: asyncio.Future[None] = self._loop.create_future()
        """Done when the connection is gone."""

    def adopt(self, transport: asyncio.Transport, data: bytes = b"") -> None:
        """Take over `transport`; `data` had come in after the handshake."""
        self._transport = transport
        limits, now = self._limits, self._loop.time()
        self._heartbeat = Heartbeat(limits.ping_interval, limits.ping_timeout, limits.stall, now)
        self._timer = self._loop.call_later(limits.ping_interval, self._look)
        transport.set_protocol(self)
        if data:
            self.data_received(data)

    # -- messages

    async def receive(self) -> str | bytes | Closed:
        """The next message; after the last, always how it ended."""
        while not self._inbox:
            if self.ended is not None:
                return self.ended
            self._reader = self._loop.create_future()
            await self._reader
        message = self._inbox.popleft()
        self._held -= len(message) + MESSAGE_COST
        if self._read_paused and self._held < HIGH_WATER:
            self._resume_reading()
        return message

    async def send(self, message: str | bytes) -> None:
        """Write a message, once the peer has taken enough of what was written before. Raises `PeerGone`."""
        if not self._writable.is_set():
            await self._writable.wait()
        if self.ended is not None:
            raise PeerGone
        if isinstance(message, str):
            self._frames.send_text(message.encode())
        else:
            self._frames.send_binary(message)
        self._write(self._frames.data_to_send())

    def close(self, code: int, reason: str = "") -> None:
        """Begin the closing handshake; without a status where `code` is 1005. `lost` tells of its end.

        A code that may not go on the wire (RFC 6455 §7.4) goes as 1011. What the peer still sends is dropped.
        """
        if self.ended is not None:
            return
        if code == NO_STATUS:
            self._frames.send_close()
        else:
            sendable = code in EXTERNAL_CLOSE_CODES or 3000 <= code < 5000
            text = reason.encode()[:LONGEST_REASON].decode(errors="ignore")
            self._frames.send_close(code if sendable else INTERNAL_ERROR, text)
        self._write(self._frames.data_to_send())
        self._inbox.clear()
        self._end(Closed(code, reason))

    def abort(self) -> None:
        """Drop the connection."""
        self._end(Closed(ABNORMAL))
        self._transport.abort()

    # -- asyncio.Protocol

    def data_received(self, data: bytes) -> None:
        self._heartbeat.heard_at = self._loop.time()
        self._frames.receive_data(data)
        for frame in self._frames.events_received():
            self._take(cast("Frame", frame))
        self._reply()
        if self._frames.parser_exc is not None:
            self._fail(str(self._frames.parser_exc))
        if self._held >= HIGH_WATER and not self._read_paused and self.ended is None:
            self._read_paused = True
            self._transport.pause_reading()

    def eof_received(self) -> None:
        if self.ended is None or self.ended.code == ABNORMAL:
            self._transport.abort()  # asyncio would first wait for it to take what is still to be written

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(Closed(ABNORMAL))
        self._stop_timer()
        if not self.lost.done():
            self.lost.set_result(None)
        if self._on_lost is not None:
            self._on_lost()

    def pause_writing(self) -> None:
        if self.ended is None:
            self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()
        if self._late_pong and self.ended is None:
            self._write([self._late_pong])
        self._late_pong = b""

    # -- frames

    def _take(self, frame: Frame) -> None:
        if frame.opcode is Opcode.CLOSE:
            received = self._frames.close_rcvd
            assert received is not None
            self._end(Closed(received.code, received.reason))
            if self._frames.side is Side.SERVER:  # the client waits for us to close (RFC 6455 §7.1.1)
                self._reply()
                self._transport.close()
        elif frame.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT) and self.ended is None:
            if frame.opcode is not Opcode.CONT:
                self._is_text = frame.opcode is Opcode.TEXT
            data = cast("bytes | bytearray", frame.data)
            if frame.opcode is Opcode.CONT or not frame.fin:
                self._fragments += data
                data = self._fragments
            if frame.fin:
                self._complete(data)

    def _complete(self, data: bytes | bytearray) -> None:
        self._fragments = bytearray()
        try:
            message = data.decode() if self._is_text else bytes(data)
        except UnicodeDecodeError:
            self._frames.fail(INVALID_TEXT, "text that is not UTF-8")
            self._reply()
            self._fail("text that is not UTF-8")
            return
        self._inbox.append(message)
        self._held += len(message) + MESSAGE_COST
        self._wake()

    def _reply(self) -> None:
        """Write what the frames call for by themselves: a pong, or the answer to a close frame.

        While the peer takes nothing only the latest pong is kept (RFC 6455 §5.5.3), or a flood of pings would be held.
        """
        writes = self._frames.data_to_send()
        if not writes:
            return
        if not self._writable.is_set() and self._frames.state is OPEN:
            self._late_pong = writes[-1]
        else:
            self._write(writes)

    def _write(self, writes: list[bytes]) -> None:
        data = writes[0] if len(writes) == 1 else b"".join(writes)
        if data:
            self._written += len(data)
            self._transport.write(data)

    # -- the end

    def _end(self, ended: Closed) -> None:
        """No more messages. What follows is the closing handshake, within its time."""
        if self.ended is not None:
            return
        self.ended = ended
        self._fragments = bytearray()
        self._stop_timer()
        self._resume_reading()
        self._timer = self._loop.call_later(self._limits.closing, self._expire, self._delivered())
        self._writable.set()
        self._wake()

    def _fail(self, reason: str) -> None:
        """The peer broke the protocol or a limit; its close frame is written. What else it sends is read and dropped:
        closing on unread bytes would take the close frame back."""
        if self.ended is None:
            self._end(Closed(ABNORMAL, reason))
            if self._frames.side is Side.SERVER and self._transport.can_write_eof():
                self._transport.write_eof()

    def _expire(self, delivered: int) -> None:
        """Drop a peer that has not closed in time, unless it is still taking what was written before."""
        now_delivered = self._delivered()
        if now_delivered > delivered:
            self._timer = self._loop.call_later(self._limits.closing, self._expire, now_delivered)
        else:
            self._transport.abort()

    def _resume_reading(self) -> None:
        if self._read_paused:
            self._read_paused = False
            self._heartbeat.heard_at = self._loop.time()
            if not self._transport.is_closing():
                self._transport.resume_reading()

    # -- the heartbeat

    def _look(self) -> None:
        now = self._loop.time()
        waiting, flying = self._unacknowledged()
        sight = Sight(self._written, waiting, flying, not self._read_paused)
        verdict = self._heartbeat.look(now, sight)
        if verdict is Beat.DEAD:
            self.close(INTERNAL_ERROR, "no answer to a ping")
            self.ended = Closed(ABNORMAL, "no answer to a ping")
            self._transport.abort()
            return
        if verdict is Beat.PING:
            self._frames.send_ping(b"")
            self._write(self._frames.data_to_send())
            verdict = self._heartbeat.pinged(now, self._written)
        self._timer = self._loop.call_later(verdict, self._look)

    def _unacknowledged(self) -> tuple[int, int]:
        """Bytes written that the peer's kernel has not acknowledged, and how many of them are on the network."""
        queued, flying = measure(self._transport.get_extra_info("socket").fileno())
        return self._transport.get_write_buffer_size() + queued, flying

    def _delivered(self) -> int:
        return self._written - self._unacknowledged()[0]

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

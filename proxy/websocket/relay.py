"""A WebSocket relayed as bytes between a client and legacy.

    client ──▶ Leg ── FrameFilter ──▶ Leg ──▶ legacy        Leg: one connection, its liveness and flow control
    client ◀── Leg ◀── FrameFilter ── Leg ◀── legacy        FrameFilter: frame boundaries of one direction

Each end receives the other's bytes unchanged: masks, fragments, compressed and malformed frames, pings, pongs and close
frames, and an end without a close frame. The gateway inserts its own frames only at frame boundaries, in three cases:

- a ping to a quiet end (`heartbeat`), whose pong is removed from the stream;
- a close frame to the remaining end when the other one is dead: 1011 to a client, 1001 to legacy;
- a close frame with 1001 to the client when the gateway shuts down. The client's answer, and everything before it, is
  still forwarded to legacy.

Memory: one read of the socket and at most `WRITE_LIMIT` queued bytes in each direction. If the queue is full,
reading from the other end is paused.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from functools import partial
from typing import Final

from proxy.read_flow import ReadFlow
from proxy.websocket.frames import (
    CLOSE,
    FRAMES_AT_ONCE,
    PING,
    FrameFilter,
    ObservedFrames,
    close_payload,
    encode_control,
)
from proxy.websocket.link import Timing, acknowledged
from proxy.websocket.liveness import LivenessMonitor
from proxy.websocket.progress_timeout import ProgressTimeout

GOING_AWAY: Final = 1001
INTERNAL_ERROR: Final = 1011

WRITE_LIMIT: Final = 64 * 1024
"""Bytes queued for one end from which reading from the other is paused."""


class Relay:
    """The two legs of a relay, from legacy's handshake until both connections are closed.

    `received`: bytes that legacy sent after its handshake. Nothing more is read from it until `join`.
    """

    def __init__(self, legacy: asyncio.Transport, received: bytes = b"") -> None:
        self._received = received
        self._timing = Timing()
        self._on_client_disconnected: Callable[[], None] | None = None
        self._closing: ProgressTimeout | None = None
        self._client = _Leg(self, masks=False, close_code=INTERNAL_ERROR)
        self._legacy = _Leg(self, masks=True, close_code=GOING_AWAY)
        self._client.other, self._legacy.other = self._legacy, self._client
        self.ended = asyncio.Event()
        """Set when both connections are closed."""
        self._legacy.attach(legacy)
        self._legacy.pause_reading()

    def observe(self, observe: Callable[[bool, bytes], None]) -> None:
        """Call `observe` with all bytes that pass, and True for the client's; with none at an end. Precedes `join`.

        `observe` must not raise. Relays without an observer have no cost for it.
        """
        self._client.observe(partial(observe, True))
        self._legacy.observe(partial(observe, False))

    def join(
        self, client: asyncio.Transport, early: bytes, timing: Timing, on_client_disconnected: Callable[[], None]
    ) -> None:
        """Start relaying. `early`: bytes that the client sent after its handshake; `timing` applies to both legs."""
        self._timing, self._on_client_disconnected = timing, on_client_disconnected
        self._client.attach(client)
        for leg in (self._client, self._legacy):
            leg.start(timing)
        if early:
            self._client.data_received(early)
        received, self._received = self._received, b""
        if received:
            self._legacy.data_received(received)
        if self._legacy.has_ended:
            self._client.finish()
            self.begin_closing()
        self._legacy.resume_reading()

    def go_away(self) -> None:
        """Close the client with 1001. Its answer, and everything before it, is still forwarded to legacy."""
        self._client.close(GOING_AWAY)
        self.begin_closing()

    def abort(self) -> None:
        """Abort both connections."""
        for leg in (self._client, self._legacy):
            leg.abort()

    def begin_closing(self) -> None:
        """Start the timeout of the closing handshake, and stop the pings."""
        if self._closing is None and not self.ended.is_set():
            for leg in (self._client, self._legacy):
                leg.stop_heartbeat()
            self._closing = ProgressTimeout(self._timing.closing, self._progress, self.abort)
            self._closing.start()

    def leg_disconnected(self, leg: _Leg) -> None:
        """Handle the loss of one connection."""
        if leg is self._client and self._on_client_disconnected is not None:
            self._on_client_disconnected()
        if self._client.disconnected and self._legacy.disconnected:
            if self._closing is not None:
                self._closing.cancel()
            self.ended.set()

    def _progress(self) -> int:
        """Return the acknowledged bytes, because an end that still acknowledges bytes is making progress."""
        return self._client.acknowledged() + self._legacy.acknowledged()


class _Leg(asyncio.Protocol):
    """The connection to one end of a relay.

    `masks`: frames to this end are masked, as a server requires. `close_code`: sent to this end when the other is dead.
    """

    def __init__(self, relay: Relay, *, masks: bool, close_code: int) -> None:
        self._relay, self._masks, self.close_code = relay, masks, close_code
        self._loop = asyncio.get_running_loop()
        self._token = secrets.token_bytes(8)
        self.frames: FrameFilter = FrameFilter(self._token)
        """Parser of the frames from this end."""
        self.other: _Leg
        self._transport: asyncio.Transport | None = None
        self._input: ReadFlow | None = None
        self._liveness: LivenessMonitor | None = None
        self._written = 0
        self._inserts: list[bytes] = []
        self._is_muted = self._is_finished = False
        self.has_ended = False
        """True once this end has ended its stream."""
        self.disconnected = False

    def observe(self, observe: Callable[[bytes], None]) -> None:
        """Call `observe` with the bytes that this end sends."""
        self.frames = ObservedFrames(self._token, observe)

    def attach(self, transport: asyncio.Transport) -> None:
        """Use a connected transport."""
        self._transport = transport
        self._liveness = LivenessMonitor(transport, lambda: self._written, self._send_ping, self._die)
        self._input = ReadFlow(self._loop, transport, None, self._read_on, self._liveness.mark_alive)
        transport.set_write_buffer_limits(high=WRITE_LIMIT)
        transport.set_protocol(self)

    def start(self, timing: Timing) -> None:
        """Start the heartbeat."""
        if self._liveness is not None and self._input is not None and not self.disconnected:
            self._liveness.start(timing, self._input)

    # -- bytes

    def data_received(self, data: bytes) -> None:
        if self._liveness is not None:
            self._liveness.mark_alive()
        self._read(data)

    def _read_on(self) -> None:
        """Read the frames that the last pass left."""
        if self.frames.unread:
            self._read(self.frames.unread)

    def _read(self, data: bytes) -> None:
        self.other.forward(self.frames.feed(data, FRAMES_AT_ONCE), self.frames.boundary)
        if self.frames.unread and self._input is not None:
            self._input.queue(large=True)

    def forward(self, data: bytes, boundary: int | None) -> None:
        """Write bytes from the other end; `boundary` is the offset of their last frame boundary."""
        if self._discards:
            return
        if self._inserts and boundary is not None:
            inserts, self._inserts = self._inserts, []
            data = b"".join((data[:boundary], *inserts, b"" if self._is_muted else data[boundary:]))
        self._write(data)
        if self._liveness is not None and self._liveness.ping_waits and not self._inserts:
            self._liveness.ping_written()
        if self.other.frames.close_passed:
            self._relay.begin_closing()

    def close(self, code: int) -> None:
        """Insert a close frame; nothing more is sent to this end after it."""
        if not self._is_muted and not self.other.frames.close_passed:
            self._is_muted = True
            self._inserts.clear()
            self._insert(encode_control(CLOSE, close_payload(code), self._mask()))

    def finish(self) -> None:
        """End the sending direction after all written bytes."""
        if self._is_finished or self._transport is None or self.disconnected:
            return
        self._is_finished = self._is_muted = True
        self._inserts.clear()
        if self.has_ended or not self._transport.can_write_eof():
            self._transport.close()
        else:
            self._transport.write_eof()

    def abort(self) -> None:
        """Abort the connection."""
        if self._transport is not None and not self.disconnected:
            self._transport.abort()

    def acknowledged(self) -> int:
        """Return how many bytes this end's kernel has acknowledged."""
        if self._transport is None or self.disconnected:
            return self._written
        return acknowledged(self._transport, self._written)

    @property
    def _discards(self) -> bool:
        return self._is_muted and not self._inserts

    def _insert(self, frame: bytes) -> None:
        """Write one of the gateway's own frames at the next frame boundary."""
        self._inserts.append(frame)
        if self.other.frames.between_frames:
            self.forward(b"", 0)

    def _write(self, data: bytes) -> None:
        if data and self._transport is not None and not self.disconnected:
            self._written += len(data)
            self._transport.write(data)

    def _mask(self) -> bytes | None:
        return secrets.token_bytes(4) if self._masks else None

    # -- flow control

    def pause_writing(self) -> None:
        self.other.pause_reading()

    def resume_writing(self) -> None:
        self.other.resume_reading()

    def pause_reading(self) -> None:
        """Stop reading from this end while the other end's queue is full."""
        if self._input is not None:
            self._input.pause()

    def resume_reading(self) -> None:
        """Resume reading."""
        if self._input is not None:
            self._input.resume()

    # -- the end

    def eof_received(self) -> bool:
        """Forward the end of the stream; this end may still receive."""
        self._end()
        return not self._is_finished and self._transport is not None and self._transport.can_write_eof()

    def connection_lost(self, exc: Exception | None) -> None:
        self.disconnected = True
        self.stop_heartbeat()
        self._end()
        self.other.resume_reading()
        self._relay.leg_disconnected(self)

    def _end(self) -> None:
        if not self.has_ended:
            self.has_ended = True
            if self.frames.unread:
                self.other.forward(self.frames.feed(self.frames.unread), self.frames.boundary)
            self.other.forward(self.frames.end(), None)
            self.other.finish()
            self._relay.begin_closing()

    # -- liveness

    def stop_heartbeat(self) -> None:
        """Stop the pings."""
        if self._liveness is not None:
            self._liveness.stop()

    def _send_ping(self) -> None:
        if not self._inserts:
            self.frames.armed = True
            self._insert(encode_control(PING, self._token, self._mask()))

    def _die(self) -> None:
        self.other.close(self.other.close_code)
        self.abort()

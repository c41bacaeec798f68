"""Frame boundaries in a stream of bytes (RFC 6455 §5.2), and the frames that the gateway itself writes. Pure."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final

from websockets.speedups import apply_mask

CONTINUATION: Final = 0x0
TEXT: Final = 0x1
BINARY: Final = 0x2
CLOSE: Final = 0x8
PING: Final = 0x9
PONG: Final = 0xA

FIN: Final = 0x80
MASKED: Final = 0x80
FRAMES_AT_ONCE: Final = 256
"""Maximum frames of one end that are parsed in one pass of the event loop; pings, the slowest, take a millisecond."""
MAX_CONTROL_PAYLOAD: Final = 125
"""Bytes of payload in a control frame (RFC 6455 §5.5)."""
MAX_REASON: Final = MAX_CONTROL_PAYLOAD - 2
"""Bytes of the reason in a close frame, after the 2 bytes of its code."""


def encode_control(opcode: int, payload: bytes = b"", mask: bytes | None = None) -> bytes:
    """Return a control frame with at most 125 bytes of payload. Frames to a server need a `mask` of 4 bytes (§5.1)."""
    if mask is None:
        return bytes((FIN | opcode, len(payload))) + payload
    return bytes((FIN | opcode, MASKED | len(payload))) + mask + apply_mask(payload, mask)


def encode_head(opcode: int, size: int) -> bytes:
    """Return the head of an unmasked, unfragmented frame with `size` bytes of payload."""
    if size <= MAX_CONTROL_PAYLOAD:
        return bytes((FIN | opcode, size))
    if size < 1 << 16:
        return struct.pack("!BBH", FIN | opcode, 126, size)
    return struct.pack("!BBQ", FIN | opcode, 127, size)


def close_payload(code: int, reason: str = "") -> bytes:
    """Return the payload of a close frame. A longer reason is cut at a character boundary to 123 bytes."""
    text = reason.encode()[:MAX_REASON].decode(errors="ignore")
    return struct.pack("!H", code) + text.encode()


def head_size(second_byte: int) -> int:
    """Return the size of a frame's head in bytes, 2 to 14, from its second byte."""
    length = second_byte & 0x7F
    extended = 2 if length == 126 else 8 if length == 127 else 0
    return 2 + extended + (4 if second_byte & MASKED else 0)


def payload_size(head: bytes | bytearray) -> int:
    """Return the size of the payload in bytes, from a complete head."""
    length = head[1] & 0x7F
    if length == 126:
        return int.from_bytes(head[2:4], "big")
    if length == 127:
        return int.from_bytes(head[2:10], "big")
    return length


class FrameFilter:
    """Frame parser for one direction of a relay: removes the pongs that answer the gateway's own pings.

    All other bytes pass unchanged and without delay, malformed frames included, because the receiver reports those.
    Once `armed`, bytes that may be a pong with the payload `token` are held until the frame is complete or differs from
    it.
    """

    __slots__ = ("_head", "_held", "_is_close", "_remaining", "_token", "armed", "boundary", "close_passed", "unread")

    def __init__(self, token: bytes) -> None:
        self._token = token
        self._head = bytearray()
        self._held = bytearray()
        self._remaining = 0
        self._is_close = False
        self.armed = False
        """True once a ping with the payload `token` was sent."""
        self.boundary: int | None = 0
        """Offset of the last frame boundary in the last result of `feed`; None if it contains none."""
        self.close_passed = False
        """True once a complete close frame has passed: no frame may follow it (§5.5.1)."""
        self.unread = b""
        """The bytes of the last `feed` after its maximum number of frames."""

    @property
    def between_frames(self) -> bool:
        """True if the forwarded bytes end at a frame boundary."""
        return not self._remaining and not self._head

    def feed(self, data: bytes, max_frames: int | None = None) -> bytes:
        """Return the bytes to forward, of at most `max_frames` frames."""
        self.unread = b""
        if self._remaining > len(data):  # the middle of a large payload
            self._remaining -= len(data)
            self.boundary = None
            return data
        passed: list[bytes] = []
        size, start, position, frames = 0, 0, 0, 0
        self.boundary = 0 if self.between_frames else None
        while position < len(data) and frames != max_frames:
            if self._remaining:
                position = self._follow_payload(len(data), position)
            elif self._may_be_pong(data[position]):
                passed += (data[start:position], b"")
                size += position - start
                position = start = self._hold(data, position)
                passed[-1] = self._release()
                size += len(passed[-1])
            else:
                position = self._follow_head(data, position)
            if self.between_frames:
                frames += 1
                self.boundary = size + position - start
        self.unread = data[position:]
        return b"".join([*passed, data[start:position]]) if passed or self.unread else data

    def end(self) -> bytes:
        """Return the bytes that are held, once the stream has ended."""
        return self.flush()

    def flush(self) -> bytes:
        """Return the held bytes, and stop holding them."""
        held, self._held = bytes(self._held), bytearray()
        return held

    def _follow_payload(self, end: int, position: int) -> int:
        step = min(self._remaining, end - position)
        self._remaining -= step
        if not self._remaining and self._is_close:
            self.close_passed = True
        return position + step

    def _follow_head(self, data: bytes, position: int) -> int:
        """Append to the current head; return the position after it."""
        head = self._head
        missing = (head_size(head[1]) if len(head) >= 2 else 2) - len(head)
        head += data[position : position + missing]
        self._end_head()
        return min(position + missing, len(data))

    def _end_head(self) -> None:
        head = self._head
        if len(head) >= 2 and len(head) == head_size(head[1]):
            self._remaining = payload_size(head)
            self._is_close = head[0] & 0x0F == CLOSE
            self.close_passed = self.close_passed or (self._is_close and not self._remaining)
            self._head = bytearray()

    # -- pongs

    def _may_be_pong(self, byte: int) -> bool:
        return bool(self._held) or (self.armed and byte == FIN | PONG and not self._head)

    def _hold(self, data: bytes, position: int) -> int:
        """Hold bytes while they may be an expected pong; return the position after them."""
        while position < len(data) and (missing := self._undecided()):
            self._held += data[position : position + missing]
            position = min(position + missing, len(data))
        return position

    def _undecided(self) -> int:
        """Return the minimum number of bytes still needed to decide whether the held frame is an expected pong."""
        held = self._held
        if len(held) < 2:
            return 2 - len(held)
        if held[1] & 0x7F != len(self._token):
            return 0
        return head_size(held[1]) + len(self._token) - len(held)

    def _release(self) -> bytes:
        """Return the held bytes; nothing for an expected pong or while the decision is open."""
        if self._undecided():
            return b""
        held = self.flush()
        if self._is_expected(held):
            return b""
        head = min(len(held), head_size(held[1]))
        self._head += held[:head]
        self._end_head()
        self._remaining -= len(held) - head
        return held

    def _is_expected(self, frame: bytes) -> bool:
        if frame[1] & 0x7F != len(self._token):
            return False
        size = head_size(frame[1])
        payload = frame[size:]
        return self._token == (apply_mask(payload, frame[size - 4 : size]) if frame[1] & MASKED else payload)


class ObservedFrames(FrameFilter):
    """A filter that also calls `observe` with the bytes that it passes on, and with none at the end of the stream."""

    __slots__ = ("_observe",)

    def __init__(self, token: bytes, observe: Callable[[bytes], None]) -> None:
        super().__init__(token)
        self._observe = observe

    def feed(self, data: bytes, max_frames: int | None = None) -> bytes:
        passed = super().feed(data, max_frames)
        if passed:
            self._observe(passed)
        return passed

    def end(self) -> bytes:
        held = super().end()
        if held:
            self._observe(held)
        self._observe(b"")
        return held

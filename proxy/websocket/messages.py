"""Read messages from the frames of one end and apply the same checks as Node's `ws` (RFC 6455 §5). Pure."""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from websockets.speedups import apply_mask

from common.growing_text import STEP, GrowingText, TextTooLargeError
from proxy.websocket.frames import BINARY, CLOSE, CONTINUATION, FIN, MASKED, PING, PONG, TEXT, head_size, payload_size

NO_STATUS: Final = 1005
PROTOCOL_ERROR: Final = 1002
INVALID_TEXT: Final = 1007
TOO_BIG: Final = 1009


_RESERVED_BITS: Final = 0x70
_RESERVED_CODES: Final = frozenset((1004, 1005, 1006))


class ProtocolViolation(Exception):
    """The peer violated the protocol or a limit. `code` is the close code to send; the close frame has no reason."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, slots=True)
class Closed:
    """The end of a connection: code and reason of the close frame. 1005: no code; 1006: no close frame."""

    code: int
    reason: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class PingReceived:
    """A ping; the answer is a pong with the same payload."""

    payload: bytes = field(repr=False)


Message = str | bytes
Event = Message | PingReceived | Closed


def is_close_code(code: int) -> bool:
    """Return True for a code that a close frame may contain (RFC 6455 §7.4)."""
    return (1000 <= code <= 1014 and code not in _RESERVED_CODES) or 3000 <= code <= 4999


class MessageReader:
    """Parser of the frames of one end; a client's are `masked`. `max_size`: bytes of a message over its fragments."""

    def __init__(self, max_size: int, *, masked: bool = True) -> None:
        self._max_size = max_size
        self._mask_bit = MASKED if masked else 0
        self._head = bytearray()
        self._frame_opcode = self._message_opcode = 0
        self._fin = False
        self._mask = b""
        self._remaining = 0
        self._message_size = 0
        self._message: _Text | _Binary = _Binary()
        self._control = bytearray()
        self._is_closed = self._is_discarding = False
        self.unread = b""
        """The bytes of the last `feed` after its maximum number of frames."""
        self.frames = 0
        """The frames that the last `feed` completed."""
        self.messages = 0
        """The messages that the last `feed` completed."""

    def discard(self) -> None:
        """Drop the buffered message and the payload of every later data frame."""
        self._is_discarding = True
        self._message = _Binary()

    @property
    def buffered(self) -> int:
        """Bytes in memory of an incomplete message."""
        return self._message.size

    def feed(self, data: bytes, max_frames: int | None = None) -> Iterator[Event]:
        """Yield complete events, of at most `max_frames` frames; none follows a `Closed`.

        Raises `ProtocolViolation` after all earlier events.
        """
        self.unread = b""
        position = self.frames = self.messages = 0
        while position < len(data) and not self._is_closed:
            if self.frames == max_frames:
                self.unread = data[position:]
                return
            if self._remaining:
                position = self._read_payload(data, position)
            else:
                position = self._read_head(data, position)
                if self._head:
                    continue
            if not self._remaining:
                self.frames += 1
                yield from self._end_frame()

    def _read_head(self, data: bytes, position: int) -> int:
        head = self._head
        missing = (head_size(head[1]) if len(head) >= 2 else 2) - len(head)
        head += data[position : position + missing]
        if len(head) == 2:
            self._check_start(head[0], head[1])
        if len(head) >= 2 and len(head) == head_size(head[1]):
            self._remaining = payload_size(head)
            self._mask = bytes(head[-4:]) if self._mask_bit else b""
            self._check_size()
            self._head = bytearray()
        return min(position + missing, len(data))

    def _check_start(self, first: int, second: int) -> None:
        """Validate the first two bytes of a frame."""
        opcode, fin, size = first & 0x0F, bool(first & FIN), second & 0x7F
        if opcode in (TEXT, BINARY):
            valid = not self._message_opcode
        elif opcode == CONTINUATION:
            valid = bool(self._message_opcode)
        elif opcode in (CLOSE, PING, PONG):
            valid = fin and size < 126 and not (opcode == CLOSE and size == 1)
        else:
            valid = False
        if not valid or first & _RESERVED_BITS or second & MASKED != self._mask_bit:
            raise ProtocolViolation(PROTOCOL_ERROR)
        self._frame_opcode, self._fin = opcode, fin
        if opcode in (TEXT, BINARY):
            self._message_opcode = opcode
            self._message = _Text() if opcode == TEXT else _Binary()

    def _check_size(self) -> None:
        if self._frame_opcode < CLOSE:
            self._message_size += self._remaining
            if self._message_size > self._max_size:
                raise ProtocolViolation(TOO_BIG)

    def _read_payload(self, data: bytes, position: int) -> int:
        step = min(self._remaining, len(data) - position)
        self._remaining -= step
        is_control = self._frame_opcode >= CLOSE
        if is_control or not self._is_discarding:
            piece = data if step == len(data) else data[position : position + step]
            if self._mask:
                piece = apply_mask(piece, self._mask)
            if is_control:
                self._control += piece
            else:
                self._message.add(piece)
        shift = step % 4
        self._mask = self._mask[shift:] + self._mask[:shift]
        return position + step

    def _end_frame(self) -> Iterator[Event]:
        if self._frame_opcode >= CLOSE:
            payload, self._control = bytes(self._control), bytearray()
            if self._frame_opcode == PING:
                yield PingReceived(payload)
            elif self._frame_opcode == CLOSE:
                self._is_closed = True
                yield self._read_close(payload)
        elif self._fin:
            self.messages += 1
            yield self._end_message()

    def _end_message(self) -> Message:
        message, self._message = self._message, _Binary()
        self._message_opcode = self._message_size = 0
        return message.end()

    @staticmethod
    def _read_close(payload: bytes) -> Closed:
        if not payload:
            return Closed(NO_STATUS)
        code = int.from_bytes(payload[:2], "big")
        if not is_close_code(code):
            raise ProtocolViolation(PROTOCOL_ERROR)
        return Closed(code, _decode(payload[2:]))


class _Binary:
    """A binary message: a buffer that grows in place and becomes the message without a copy."""

    __slots__ = ("_buffer", "size")

    def __init__(self) -> None:
        self._buffer = io.BytesIO()
        self.size = 0

    def add(self, data: bytes) -> None:
        """Add the next bytes."""
        self.size += len(data)
        self._buffer.write(data)

    def end(self) -> bytes:
        """Return the message."""
        return self._buffer.getvalue()


class _Text:
    """A text message, decoded as it arrives, `STEP` bytes or more at a time.

    Invalid UTF-8 is reported at the end, as in `ws`; no text is held after it.
    """

    __slots__ = ("_decoder", "_tail", "_text")

    def __init__(self) -> None:
        self._decoder: codecs.IncrementalDecoder | None = None
        self._text: GrowingText | None = None
        self._tail = bytearray()

    @property
    def size(self) -> int:
        """Bytes in memory."""
        return len(self._tail) + (self._text.size if self._text is not None else 0)

    def add(self, data: bytes) -> None:
        """Add the next bytes. Raises `ProtocolViolation` if the text takes too much memory."""
        self._tail += data
        if len(self._tail) >= STEP:
            self._decode(final=False)

    def end(self) -> str:
        """Return the message. Raises `ProtocolViolation`."""
        if self._decoder is None:
            return _decode(self._tail)
        self._decode(final=True)
        if self._text is None:
            raise ProtocolViolation(INVALID_TEXT)
        return self._text.take()

    def _decode(self, *, final: bool) -> None:
        data, self._tail = self._tail, bytearray()
        if self._decoder is None:
            self._decoder = codecs.getincrementaldecoder("utf-8")()
            self._text = GrowingText()
        if self._text is None:
            return
        try:
            self._text.add(self._decoder.decode(data, final))
        except UnicodeDecodeError:
            self._text = None
        except TextTooLargeError:
            raise ProtocolViolation(TOO_BIG) from None


def _decode(data: bytes | bytearray) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise ProtocolViolation(INVALID_TEXT) from None

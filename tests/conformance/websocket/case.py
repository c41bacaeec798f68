"""A case, and the bytes it is made of. Pure."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Literal

from tests.support.websocket_client import MASK, apply, frame

End = Literal["close", "peer", "half", "reset"]
CLOSE_1000 = frame(8, b"\x03\xe8")


@dataclass(frozen=True, slots=True)
class Case:
    """Bytes that a client sends to an echo server after its handshake.

    `sent` is in parts, a frame each as a rule. `server`: the echo server's path. `headers`: of the handshake, besides
    the usual ones; `replaced` (old, new) changes the handshake's bytes. `end`: after the parts, `close` sends a close
    frame 1000, `half` ends the sending direction, `reset` drops the connection, and `peer` leaves the end to the
    server. `early`: the parts follow the handshake at once.
    """

    id: str
    title: str
    sent: tuple[bytes, ...]
    server: str = "/plain"
    headers: tuple[str, ...] = ()
    replaced: tuple[bytes, bytes] = (b"", b"")
    end: End = "close"
    early: bool = False

    @property
    def stream(self) -> tuple[bytes, ...]:
        """All that is sent after the handshake, in its parts."""
        return (*self.sent, CLOSE_1000) if self.end == "close" else self.sent

    @property
    def size(self) -> int:
        """Bytes sent after the handshake."""
        return sum(map(len, self.stream))


@dataclass(frozen=True, slots=True)
class ServerCase:
    """Bytes that a server sends to a standard client after its handshake.

    `end`: after the parts, `close` sends a close frame 1000 and waits for the client's, `peer` waits for the client to
    close, `half` ends the sending direction, `reset` drops the connection.
    """

    id: str
    title: str
    sent: tuple[bytes, ...]
    extensions: str = ""
    end: End = "close"

    @property
    def stream(self) -> tuple[bytes, ...]:
        """All that is sent after the handshake, in its parts."""
        return (*self.sent, unmasked(8, b"\x03\xe8")) if self.end == "close" else self.sent


def unmasked(opcode: int, data: bytes = b"", *, fin: bool = True, length: int | None = None) -> bytes:
    """Return a server's frame."""
    return frame(opcode, data, fin=fin, masked=False, length=length)


def close(code: int, reason: bytes = b"", *, masked: bool = True) -> bytes:
    """Return a close frame."""
    return frame(8, code.to_bytes(2, "big") + reason, masked=masked)


def reserved(part: bytes, bits: int) -> bytes:
    """Return a frame with reserved bits set: 4 for RSV1, 2 for RSV2, 1 for RSV3."""
    return bytes([part[0] | bits << 4]) + part[1:]


def masked_with(mask: bytes, opcode: int, data: bytes) -> bytes:
    """Return a frame of at most 125 bytes of payload with a mask of its own."""
    return bytes([0x80 | opcode, 0x80 | len(data)]) + mask + apply(data, mask)


def long_form(opcode: int, data: bytes, size: Literal[2, 8]) -> bytes:
    """Return a frame whose length takes more bytes than it needs."""
    head = bytes([0x80 | opcode, 0x80 | (126 if size == 2 else 127)]) + len(data).to_bytes(size, "big")
    return head + MASK + apply(data, MASK)


def fragmented(opcode: int, *parts: bytes) -> tuple[bytes, ...]:
    """Return a message in as many frames as there are parts."""
    last = len(parts) - 1
    return tuple(frame(opcode if not number else 0, part, fin=number == last) for number, part in enumerate(parts))


class Deflater:
    """A compressing sender (RFC 7692 §7.2.1). `bits`: of its window; `takeover`: messages share a context."""

    def __init__(self, bits: int = 15, *, takeover: bool = True) -> None:
        self._bits, self._takeover = bits, takeover
        self._context = zlib.compressobj(wbits=-bits)

    def payload(self, data: bytes) -> bytes:
        """Return a message's payload."""
        if not self._takeover:
            self._context = zlib.compressobj(wbits=-self._bits)
        return (self._context.compress(data) + self._context.flush(zlib.Z_SYNC_FLUSH))[:-4]

    def message(self, opcode: int, data: bytes, *, parts: int = 1, masked: bool = True) -> tuple[bytes, ...]:
        """Return a message in so many frames, the first with RSV1."""
        payload = self.payload(data)
        step = -(-len(payload) // parts)
        pieces = [payload[at : at + step] for at in range(0, len(payload), step)]
        frames = [
            frame(opcode if not number else 0, piece, fin=number == len(pieces) - 1, masked=masked)
            for number, piece in enumerate(pieces)
        ]
        return (reserved(frames[0], 4), *frames[1:])

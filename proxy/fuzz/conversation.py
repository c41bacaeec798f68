"""WebSocket conversations as drawn, which may do all that a client can, and as played. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from websockets.speedups import apply_mask

from proxy.comparison.correspondence import Correspondence
from proxy.comparison.verdicts import Difference
from proxy.contract.payloads import parse_json
from proxy.recordings.comparing import compare_frames, compare_recorded_values
from proxy.types import JSON
from proxy.websocket.frames import CLOSE, FIN, MASKED, TEXT, encode_head, head_size, payload_size

_HANDSHAKE: Final = {
    "upgrade": "websocket",
    "connection": "Upgrade",
    "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
    "sec-websocket-version": "13",
}
_MASK: Final = b"\x1f\x2e\x3d\x4c"


@dataclass(frozen=True)
class FuzzFrame:
    """One frame of the client. `payload` is text in latin-1, `reserved` the three reserved bits as a number."""

    opcode: int
    payload: str = ""
    fin: bool = True
    masked: bool = True
    reserved: int = 0

    @classmethod
    def text(cls, value: JSON) -> FuzzFrame:
        """Return a text frame of a value: a string as it is, anything else as JSON."""
        text = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
        return cls(TEXT, text.encode(errors="surrogatepass").decode("latin-1"))

    @property
    def value(self) -> JSON:
        """Return the value of a whole text frame in the form of a recording; None if recordings have no form for it."""
        if (self.opcode, self.fin, self.masked, self.reserved) != (TEXT, True, True, 0):
            return None
        try:
            return self.payload.encode("latin-1").decode()
        except UnicodeDecodeError:
            return None

    def encode(self) -> bytes:
        """Return the frame's bytes (RFC 6455 §5.2)."""
        payload = self.payload.encode("latin-1")
        head = bytearray(encode_head(self.opcode, len(payload)))
        head[0] = (FIN if self.fin else 0) | self.reserved << 4 | self.opcode
        if not self.masked:
            return bytes(head) + payload
        head[1] |= MASKED
        return bytes(head) + _MASK + apply_mask(payload, _MASK)


@dataclass(frozen=True)
class FuzzConversation:
    """A handshake and the client's frames; `headers` are added to the handshake's own, or replace them."""

    target: str
    frames: tuple[FuzzFrame, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()

    def handshake(self, authority: str) -> bytes:
        """Return the request that opens the conversation (RFC 6455 §4.1)."""
        own = {"host": authority, **_HANDSHAKE, **dict(self.headers)}
        lines = [f"GET {self.target} HTTP/1.1", *(f"{name}: {value}" for name, value in own.items())]
        repeated = [f"{name}: {value}" for name, value in self.headers if own[name] != value]
        return "\r\n".join([*lines, *repeated, "", ""]).encode("latin-1")

    def describe(self) -> list[str]:
        """Return a line for the handshake and one for each frame."""
        shown = [f"{frame.opcode:x}{'' if frame.fin else '…'} {frame.payload[:300]!r}" for frame in self.frames]
        return [f"WS {self.target} {dict(self.headers)}", *shown]


@dataclass(frozen=True)
class ServerFrame:
    """One frame of the service, and the number of client frames before it."""

    after: int
    opcode: int
    payload: bytes

    @property
    def value(self) -> JSON:
        """Return the value to compare: parsed JSON, other text unchanged, the kind of any other frame."""
        if self.opcode == CLOSE:
            code = int.from_bytes(self.payload[:2], "big") if len(self.payload) > 1 else None
            return {"$close": [code, self.payload[2:].decode(errors="replace")]}
        if self.opcode != TEXT:
            return {f"${self.opcode:x}": self.payload.hex()}
        text = self.payload.decode(errors="replace")
        try:
            return parse_json(text)
        except ValueError:
            return text


@dataclass(frozen=True)
class PlayedConversation:
    """One backend's part: the handshake's status, subprotocol and refusal, the frames, and whether it closed."""

    status: int | None
    subprotocol: str | None = None
    refusal: str = ""
    frames: tuple[ServerFrame, ...] = ()
    is_closed: bool = False

    @property
    def handshake(self) -> JSON:
        """Return the answer to the handshake."""
        return {"status": self.status, "subprotocol": self.subprotocol, "refusal": self.refusal}

    @property
    def values(self) -> list[JSON]:
        """Return the values of all frames."""
        return [frame.value for frame in self.frames]

    def count(self, sent: int) -> int:
        """Return the number of frames that came before the client had sent more than `sent`."""
        return sum(frame.after <= sent for frame in self.frames)

    @property
    def positions(self) -> JSON:
        """Return the number of client frames before each frame."""
        return [frame.after for frame in self.frames]


@dataclass
class ExpectedFrames:
    """The number of frames to wait for after each client frame: that of the other backend, less the missing ones.

    A frame that did not come in time is waited for only once, not again after every later frame.
    """

    like: PlayedConversation | None
    _missing: int = 0

    def after(self, sent: int) -> int:
        """Return how many frames to wait for after the client has sent `sent` frames."""
        return self._count(sent) - self._missing

    def received(self, sent: int, count: int) -> None:
        """Record the number of frames that have come by the end of that wait."""
        self._missing = max(self._count(sent) - count, 0)

    def _count(self, sent: int) -> int:
        return self.like.count(sent) if self.like else 0


def compare_conversations(
    legacy: PlayedConversation, native: PlayedConversation, names: Correspondence
) -> list[Difference]:
    """Return every difference: of the handshakes, or if they agree, of frames, positions and the end."""
    names.step += 1
    return (
        compare_recorded_values(legacy.handshake, native.handshake, names, "handshake")
        or compare_frames(legacy.values, native.values, names)
        or compare_recorded_values(legacy.positions, native.positions, names, "positions")
        or compare_recorded_values(legacy.is_closed, native.is_closed, names, "closed")
    )


def read_frames(data: bytes, after: int) -> tuple[list[ServerFrame], bytes]:
    """Return the complete frames at the beginning of a service's bytes, and the remaining bytes."""
    frames: list[ServerFrame] = []
    while len(data) >= 2 and len(data) >= (start := head_size(data[1])):
        end = start + payload_size(data)
        if len(data) < end:
            break
        frames.append(ServerFrame(after, data[0] & 0xF, data[start:end]))
        data = data[end:]
    return frames, data


def recorded_frames(frames: Sequence[FuzzFrame]) -> list[JSON] | None:
    """Return frames in the form of a recording; None if a frame has no form there."""
    values = [frame.value for frame in frames]
    return None if any(value is None for value in values) else values

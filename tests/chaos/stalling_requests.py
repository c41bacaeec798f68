"""Requests of clients that stall, by the attack's name: missing bodies, unfinished frames, pipelines."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Final

MIB: Final = 1 << 20
HANDSHAKE: Final = (
    b"GET /transcription-stream HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


def _upload(path: bytes, length: int, sent: int) -> bytes:
    head = b"POST %b HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    return head % (path, length) + b'"' + b"x" * sent


def _unfinished_frame() -> bytes:
    """Return a handshake and a masked binary frame of 95 MiB, of which 94 MiB follow."""
    return HANDSHAKE + b"\x82\xff" + (95 * MIB).to_bytes(8, "big") + bytes(4) + bytes(94 * MIB)


def _text_frame(text: bytes) -> bytes:
    """Return a whole masked text frame."""
    return b"\x81\xff" + len(text).to_bytes(8, "big") + bytes(4) + text


def _recording() -> bytes:
    """Return a handshake and the frames of a recording with one chunk of audio of 24 MiB, in base64."""
    audio = b"QUJD" * (24 * MIB // 3)
    return (
        HANDSHAKE
        + _text_frame(b'{"type":"start_recording"}')
        + _text_frame(b'{"type":"audio_chunk","audioData":"' + audio + b'"}')
    )


def _pipeline() -> bytes:
    """Return 50 requests for a document of some kilobytes."""
    return b"GET /api/v1/openapi.json HTTP/1.1\r\nHost: a\r\n\r\n" * 50


REQUESTS: Final[Mapping[str, Callable[[], bytes]]] = {
    "body": functools.partial(_upload, b"/api/notes/a", 1000, 0),
    "legacy's body": functools.partial(_upload, b"/old", 1000, 0),
    "idle": lambda: HANDSHAKE,
    "upload": functools.partial(_upload, b"/users/users/login", 10_000_000, 9_900_000),
    "frame": _unfinished_frame,
    "recording": _recording,
    "pipeline": _pipeline,
}
"""Builds each request."""

"""Clients that stall: bodies that do not come, answers that are not read, idle WebSockets, frames without an end."""

from __future__ import annotations

import asyncio
import functools
from collections import Counter
from typing import Final

from tests.chaos.figures import Attack, Figures
from tests.chaos.target import Target

HOLD_S: Final = 4.0
"""Seconds for which clients hold what they have."""
MIB: Final = 1 << 20
HANDSHAKE: Final = (
    b"GET /transcription-stream HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
DOCUMENT: Final = b"GET /api/v1/openapi.json HTTP/1.1\r\nHost: a\r\n\r\n"

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def hold(request: bytes, number: int, target: Target) -> Figures:
    """Open `number` connections that send `request` and nothing more, and read nothing of its answer."""
    async with target.traffic() as others:
        streams = await _open(target, request, number)
        await asyncio.sleep(HOLD_S)
        statuses = Counter([await _status(stream) for stream in streams])
        figures = await others.figures()
        _abort(streams)
    answered = ", ".join(f"{number} × {status}" for status, number in sorted(statuses.items()))
    return {**figures, "RSS, MiB": target.peak_rss(), "answers": answered}


async def _open(target: Target, request: bytes, number: int) -> list[Stream]:
    streams = []
    for _ in range(number):
        stream = await asyncio.open_connection("127.0.0.1", target.port, limit=4096)
        stream[1].write(request)
        streams.append(stream)
    return streams


async def _status(stream: Stream) -> str:
    """Return the status that a client has been sent, `none` where it has been sent nothing."""
    try:
        async with asyncio.timeout(0.001):
            return (await stream[0].readline())[9:12].decode() or "closed"
    except TimeoutError:
        return "none"
    except OSError:
        return "reset"


def _abort(streams: list[Stream]) -> None:
    for _, writer in streams:
        writer.transport.abort()


def _upload(path: bytes, length: int, sent: int) -> bytes:
    head = b"POST %b HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    return head % (path, length) + b'"' + b"x" * sent


def _frame(size: int) -> bytes:
    """Return a masked binary frame of 95 MiB, of which only `size` bytes follow."""
    return b"\x82\xff" + (95 * MIB).to_bytes(8, "big") + bytes(4) + bytes(size)


def _text_frame(text: bytes) -> bytes:
    """Return a whole masked text frame."""
    return b"\x81\xff" + len(text).to_bytes(8, "big") + bytes(4) + text


def _recording(size: int) -> bytes:
    """Return the frames of a recording with one chunk of audio of `size` bytes, in base64."""
    audio = b"QUJD" * (size // 3)
    return _text_frame(b'{"type":"start_recording"}') + _text_frame(
        b'{"type":"audio_chunk","audioData":"' + audio + b'"}'
    )


ATTACKS: Final = [
    Attack("1,030 bodies that never come", functools.partial(hold, _upload(b"/api/notes/a", 1000, 0), 1030)),
    Attack("1,030 bodies that never come, legacy's", functools.partial(hold, _upload(b"/old", 1000, 0), 1030)),
    Attack("1,024 idle WebSockets", functools.partial(hold, HANDSHAKE, 1024)),
    Attack(
        "60 stalled uploads of 9.9 MB",
        functools.partial(hold, _upload(b"/users/users/login", 10_000_000, 9_900_000), 60),
    ),
    Attack(
        "6 unfinished frames of 95 MiB",
        functools.partial(hold, HANDSHAKE + _frame(94 * MIB), 6),
    ),
    Attack("12 recordings of 24 MiB", functools.partial(hold, HANDSHAKE + _recording(24 * MIB), 12)),
    Attack(
        "256 slow readers", functools.partial(hold, b"GET /api/v1/openapi.json HTTP/1.1\r\nHost: a\r\n\r\n" * 50, 256)
    ),
]

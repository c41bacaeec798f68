"""Large messages and what is glued behind them: both backends, and the gateway's forwarding, send the same frames.

Node answers `null` after all messages that it has read at once, 64 KiB at most. Where such a part ends is a matter of
the network: behind about 32 KiB, half of the receiver's first window, or later. So `null` stands at the beginning only,
and no other frame begins or ends there.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import random
from typing import Final

import pytest
from starlette.types import Receive, Scope, Send

from proxy.types import JSON
from tests.support.backend_pair import BackendPair
from tests.support.contended_loop import contended
from tests.support.outside_services import Answer, Script
from tests.support.profile import IS_QUICK
from tests.support.waiting import HANG_TIMEOUT
from tests.support.websocket_client import MASK, RawSocket, frame, raw_client
from tests.support.websocket_forwarding import forwarding

pytestmark = pytest.mark.asyncio(loop_scope="session")

TEXT, BINARY, CLOSE, PING = 1, 2, 8, 9
START: Final = b'{"type":"start_recording","consultationId":"c"}'
STOP: Final = b'{"type":"stop_recording"}'
LATE: Final = (b"null", b'{"type":"start_recording","consultationId":' + b"[" * 4_900 + b"]" * 4_900 + b"}")
WITHIN_ANY_READ: Final = b" " * 70_000
"""White space behind a message that makes it end after the first read."""
SMALL: Final = (START, STOP, b"{", b"[]", b'{"type":"audio_chunk"}', b'{"type":"audio_chunk","audioData":"QUJD"}')
ENDS: Final = (
    *(frame(CLOSE, payload) for payload in (b"", b"\x03\xe8", b"\x0b\xb8because", b"\x03", b"\x03\xe8\xff")),
    *(frame(3, b"x"), frame(0, b"x"), frame(TEXT, b"\xff"), frame(TEXT, b"x", masked=False), b"\xc1\x81" + MASK + b"x"),
    frame(TEXT, b"{", length=1 << 63),
)


def draw_large(source: random.Random) -> bytes:
    """Return a message of up to 3 MB, with fewer escaped surrogates than native reads (`json-bounded`)."""
    size = source.choice([9_000, 70_000, 300_000, 3_000_000])
    letters = source.choice([b"x", b"\\u00e9", b"\xc3\xa9", b"\\ud83d\\ude00", b"\\n", b"\xf0\x9f\x98\x80", b"\\ud800"])
    text = letters * (size // len(letters) if b"\\ud" not in letters else 3_000)
    return source.choice(
        [
            b'{"type":"start_recording","consultationId":"%s"}' % text,
            b'{"type":"audio_chunk","audioData":"%s"}' % base64.b64encode(source.randbytes(size // 4 * 3)),
            b'{"type":"audio_chunk","audioData":"%s"}' % text,
            b'{"type":"stop_recording","x":"%s"}' % text,
            b'{"type":"stop_recording","x":"%s"' % text,
            b'{"type":"stop_recording"}' + b" " * size,
            b" " * size,
            b'{"type":"start_recording","consultationId":%s1}' % (b"0." + b"0" * size),
            b'{"type":"start_recording","consultationId":["%s",%s]}' % (text, b"1," * 4_000 + b"1"),
        ]
    )


def frames_of(source: random.Random, message: bytes) -> bytes:
    """Return a message in one frame or in fragments with pings between them."""
    opcode = source.choice([TEXT, TEXT, BINARY])
    if source.randrange(2):
        return frame(opcode, message)
    cuts = sorted(source.randrange(len(message) + 1) for _ in range(source.randint(1, 4)))
    parts = [message[start:end] for start, end in zip([0, *cuts], [*cuts, len(message)], strict=True)]
    frames = [frame(0 if index else opcode, part, fin=index == len(parts) - 1) for index, part in enumerate(parts)]
    return frame(PING, b"within").join(frames)


def draw_bytes(source: random.Random) -> bytes:
    """Return the bytes of a client, which end the conversation."""
    late = source.choices(LATE, k=source.choice([0, 0, 1, 2]))
    small = [source.choices(SMALL, k=source.randint(0, 3)) for _ in range(3)]
    before, after = [*late, START, *small[0]], [*small[1], draw_large(source), *small[2]]
    first = draw_large(source)
    large = frame(TEXT, first + WITHIN_ANY_READ) if late else frames_of(source, first)
    parts = [*(frames_of(source, each) for each in before), large, *(frames_of(source, each) for each in after)]
    data = b"".join(part + frame(PING, b"after") * source.randrange(2) for part in parts)
    return data + frame(TEXT, STOP) * source.randrange(2) + source.choice(ENDS)


async def play(port: int, data: bytes) -> list[JSON]:
    """Write the bytes at once; return the service's frames up to its end."""
    frames: list[JSON] = []
    async with asyncio.timeout(HANG_TIMEOUT), raw_client(port) as socket:
        socket.writer.write(data)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                frames.append(await read(socket))
    return frames


async def read(socket: RawSocket) -> JSON:
    """Return the next frame, without ids and times."""
    opcode, payload = await socket.read_frame()
    if opcode != TEXT:
        return [opcode, payload.hex()]
    try:
        return {**json.loads(payload), "connectionId": None, "timestamp": None}
    except RecursionError:
        return {"deep": len(payload)}


@pytest.mark.parametrize("seed", range(5) if IS_QUICK else range(20))
async def test_messages_behind_large_ones_have_equal_answers(keeping: BackendPair, seed: int) -> None:
    data, model = draw_bytes(random.Random(seed)), HeldModel()
    await keeping.legacy.until_ready()
    with keeping.legacy.outside.giving(model), keeping.native.outside.giving(model):
        legacy = shortened(await play(keeping.legacy.origin.port, data))
        with contended() if seed % 2 else contextlib.nullcontext():
            native = shortened(await play(keeping.native.origin.port, data))
            async with forwarding(keeping.legacy.origin.port) as port:
                forwarded = shortened(await play(port, data))
        model.released.set()
    assert native == legacy
    assert forwarded == legacy


class HeldModel:
    """A model that answers once no conversation is open, so that no text comes between two answers."""

    def __init__(self) -> None:
        self.released = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.released.wait()
        await Script([Answer(body=b"late", content_type="text/plain")])(scope, receive, send)


def shortened(frames: list[JSON]) -> list[tuple[int, str]]:
    """Return the lengths and beginnings of frames, which are short enough to be shown."""
    return [(len(text), text[:90]) for text in map(json.dumps, frames)]

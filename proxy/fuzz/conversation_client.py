"""Play a drawn conversation to one service, byte for byte, with time to answer each frame.

The answers of one backend give the pace of the other: the client waits until it has sent as many frames, or takes too
long.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Final

from proxy.fuzz.conversation import (
    ExpectedFrames,
    FuzzConversation,
    FuzzFrame,
    PlayedConversation,
    ServerFrame,
    read_frames,
)
from proxy.recordings.raw_http import Origin
from proxy.websocket.frames import PING, PONG

_SLICE: Final = 64 * 1024


@dataclass(frozen=True)
class ConversationPace:
    """Times in seconds: for an expected answer, and of silence after which a frame counts as answered."""

    answer: float = 3.0
    silence: float = 0.12

    def slower(self, factor: float) -> ConversationPace:
        """Return the pace with longer times of silence."""
        return ConversationPace(self.answer * factor, self.silence * factor)


@dataclass
class _Connection:
    """The bytes of a service as they arrive. Its pings are answered, and are not part of a conversation."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    data: bytes = b""
    closed: bool = False
    frames: list[ServerFrame] = field(default_factory=list)

    async def read_answers(self, after: int, expected: int, pace: ConversationPace) -> None:
        """Read until `expected` frames and no more bytes arrive, or the service closes or takes too long."""
        self._take_frames(after)
        while not self.closed and await self._read(pace.answer if len(self.frames) < expected else pace.silence):
            self._take_frames(after)

    def _take_frames(self, after: int) -> None:
        frames, self.data = read_frames(self.data, after)
        self.frames += [frame for frame in frames if frame.opcode != PING]
        for ping in (frame for frame in frames if frame.opcode == PING):
            self.writer.write(FuzzFrame(PONG, ping.payload.decode("latin-1")).encode())

    async def read_head(self, timeout: float) -> list[str] | None:
        """Return the lines of the handshake's answer; None if there is none."""
        while b"\r\n\r\n" not in self.data:
            if not await self._read(timeout):
                return None
        head, _, self.data = self.data.partition(b"\r\n\r\n")
        return head.decode("latin-1").split("\r\n")

    async def read_rest(self, timeout: float) -> str:
        """Return the text until the service closes, or sends nothing for `timeout` seconds."""
        while not self.closed and await self._read(timeout):
            pass
        return self.data.decode(errors="replace")

    async def _read(self, timeout: float) -> bool:
        try:
            async with asyncio.timeout(timeout):
                received = await self.reader.read(_SLICE)
        except TimeoutError:
            return False
        except ConnectionError:
            received = b""
        self.data += received
        self.closed = not received
        return bool(received)


async def converse(
    origin: Origin, conversation: FuzzConversation, pace: ConversationPace, like: PlayedConversation | None = None
) -> PlayedConversation:
    """Play a conversation on a connection of its own; `like` is the other backend's.

    Raises OSError if nothing accepts the connection.
    """
    reader, writer = await asyncio.open_connection(origin.host, origin.port, ssl=origin.secure or None)
    connection = _Connection(reader, writer)
    try:
        writer.write(conversation.handshake(origin.authority))
        lines = await connection.read_head(pace.answer)
        if lines is None:
            return PlayedConversation(None)
        status, headers = int(lines[0].split(" ")[1]), _headers(lines[1:])
        if status != 101:
            return PlayedConversation(status, refusal=await connection.read_rest(pace.answer))
        await _talk(connection, conversation, pace, like)
    finally:
        writer.transport.abort()
    subprotocol = headers.get("sec-websocket-protocol")
    return PlayedConversation(status, subprotocol, "", tuple(connection.frames), connection.closed)


async def _talk(
    connection: _Connection,
    conversation: FuzzConversation,
    pace: ConversationPace,
    like: PlayedConversation | None,
) -> None:
    expected = ExpectedFrames(like)
    for number, frame in enumerate((b"", *(frame.encode() for frame in conversation.frames))):
        if connection.closed:
            return
        connection.writer.write(frame)
        await connection.read_answers(number, expected.after(number), pace)
        expected.received(number, len(connection.frames))


def _headers(lines: list[str]) -> dict[str, str]:
    pairs = (line.partition(":") for line in lines)
    return {name.lower(): value.strip() for name, _, value in pairs}

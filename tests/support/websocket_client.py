"""A WebSocket client of raw bytes, for frames that a library would not send or not show."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
"""The pair of RFC 6455 §1.3."""
MASK = b"\x01\x02\x03\x04"


def handshake(target: str = "/transcription-stream", *headers: str, key: str = KEY) -> bytes:
    lines = [
        f"GET {target} HTTP/1.1",
        "Host: scribe.example",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {key}",
        "Sec-WebSocket-Version: 13",
        *headers,
    ]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def frame(opcode: int, data: bytes = b"", *, fin: bool = True, masked: bool = True, length: int | None = None) -> bytes:
    """Return a frame; `length` may announce more bytes than it has."""
    size = len(data) if length is None else length
    flag = 0x80 if masked else 0
    if size < 126:
        head = struct.pack("!BB", opcode | (0x80 if fin else 0), size | flag)
    elif size < 65536:
        head = struct.pack("!BBH", opcode | (0x80 if fin else 0), 126 | flag, size)
    else:
        head = struct.pack("!BBQ", opcode | (0x80 if fin else 0), 127 | flag, size)
    if not masked:
        return head + data
    return head + MASK + apply(data, MASK)


def apply(data: bytes, mask: bytes) -> bytes:
    repeated = (mask * (len(data) // 4 + 1))[: len(data)]
    return (int.from_bytes(data, "big") ^ int.from_bytes(repeated, "big")).to_bytes(len(data), "big")


class RawSocket:
    """One end of a connection after its handshake; `head` is the head that the other end sent."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        self.reader, self.writer, self.head = reader, writer, head

    async def read_frame(self) -> tuple[int, bytes]:
        """Return the next frame's opcode and data. Raises `asyncio.IncompleteReadError` at the end."""
        first, second = await self.reader.readexactly(2)
        size = second & 0x7F
        masked = second & 0x80
        if size == 126:
            (size,) = struct.unpack("!H", await self.reader.readexactly(2))
        elif size == 127:
            (size,) = struct.unpack("!Q", await self.reader.readexactly(8))
        mask = await self.reader.readexactly(4) if masked else bytes(4)
        data = await self.reader.readexactly(size)
        return first & 0x0F, apply(data, mask) if masked else data

    async def read_close(self) -> tuple[int, str]:
        """Read up to the close frame and return its content."""
        while True:
            opcode, data = await self.read_frame()
            if opcode == 8:
                return (struct.unpack("!H", data[:2])[0], data[2:].decode()) if data else (1005, "")

    async def read_rest(self) -> bytes:
        return await self.reader.read()


@asynccontextmanager
async def raw_client(port: int, request: bytes | None = None, *, buffer: int | None = None) -> AsyncIterator[RawSocket]:
    """Connect a client and complete its handshake. `buffer`: size of its receive buffer, by default the kernel's."""
    connection = socket.socket()
    connection.setblocking(False)
    if buffer is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", port))
    reader, writer = await asyncio.open_connection(sock=connection)
    try:
        writer.write(request if request is not None else handshake())
        head = await reader.readuntil(b"\r\n\r\n")
        yield RawSocket(reader, writer, head)
    finally:
        writer.transport.abort()
        await asyncio.sleep(0)

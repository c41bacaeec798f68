"""A legacy that accepts one WebSocket and gives the test its raw bytes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from websockets.utils import accept_key

from tests.support.sockets import read_head, scripted
from tests.support.websocket_client import RawSocket, handshake


@asynccontextmanager
async def raw_legacy(first_frames: bytes = b"") -> AsyncIterator[tuple[int, asyncio.Future[RawSocket]]]:
    """Run the legacy; `first_frames` are sent in one packet with its handshake."""
    accepted: asyncio.Future[RawSocket] = asyncio.get_running_loop().create_future()
    done = asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await read_head(reader)
        key = head.lower().split(b"sec-websocket-key: ")[1].split(b"\r\n")[0]
        assert key == handshake().split(b"Key: ")[1].split(b"\r\n")[0].lower()
        answer = accept_key(handshake().split(b"Key: ")[1].split(b"\r\n")[0].decode()).encode()
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + answer + b"\r\n\r\n" + first_frames
        )
        accepted.set_result(RawSocket(reader, writer, head))
        await done.wait()

    async with scripted(script) as port:
        yield port, accepted
        done.set()

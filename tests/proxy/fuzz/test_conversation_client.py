"""Drawn conversations, played to a service."""

from __future__ import annotations

import asyncio

from proxy.fuzz.conversation import FuzzConversation, FuzzFrame, ServerFrame
from proxy.fuzz.conversation_client import ConversationPace, converse
from proxy.recordings.raw_http import Origin
from proxy.websocket.frames import PING, TEXT


async def test_pings_of_a_service_are_answered_and_omitted() -> None:
    answers: asyncio.Queue[bytes] = asyncio.Queue()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        ping, text = FuzzFrame(PING, "clock", masked=False), FuzzFrame(TEXT, "hello", masked=False)
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\n\r\n" + ping.encode() + text.encode())
        answers.put_nowait(await reader.readexactly(2 + 4 + 5))
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        origin = Origin("127.0.0.1", server.sockets[0].getsockname()[1])
        played = await converse(origin, FuzzConversation("/talk"), ConversationPace(silence=30.0))
    assert (played.frames, played.is_closed) == ((ServerFrame(0, TEXT, b"hello"),), True)
    assert answers.get_nowait()[:2] == b"\x8a\x85"

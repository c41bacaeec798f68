"""Attackers send the bytes that an attack's figures state, and read only the beginning of the answer."""

from __future__ import annotations

import asyncio

from tests.chaos.stalling_client import READ, figures_of, open_clients
from tests.chaos.stalling_requests import REQUESTS
from tests.support.sockets import scripted


async def test_stalling_clients_send_their_requests_whole() -> None:
    size = len(REQUESTS["pipeline"]())
    received: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.append(await reader.readexactly(size))
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n" + bytes(4 * READ))
        await reader.read()

    async with scripted(answer) as port, asyncio.timeout(60):
        clients = await open_clients(port, "pipeline", 2)
        while (figures := figures_of(clients))["answers"] != "2 × 200":
            await asyncio.sleep(0.001)
        for client in clients:
            client.abort()
    assert len(received) == 2
    assert figures["attack's MiB"] == 2 * size / (1 << 20)

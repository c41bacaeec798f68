"""A raw client: writes bytes in pieces, and reads answers until all are complete, a timeout, or the end."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import cast

from tests.conformance.answers import Answer, Malformed, read_answers
from tests.conformance.upstream import write_pieces


class Client(asyncio.Protocol):
    """One client connection."""

    def __init__(self) -> None:
        self.received = bytearray()
        self.closed = False
        self.transport: asyncio.Transport
        self._progress = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self.received += data
        self._progress.set()

    def eof_received(self) -> bool:
        self.closed = True
        self._progress.set()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        self._progress.set()

    async def write(self, pieces: list[bytes], pause: float) -> None:
        """Write the pieces one by one, for a reader that needs `pause` seconds to see each."""
        await write_pieces(self.transport, pieces, pause)

    def answers(self, methods: Sequence[bytes]) -> list[Answer]:
        """Return the answers so far. Raises `Malformed`."""
        return read_answers(bytes(self.received), methods, closed=self.closed)

    async def wait_for(self, count: int, methods: Sequence[bytes], seconds: float) -> bool:
        """Wait for `count` complete answers or the connection's end; False if neither came in time."""
        try:
            async with asyncio.timeout(seconds):
                while not (self.closed or self._has(count, methods)):
                    self._progress.clear()
                    await self._progress.wait()
        except TimeoutError:
            return False
        return True

    def _has(self, count: int, methods: Sequence[bytes]) -> bool:
        try:
            return sum(answer.complete for answer in self.answers(methods)) >= count
        except Malformed:
            return True


async def connect(port: int) -> Client:
    """Return a client connected to a port of this machine."""
    _, client = await asyncio.get_running_loop().create_connection(Client, "127.0.0.1", port)
    return client

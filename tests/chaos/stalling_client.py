"""Clients that send one request as fast as it is accepted, and read only the beginning of the answer."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, cast

from tests.chaos.figures import Figures
from tests.chaos.stalling_requests import REQUESTS

READ: Final = 8192
"""Bytes of the answer after which a client reads no more."""
PIECE: Final = 64 * 1024
"""Bytes that a client writes at a time."""


class StallingClient(asyncio.Protocol):
    """One connection. `status` is that of the first answer, `none` if nothing has arrived."""

    def __init__(self, request: bytes) -> None:
        self._left = memoryview(request)
        self._received = b""
        self._written = 0
        self._transport: asyncio.Transport
        self._is_paused = False
        self._end = "none"

    @property
    def status(self) -> str:
        """Status of the answer, or the state of the connection without one."""
        return self._received[9:12].decode() or self._end

    @property
    def sent(self) -> int:
        """Bytes that the kernel has taken."""
        return self._written - self._transport.get_write_buffer_size()

    def abort(self) -> None:
        """Abort the connection, unless it has ended: a transport of asyncio cannot be aborted after that."""
        if self._end == "none":
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self.resume_writing()

    def data_received(self, data: bytes) -> None:
        self._received += data
        if len(self._received) > READ:
            self._transport.pause_reading()

    def connection_lost(self, error: Exception | None) -> None:
        self._left = self._left[:0]
        self._end = "reset" if error is not None else "closed"

    def pause_writing(self) -> None:
        self._is_paused = True

    def resume_writing(self) -> None:
        self._is_paused = False
        while self._left and not self._is_paused:
            piece, self._left = self._left[:PIECE], self._left[PIECE:]
            self._written += len(piece)
            self._transport.write(piece)


async def open_clients(port: int, name: str, number: int) -> list[StallingClient]:
    """Open `number` connections, each with the request `name`."""
    request = REQUESTS[name]()
    loop = asyncio.get_running_loop()
    return [
        (await loop.create_connection(lambda: StallingClient(request), "127.0.0.1", port))[1] for _ in range(number)
    ]


def figures_of(clients: Sequence[StallingClient]) -> Figures:
    """Return the bytes that clients have sent, and the statuses that they got."""
    statuses = sorted(Counter(client.status for client in clients).items())
    return {
        "attack's MiB": sum(client.sent for client in clients) / (1 << 20),
        "answers": ", ".join(f"{number} × {status}" for status, number in statuses),
    }


async def stall(port: int, name: str, number: int) -> Callable[[], Figures]:
    """Begin an attack by `number` clients."""
    return partial(figures_of, await open_clients(port, name, number))

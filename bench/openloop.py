"""Open-loop load: a constant rate of requests, whether or not earlier ones were answered.

A closed loop sends its next request once it is answered, and so sends fewer to a slow server. Here each request has a
scheduled time, from which its latency counts, also while it waits for a free connection.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from statistics import quantiles
from typing import cast

import uvloop

from bench.load import Reading

CONNECTIONS = 128
DRAIN_TIMEOUT = 10.0
"""Seconds to wait for the last answers."""
_LENGTH = b"content-length: "


def constant(port: int, target: str, rate: float, seconds: float) -> Reading:
    """Send `rate` requests per second over persistent HTTP/1.1 connections."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_Load(port, target, rate, seconds).run())


@dataclass
class _Load:
    port: int
    target: str
    rate: float
    seconds: float
    took: list[float] = field(default_factory=list)
    failed: int = 0
    free: list[_Connection] = field(default_factory=list)
    waiting: deque[float] = field(default_factory=deque)

    async def run(self) -> Reading:
        loop = asyncio.get_running_loop()
        self.request = f"GET {self.target} HTTP/1.1\r\nHost: bench\r\n\r\n".encode()
        self.now = loop.time
        for _ in range(CONNECTIONS):
            _, connection = await loop.create_connection(lambda: _Connection(self), "127.0.0.1", self.port)
            self.free.append(connection)
        total = int(self.rate * self.seconds)
        began, asked = loop.time(), 0
        while asked < total:
            due = min(total, int((loop.time() - began) * self.rate) + 1)
            for number in range(asked, due):
                self.ask(began + number / self.rate)
            asked = max(asked, due)
            await asyncio.sleep(0.001)
        over = loop.time() + DRAIN_TIMEOUT
        while len(self.took) + self.failed < total and loop.time() < over:  # noqa: ASYNC110 - a timer is simpler
            await asyncio.sleep(0.01)
        elapsed = max(self.seconds, loop.time() - began)
        cuts = quantiles(self.took, n=100)
        return Reading(len(self.took) / elapsed, cuts[49] * 1000, cuts[98] * 1000, total - len(self.took))

    def ask(self, meant: float) -> None:
        """Send a request now, or as soon as a connection is free; it was scheduled for `meant`."""
        if self.free:
            self.free.pop().ask(meant)
        else:
            self.waiting.append(meant)

    def answered(self, connection: _Connection, meant: float, *, well: bool) -> None:
        if well:
            self.took.append(self.now() - meant)
        else:
            self.failed += 1
        if self.waiting:
            connection.ask(self.waiting.popleft())
        else:
            self.free.append(connection)


class _Connection(asyncio.Protocol):
    def __init__(self, load: _Load) -> None:
        self._load = load
        self._meant = 0.0
        self._read = b""

    def ask(self, meant: float) -> None:
        self._meant = meant
        self._transport.write(self._load.request)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._read += data
        head, ended, body = self._read.partition(b"\r\n\r\n")
        if not ended:
            return
        begin = head.index(_LENGTH) + len(_LENGTH)
        if len(body) >= int(head[begin:].partition(b"\r\n")[0]):
            well, self._read = head.startswith(b"HTTP/1.1 2"), b""
            self._load.answered(self, self._meant, well=well)

    def connection_lost(self, exc: Exception | None) -> None:
        """Count the pending requests of a lost connection as unanswered."""

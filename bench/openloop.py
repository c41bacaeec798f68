"""Open-loop load: a constant rate of requests, independent of the answers to earlier ones.

A closed loop waits for an answer before the next request, and so sends fewer requests to a slow server. Here each
request has a scheduled time. Its latency counts from then, waiting for a free connection included. Before the first
scheduled time, every connection is open and has served a request.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import quantiles
from typing import cast

import uvloop

from bench.load import Reading

CONNECTIONS = 128
DRAIN_TIMEOUT = 10.0
"""Seconds to wait for the last answers."""
TICK = 0.001
"""Seconds between two checks of the clock."""
_LENGTH = b"content-length: "


@dataclass(frozen=True, slots=True)
class Answers:
    """Latencies in seconds, in the order of the answers; the number of unanswered requests; the duration in seconds."""

    latencies: Sequence[float]
    unanswered: int
    seconds: float

    def reading(self) -> Reading:
        """Return the answers as throughput, median and 99th percentile."""
        cuts = quantiles(self.latencies, n=100)
        return Reading(len(self.latencies) / self.seconds, cuts[49] * 1000, cuts[98] * 1000, self.unanswered)


def constant(port: int, target: str, rate: float, seconds: float) -> Reading:
    """Send `rate` requests per second over persistent HTTP/1.1 connections."""
    with OpenLoop(port, target, CONNECTIONS) as load:
        return load.measure(rate, seconds).reading()


class OpenLoop:
    """Load over open connections, each of which has served a request. A context manager."""

    def __init__(self, port: int, target: str, connections: int) -> None:
        self._runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
        self._load = _Load(port, target, connections)

    def __enter__(self) -> OpenLoop:
        self._runner.run(self._load.open())
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.close()

    def measure(self, rate: float, seconds: float) -> Answers:
        """Send `rate` requests per second."""
        return self._runner.run(self._load.measure(rate, seconds))


@dataclass
class _Load:
    port: int
    target: str
    connections: int
    took: list[float] = field(default_factory=list)
    failed: int = 0
    free: list[_Connection] = field(default_factory=list)
    waiting: deque[float] = field(default_factory=deque)

    async def measure(self, rate: float, seconds: float) -> Answers:
        self.took, self.failed = [], 0
        total = int(rate * seconds)
        began, submitted = time.perf_counter(), 0
        while submitted < total:
            due = min(total, int((time.perf_counter() - began) * rate) + 1)
            for number in range(submitted, due):
                self.submit(began + number / rate)
            submitted = max(submitted, due)
            await asyncio.sleep(TICK)
        await self._drain(total)
        elapsed = max(seconds, time.perf_counter() - began)
        return Answers(self.took, total - len(self.took), elapsed)

    async def open(self) -> None:
        """Open the connections, and wait until each has served a request."""
        loop = asyncio.get_running_loop()
        self.request = f"GET {self.target} HTTP/1.1\r\nHost: bench\r\n\r\n".encode()
        for _ in range(self.connections):
            _, connection = await loop.create_connection(lambda: _Connection(self), "127.0.0.1", self.port)
            connection.send(time.perf_counter())
        await self._drain(self.connections)

    async def _drain(self, total: int) -> None:
        over = time.perf_counter() + DRAIN_TIMEOUT
        while len(self.took) + self.failed < total and time.perf_counter() < over:  # noqa: ASYNC110 - a timer is simpler
            await asyncio.sleep(0.01)

    def submit(self, meant: float) -> None:
        """Send the request that was scheduled for `meant` now, or as soon as a connection is free."""
        if self.free:
            self.free.pop().send(meant)
        else:
            self.waiting.append(meant)

    def answered(self, connection: _Connection, meant: float, *, well: bool) -> None:
        if well:
            self.took.append(time.perf_counter() - meant)
        else:
            self.failed += 1
        if self.waiting:
            connection.send(self.waiting.popleft())
        else:
            self.free.append(connection)


class _Connection(asyncio.Protocol):
    def __init__(self, load: _Load) -> None:
        self._load = load
        self._meant = 0.0
        self._read = b""

    def send(self, meant: float) -> None:
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

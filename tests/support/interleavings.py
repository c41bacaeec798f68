"""Random interleavings of clients, a faulty legacy, reloads and the circuit breaker, on real sockets.

Each request has a number in its target, and the conduct of legacy for it. Legacy counts what it receives, and answers
with the number, so that an answer to another request is found.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import socket
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from proxy.backends.legacy.http import DISCONNECT_WATCH_DELAY
from proxy.config.loading import parse
from proxy.config.models import Config
from proxy.gateway.gateway import Gateway
from proxy.gateway.request_record import RequestRecord
from proxy.gateway.snapshot import RoutingSnapshot
from proxy.runtime.legacy_backend import LegacyBackend
from tests.support.sockets import read_head, reset, serving
from tests.support.waiting import HANG_TIMEOUT, until

SAFE: Final = ("GET", "HEAD", "OPTIONS")
METHODS: Final = ("GET", "GET", "OPTIONS", "HEAD", *("DELETE",) * 4, "POST", "PUT")
CONDUCTS: Final = (
    *("whole",) * 20,
    *("parts", "parts", "late", "late", "late", "chunked", "last", "ended"),
    *("reset", "closed", "half", "hang", "stray", "idle-reset", "idle-closed", "unparsable", "early"),
)
"""Of legacy: an answer that is whole, in parts, late, chunked, the connection's last, or ended by it; or a fault."""
ABORTS: Final = (*(None,) * 20, "head", "sent", "answer")
"""Where a client leaves: within its head, after its request, within the answer."""
TARGET: Final = re.compile(rb"([A-Z]+) /([0-9]+)/([a-z-]+) ")
RESPONSE_TIMEOUT: Final = 1.0
PAUSE: Final = 0.05
"""Seconds for which the breaker stays open."""


@dataclass
class FaultyLegacy:
    """A legacy that answers each request as its target says.

    `received` counts requests by their numbers. `repeated` are those that came again although legacy was still to
    answer, or had begun to.
    """

    chance: random.Random
    received: Counter[int] = field(default_factory=Counter)
    repeated: list[int] = field(default_factory=list)
    port: int = 0
    _listener: socket.socket | None = None
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _writers: dict[asyncio.StreamWriter, int] = field(default_factory=dict)
    """Open connections with the number of the request that each answers, or 0."""
    _answered: set[int] = field(default_factory=set)

    @property
    def is_connected(self) -> bool:
        """True while connections are open."""
        return bool(self._tasks)

    def start(self) -> None:
        """Accept connections, on the same port each time."""
        if self._listener is not None:
            return
        listener = self._listener = socket.create_server(("127.0.0.1", self.port))
        listener.setblocking(False)
        self.port = listener.getsockname()[1]
        asyncio.get_running_loop().add_reader(listener, self._accept, listener)

    def stop(self, *, resets: bool) -> None:
        """Refuse connections; with `resets`, reset those that are open."""
        listener, self._listener = self._listener, None
        if listener is not None:
            asyncio.get_running_loop().remove_reader(listener)
            listener.close()
        for writer in list(self._writers) if resets else ():
            self._reset(writer)

    def _reset(self, writer: asyncio.StreamWriter) -> None:
        self._writers.pop(writer, None)
        if not writer.transport.is_closing():
            reset(writer)

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(BlockingIOError, ConnectionError):
            task = asyncio.get_running_loop().create_task(self._serve(listener.accept()[0]))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _serve(self, accepted: socket.socket) -> None:
        reader, writer = await asyncio.open_connection(sock=accepted)
        self._writers[writer] = 0
        try:
            while await self._answer(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._writers.pop(writer, None)
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; return False if the connection ends."""
        head = await read_head(reader)
        if writer.transport.is_closing():
            return False
        target = TARGET.match(head)
        assert target is not None, head
        method, number, conduct = target[1].decode(), int(target[2]), target[3].decode()
        self.received[number] += 1
        if number in self._answered or number in self._writers.values():
            self.repeated.append(number)
        self._writers[writer] = number
        if conduct != "early":
            length = re.search(rb"content-length: ([0-9]+)", head)
            await reader.readexactly(int(length[1]) if length is not None else 0)
        body = b"" if method == "HEAD" else b"<%d>" % number
        whole = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(b"<%d>" % number), body)
        pause = self.chance.choice((0.0, 0.0, PAUSE, 2 * DISCONNECT_WATCH_DELAY))
        persists = await self._conduct(conduct, writer, whole, body, pause)
        if writer in self._writers:
            self._writers[writer] = 0
        return persists

    async def _conduct(
        self, conduct: str, writer: asyncio.StreamWriter, whole: bytes, body: bytes, pause: float
    ) -> bool:
        match conduct:
            case "reset":
                await asyncio.sleep(pause)
                self._reset(writer)
            case "closed":
                await asyncio.sleep(pause)
            case "half":
                self._write(writer, whole[:-2])
                await asyncio.sleep(pause)
                self._reset(writer)
            case "hang":
                await asyncio.sleep(3 * RESPONSE_TIMEOUT)
            case "unparsable":
                self._write(writer, b"HELLO\r\n\r\n")
            case "last":
                self._write(writer, whole.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
            case "ended":
                self._write(writer, b"HTTP/1.1 200 OK\r\n\r\n" + body)
            case "chunked":
                framed = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if body else b""
                self._write(writer, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + framed)
                return True
            case "idle-reset":
                self._write(writer, whole)
                await asyncio.sleep(pause)
                self._reset(writer)
            case "idle-closed":
                self._write(writer, whole)
                await asyncio.sleep(pause)
            case "stray":
                self._write(writer, whole + b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n<0>")
                return True
            case _:
                await self._write_parts(conduct, writer, whole, pause)
                return conduct != "early"
        return False

    def _write(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        if data and not writer.transport.is_closing():
            self._answered.add(self._writers[writer])
            writer.write(data)

    async def _write_parts(self, conduct: str, writer: asyncio.StreamWriter, whole: bytes, pause: float) -> None:
        if conduct == "late":
            await asyncio.sleep(pause)
        cut = self.chance.randrange(len(whole)) if conduct == "parts" else 0
        for part in (whole[:cut], whole[cut:]):
            self._write(writer, part)
            await asyncio.sleep(pause if cut else 0)


@dataclass
class Outcome:
    """An answer: `status` is 0 if the client left, -1 if the connection ended within the answer or before it."""

    number: int
    method: str
    conduct: str
    status: int
    body: bytes = b""
    code: str = ""


@dataclass
class Play:
    """A gateway between random clients and a faulty legacy, with all that happened."""

    chance: random.Random
    legacy: FaultyLegacy
    backend: LegacyBackend
    gateway: Gateway
    port: int
    outcomes: list[Outcome] = field(default_factory=list)
    records: list[RequestRecord] = field(default_factory=list)
    _numbers: int = 0
    _reloads: int = 0

    def _config(self) -> Config:
        return config_of(self.legacy.port, self._reloads)

    def reload(self) -> None:
        """Apply a configuration with another pool and breaker for legacy."""
        self._reloads += 1
        config = self._config()
        self.backend.apply_config(config)
        self.gateway.snapshot = RoutingSnapshot.of(config, self.backend.breaker, None)

    async def run_client(self, requests: int) -> None:
        """Send requests one after the other, on one connection as long as it lasts."""
        left, opened = requests, None
        while left:
            if opened is None:
                opened = await asyncio.open_connection("127.0.0.1", self.port)
            left -= 1
            outcome, persists = await self._request(*opened)
            if outcome is not None:
                self.outcomes.append(outcome)
            if not persists:
                reset(opened[1]) if self.chance.random() < 0.5 else opened[1].close()
                opened = None
            await asyncio.sleep(self.chance.choice((0.0, 0.0, 0.0, PAUSE)))
        if opened is not None:
            opened[1].close()

    async def _request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> tuple[Outcome | None, bool]:
        self._numbers += 1
        number, method, conduct = self._numbers, self.chance.choice(METHODS), self.chance.choice(CONDUCTS)
        abort = self.chance.choice(ABORTS)
        body = b"x" * self.chance.choice((1, 70_000)) if method in ("POST", "PUT") else b""
        framing = b"Content-Length: %d\r\n" % len(body) if body else b""
        raw = b"%b /%d/%b HTTP/1.1\r\nHost: a\r\n%b\r\n" % (method.encode(), number, conduct.encode(), framing) + body
        if abort == "head":
            writer.write(raw[:10])
            await asyncio.sleep(self.chance.choice((0, 0.01)))
            return None, False
        writer.write(raw)
        if abort == "sent":
            await asyncio.sleep(self.chance.choice((0, 0, PAUSE, 2 * DISCONNECT_WATCH_DELAY)))
            return Outcome(number, method, conduct, 0), False
        return await self._read(Outcome(number, method, conduct, -1), reader, leaves=abort == "answer")

    async def _read(self, outcome: Outcome, reader: asyncio.StreamReader, *, leaves: bool) -> tuple[Outcome, bool]:
        try:
            async with asyncio.timeout(HANG_TIMEOUT):
                head = await read_head(reader)
                while head.startswith(b"HTTP/1.1 100 "):
                    head = await read_head(reader)
                if leaves:
                    outcome.status = 0
                    return outcome, False
                lower = head.lower()
                outcome.body = await _body_of(lower, reader) if outcome.method != "HEAD" else b""
        except (OSError, asyncio.IncompleteReadError):
            return outcome, False
        outcome.status = int(head[9:12])
        code = re.search(rb'"error":"([a-z_]+)"', outcome.body)
        outcome.code = code[1].decode() if code is not None else ""
        return outcome, b"connection: close" not in lower

    async def disturb(self, steps: int) -> None:
        """Stop and start legacy, and reload."""
        for _ in range(steps):
            await asyncio.sleep(self.chance.uniform(0, 2 * PAUSE))
            match self.chance.choice(("stop", "stop", "start", "reload")):
                case "stop":
                    self.legacy.stop(resets=self.chance.random() < 0.5)
                    await asyncio.sleep(self.chance.choice((0.0, PAUSE, 8 * PAUSE)))
                    self.legacy.start()
                case "start":
                    self.legacy.start()
                case _:
                    self.reload()
        self.legacy.start()

    def faults(self) -> list[str]:
        """Return what contradicts the invariants of requests that have ended."""
        contradictions = [f"received again during its answer: {number}" for number in self.legacy.repeated]
        for outcome in self.outcomes:
            times = self.legacy.received[outcome.number]
            is_safe = outcome.method in SAFE
            if times > (2 if is_safe else 1):
                contradictions.append(f"received {times} times: {outcome}")
            if outcome.status == 200 and (times == 0 or outcome.body != _expected(outcome)):
                contradictions.append(f"the answer of another request, or of none: {outcome}")
            if outcome.code in ("legacy_unreachable", "legacy_down") and times and not is_safe:
                contradictions.append(f"received, and reported as not sent: {outcome}")
            if outcome.status not in (-1, 0, 200, 502, 503, 504):
                contradictions.append(f"an unexpected status: {outcome}")
            if outcome.status == -1 and outcome.conduct not in ("half", "ended", "parts", "chunked", "whole"):
                contradictions.append(f"no answer: {outcome}")
        return contradictions

    def miscounted(self) -> str | None:
        """Return how the records differ from what clients got; None if they agree."""
        if len(self.records) != len(self.outcomes):
            return f"{len(self.outcomes)} requests, {len(self.records)} records"
        got = Counter(outcome.status for outcome in self.outcomes if outcome.status > 0)
        recorded = Counter(record.status for record in self.records)
        unseen = sum(outcome.status <= 0 for outcome in self.outcomes)
        surplus = sum((recorded - got).values())
        agree = not got - recorded and surplus <= unseen
        return None if agree else f"clients {got}, without an answer {unseen}, records {recorded}"


def _expected(outcome: Outcome) -> bytes:
    return b"" if outcome.method == "HEAD" else b"<%d>" % outcome.number


async def _body_of(head: bytes, reader: asyncio.StreamReader) -> bytes:
    """Return the body of an answer. Raises IncompleteReadError if it is cut off."""
    length = re.search(rb"content-length: ([0-9]+)", head)
    if length is not None:
        return await reader.readexactly(int(length[1]))
    body = b""
    if b"transfer-encoding: chunked" not in head:
        return await reader.read()
    while size := int(await reader.readuntil(b"\r\n"), 16):
        body += await reader.readexactly(size)
        await reader.readexactly(2)
    await reader.readexactly(2)
    return body


def config_of(port: int, edition: int) -> Config:
    """Return a configuration; another `edition` replaces the pool and the breaker."""
    timeouts = f"{{connect: 10s, response: {RESPONSE_TIMEOUT}s, idle: {RESPONSE_TIMEOUT}s}}"
    breaker = f"{{failures: 2, pause: {PAUSE}s}}"
    return parse(
        f"legacy: {{url: 'http://127.0.0.1:{port}', timeouts: {timeouts}, breaker: {breaker}, max_connections: 4,\n"
        f"  keep_alive: {300 + edition}s}}\nroutes: [{{name: all, match: '* /*'}}]\n",
        {},
    )


@asynccontextmanager
async def play(seed: int) -> AsyncIterator[Play]:
    """Serve a gateway in front of a faulty legacy."""
    chance = random.Random(seed)
    legacy = FaultyLegacy(chance)
    legacy.start()
    config = config_of(legacy.port, 0)
    backend, records = LegacyBackend(config), list[RequestRecord]()
    gateway = Gateway(RoutingSnapshot.of(config, backend.breaker, None), [records.append])
    async with serving(gateway) as port:
        try:
            yield Play(chance, legacy, backend, gateway, port, records=records)
        finally:
            backend.close()
            legacy.stop(resets=True)
            await until(lambda: not legacy.is_connected)

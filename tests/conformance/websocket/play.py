"""Play a case to a peer and record the observations of both ends.

A peer is a port: the real one's, or the gateway's.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Final, Literal

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.utils import accept_key

from proxy.websocket.frames import head_size, payload_size
from tests.conformance.websocket.case import Case, ServerCase, unmasked
from tests.conformance.websocket.echo import EchoServer
from tests.support.sockets import read_head, scripted
from tests.support.waiting import HANG_TIMEOUT
from tests.support.websocket_client import RawSocket, frame, handshake

Delivery = Literal["whole", "parts", "bytes"] | tuple[int, ...]
"""All at once, a part at a time, a byte at a time; or in pieces of these sizes, over and over."""
DELIVERIES: Final[tuple[Delivery, ...]] = ("whole", "parts", "bytes")
MAX_SINGLE_BYTES: Final = 2048
"""Bytes up to which a stream is sent byte by byte; a longer one goes in pieces of a prime size."""
PIECE: Final = 4099
TIMEOUT: Final = HANG_TIMEOUT
"""Seconds for one play, and for a standard client's handshakes."""
COMPARED_HEADERS: Final = (b"sec-websocket-", b"upgrade", b"content-")

_numbers = itertools.count()


@dataclass(frozen=True, slots=True)
class Observation:
    """The observations of both ends: the answer's head, the bytes after it, and the other end's record."""

    head: tuple[bytes, ...]
    received: tuple[Any, ...]
    ending: str
    peer: Any

    def without_order(self) -> Observation:
        """Return what the client observes if pongs and messages are not compared in their order to each other."""
        control = [each for each in self.received if each[0] & 0x0F in (9, 10)]
        return Observation(
            self.head, (control, [each for each in self.received if each not in control]), self.ending, None
        )


def digest(data: bytes) -> str:
    """Return short data itself, long data's SHA-256, in hex."""
    return data.hex() if len(data) <= 64 else hashlib.sha256(data).hexdigest()


def deliver(parts: Sequence[bytes], delivery: Delivery) -> Iterator[bytes]:
    """Yield what is written at a time."""
    stream = b"".join(parts)
    if delivery == "whole":
        yield stream
    elif delivery == "parts":
        yield from parts
    elif delivery == "bytes":
        yield from _pieces(stream, (1 if len(stream) <= MAX_SINGLE_BYTES else PIECE,))
    else:
        yield from _pieces(stream, delivery)


def _pieces(stream: bytes, sizes: Iterable[int]) -> Iterator[bytes]:
    position = 0
    for size in itertools.cycle(sizes):
        if position >= len(stream):
            return
        yield stream[position : position + size]
        position += size


class _Collector(asyncio.Protocol):
    """A connection that retains the received bytes, and its end: `eof` or `reset`."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._changed = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        self.data += data
        self._changed.set()

    def eof_received(self) -> bool:
        self._end("eof")
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._end("eof" if exc is None else "reset")

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def _end(self, how: str) -> None:
        if not self.ended.done():
            self.ended.set_result(how)
        self._changed.set()
        self._writable.set()

    async def drain(self) -> None:
        """Wait until what was written is taken, or will never be."""
        await self._writable.wait()

    async def until(self, pattern: bytes) -> int:
        """Wait for a pattern, or the end; return the position after it, or that of the end."""
        while (at := self.data.find(pattern)) < 0 and not self.ended.done():
            self._changed.clear()
            await self._changed.wait()
        return at + len(pattern) if at >= 0 else len(self.data)


async def play(case: Case, port: int, echo: EchoServer | None, delivery: Delivery) -> Observation:
    """Play a client's case to the echo server: at its own port, or through a gateway at `port`.

    `echo` is asked for its account of the connection; None for a server that keeps none.
    """
    target = f"{case.server}?n={next(_numbers)}"
    loop = asyncio.get_running_loop()
    transport, collector = await loop.create_connection(_Collector, "127.0.0.1", port)
    try:
        async with asyncio.timeout(TIMEOUT):
            head, ending = await _converse(case, target, transport, collector, delivery)
            transport.abort() if case.end == "reset" else transport.close()
            accepted = head.startswith(b"HTTP/1.1 101")
            peer = await echo.account(target) if accepted and echo is not None else None
    except TimeoutError:
        return Observation((), (bytes(collector.data),), "timeout", None)
    finally:
        transport.abort()
    return Observation(_compared(head), tuple(_read_frames(bytes(collector.data)[len(head) :])), ending, peer)


async def _converse(
    case: Case, target: str, transport: asyncio.Transport, collector: _Collector, delivery: Delivery
) -> tuple[bytes, str]:
    request = handshake(target, *case.headers)
    if case.replaced[0]:
        request = request.replace(*case.replaced)
    if case.early:
        transport.write(request + b"".join(case.stream))
    else:
        transport.write(request)
    head = bytes(collector.data[: await collector.until(b"\r\n\r\n")])
    if head.startswith(b"HTTP/1.1 101"):
        if not case.early:
            await _send(case, transport, collector, delivery)
        if case.end == "half":
            transport.write_eof()
        elif case.end == "reset":
            if case.sent and case.sent[0] == frame(1, b"hello"):
                await collector.until(unmasked(1, b"hello"))
            return head, "reset"
    return head, await collector.ended


async def _send(case: Case, transport: asyncio.Transport, collector: _Collector, delivery: Delivery) -> None:
    for data in deliver(case.stream, delivery):
        if collector.ended.done():
            return
        transport.write(data)
        await collector.drain()
        await asyncio.sleep(0)


def _read_frames(data: bytes) -> Iterator[tuple[int, int, str]]:
    """Yield a server's frames: first byte, length, payload; what is left over has the first byte -1."""
    while len(data) >= 2 and len(data) >= (size := head_size(data[1])) + payload_size(data[:size]):
        length = payload_size(data[:size])
        yield data[0], length, digest(data[size : size + length])
        data = data[size + length :]
    if data:
        yield -1, len(data), digest(data)


def _compared(head: bytes) -> tuple[bytes, ...]:
    """Return the status line and those headers that two answers are compared by."""
    status, *lines = head.lower().removesuffix(b"\r\n\r\n").split(b"\r\n")
    return (status, *sorted(line for line in lines if line.startswith(COMPARED_HEADERS)))


class OddServer:
    """A server that plays a `ServerCase` to one client, through a gateway or not, and retains the received bytes."""

    def __init__(self, case: ServerCase, delivery: Delivery) -> None:
        self._case, self._delivery = case, delivery
        self.frames: list[tuple[int, str]] = []
        self.ended = asyncio.Event()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Play the case, as a script of `tests.support.sockets.scripted`."""
        try:
            await self._play(reader, writer)
        finally:
            self.ended.set()

    async def _play(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(self._accept(await read_head(reader)))
        collecting = asyncio.ensure_future(self._collect(RawSocket(reader, writer, b"")))
        for data in deliver(self._case.stream, self._delivery):
            writer.write(data)
            await writer.drain()
            await asyncio.sleep(0)
        if self._case.end == "half":
            writer.write_eof()
        elif self._case.end == "reset":
            writer.transport.abort()
        await collecting

    def _accept(self, head: bytes) -> bytes:
        lines = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:-2])
        key = next(value for name, value in lines.items() if name.lower() == b"sec-websocket-key")
        extensions = self._case.extensions
        return (
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
            + accept_key(key.decode()).encode()
            + (f"\r\nSec-WebSocket-Extensions: {extensions}".encode() if extensions else b"")
            + b"\r\n\r\n"
        )

    async def _collect(self, client: RawSocket) -> None:
        try:
            opcode = 0
            while opcode != 8:  # then it is for the server to close
                opcode, data = await client.read_frame()
                self.frames.append((opcode, digest(data)))
        except (asyncio.IncompleteReadError, ConnectionError):
            return


async def play_server(case: ServerCase, gateway: Any, delivery: Delivery) -> Observation:
    """Play a server's case to a standard client.

    `gateway` is a context manager from the server's port to another, or None for a direct connection.
    """
    server = OddServer(case, delivery)
    async with scripted(server) as port, (gateway or nullcontext)(port) as reached:
        try:
            async with asyncio.timeout(TIMEOUT):
                received, ending, closed = await _listen(reached)
                await server.ended.wait()
        except TimeoutError:
            return Observation((), (), "timeout", tuple(server.frames))
    return Observation((), tuple(received), ending, (closed, tuple(server.frames)))


async def _listen(port: int) -> tuple[list[Any], str, Any]:
    """Return a standard client's messages, the exception at the end, and the close frames that it saw and sent."""
    received: list[Any] = []
    try:
        client = await connect(
            f"ws://127.0.0.1:{port}/",
            proxy=None,
            max_size=None,
            ping_interval=None,
            open_timeout=TIMEOUT,
            close_timeout=TIMEOUT,
        )
    except InvalidHandshake as error:
        return received, type(error).__name__, None
    try:
        while True:
            message = await client.recv()
            data = message.encode() if isinstance(message, str) else message
            received.append((type(message).__name__, len(data), digest(data)))
    except ConnectionClosed as error:
        await client.wait_closed()
        frames = [(each.code, each.reason) if each is not None else None for each in (error.rcvd, error.sent)]
        return received, type(error).__name__, frames

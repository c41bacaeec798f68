"""A scripted upstream: records every byte it receives, and plays answers in pieces."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Final, cast

import httptools

from tests.conformance.oracle import Read

TOKEN: Final = re.compile(rb"id[0-9]{7}")
POISON: Final = b"HTTP/1.1 200 OK\r\nX-Poison: %b\r\nContent-Length: 6\r\n\r\npoison"
"""An answer that nobody asked for; a client that reads it has been given another's answer."""


@dataclass(frozen=True, slots=True)
class Script:
    """The answer to a token's first request: written in `pieces`, then closed if `closes`."""

    pieces: tuple[bytes, ...]
    closes: bool
    early: bool = False


@dataclass(slots=True)
class Recording:
    """The bytes of one upstream connection, and the requests that llhttp reads in them.

    A new segment begins with the first read after a request's end.
    """

    segments: list[bytes] = field(default_factory=list)
    ended: bool = True
    requests: list[Read] = field(default_factory=list)

    def add(self, data: bytes) -> None:
        """Record what one read gave."""
        if self.ended:
            self.segments.append(data)
        else:
            self.segments[-1] += data
        self.ended = False


class RecordingUpstream:
    """Serves connections; `scripts` maps tokens to answers, and requests of other tokens are echoed."""

    def __init__(self) -> None:
        self.recordings: list[Recording] = []
        self.scripts: dict[bytes, Script] = {}
        self.port = 0
        self.tasks: set[asyncio.Task[None]] = set()
        self.open: set[asyncio.Transport] = set()

    def connect(self) -> _Connection:
        recording = Recording()
        self.recordings.append(recording)
        return _Connection(self, recording)


@asynccontextmanager
async def recording_upstream() -> AsyncIterator[RecordingUpstream]:
    """Run an upstream on a free port."""
    upstream = RecordingUpstream()
    server = await asyncio.get_running_loop().create_server(upstream.connect, "127.0.0.1", 0)
    upstream.port = server.sockets[0].getsockname()[1]
    try:
        yield upstream
    finally:
        server.close()
        for task in list(upstream.tasks):
            task.cancel()
        for transport in list(upstream.open):
            transport.abort()
        await asyncio.gather(*upstream.tasks, return_exceptions=True)
        await asyncio.sleep(0)


async def write_pieces(transport: asyncio.Transport, pieces: tuple[bytes, ...] | list[bytes], pause: float) -> None:
    """Write each piece, and let the reader see it before the next: `pause` is for readers in another process."""
    for index, piece in enumerate(pieces):
        if index:
            await asyncio.sleep(pause)
            await asyncio.sleep(pause)
        if transport.is_closing():
            return
        transport.write(piece)


class _Connection(asyncio.Protocol):
    """One upstream connection, read by llhttp as Node reads it."""

    def __init__(self, upstream: RecordingUpstream, recording: Recording) -> None:
        self._upstream, self._recording = upstream, recording
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport
        self._target = b""
        self._head = b""
        self._playing = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._upstream.open.add(self._transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._upstream.open.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        self._recording.add(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._transport.write(b"HTTP/1.1 400 Bad Request\r\nX-Upstream-Fault: 1\r\nConnection: close\r\n\r\n")
            self._transport.close()

    # -- httptools

    def on_message_begin(self) -> None:
        self._target, self._head, self._playing = b"", b"", False

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head += name.lower() + b": " + value + b"\r\n"

    def on_headers_complete(self) -> None:
        lines = tuple(self._head.split(b"\r\n")[:-1])
        self._recording.requests.append(Read(self._parser.get_method(), self._target, lines, b"", (), False))
        if b"expect: 100-continue\r\n" in self._head.lower():
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        script = self._upstream.scripts.get(self._token())
        if script is not None and script.early and b"innocent" not in self._target:
            self._play(script)

    def on_body(self, body: bytes) -> None:
        request = self._recording.requests[-1]
        self._recording.requests[-1] = replace(request, body=request.body + body)

    def on_message_complete(self) -> None:
        self._recording.ended = True
        self._recording.requests[-1] = replace(self._recording.requests[-1], complete=True)
        if self._playing:
            return
        script = self._upstream.scripts.get(self._token())
        if script is not None and b"innocent" not in self._target:
            self._play(script)
        else:
            self._echo()

    def _token(self) -> bytes:
        match = TOKEN.search(self._target) or TOKEN.search(self._head)
        return match[0] if match is not None else b""

    def _play(self, script: Script) -> None:
        self._playing = True
        task = asyncio.get_running_loop().create_task(self._write(script))
        self._upstream.tasks.add(task)
        task.add_done_callback(self._upstream.tasks.discard)

    async def _write(self, script: Script) -> None:
        await write_pieces(self._transport, script.pieces, 0)
        if script.closes:
            await asyncio.sleep(0)
            self._transport.close()

    def _echo(self) -> None:
        method = self._parser.get_method()
        body = b"%b %b %b" % (method, self._target, self._token())
        length = b"Content-Length: %d" % len(body)
        head = b"HTTP/1.1 200 OK\r\nX-Echo: %b\r\n%b\r\n\r\n" % (self._token(), length)
        self._transport.write(head if method == b"HEAD" else head + body)

"""A relay to MongoDB that a test can cut and restore."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import warnings
from collections.abc import Coroutine
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from demo.ports import free_port


def collect_abandoned_sockets() -> None:
    """Collect the socket that PyMongo's client for asyncio was connecting when it was closed, without a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


class Relay:
    """A relay to the MongoDB of a URL; it is cut until `mend` is called."""

    def __init__(self, target: str) -> None:
        address = urlsplit(target)
        self._target = (address.hostname, address.port)
        self.port = free_port()
        self.url = f"mongodb://127.0.0.1:{self.port}/?directConnection=true"
        self._server: asyncio.Server | None = None
        self._hangs = False
        self._open: set[asyncio.StreamWriter] = set()
        self._passing: set[asyncio.Task[None]] = set()

    async def mend(self) -> None:
        """Make MongoDB reachable."""
        self._hangs = False
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)

    async def cut(self) -> None:
        """Make MongoDB unreachable and close open connections."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in self._open:
            writer.transport.abort()
        await self._stop_passing()

    async def _stop_passing(self) -> None:
        for task in self._passing:
            task.cancel()
        await asyncio.gather(*self._passing, return_exceptions=True)

    async def hang(self) -> None:
        """Stop relaying bytes: connections stay open and new ones are accepted."""
        self._hangs = True
        await self._stop_passing()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.cut()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._server is None:
            writer.transport.abort()
            return
        self._open.add(writer)
        if not self._hangs:
            self._start(self._connect(reader, writer), writer)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection(*self._target)
        self._open.add(server_writer)
        self._start(self._pass(reader, server_writer), server_writer)
        await self._pass(server_reader, writer)

    def _start(self, passing: Coroutine[None, None, None], end: asyncio.StreamWriter) -> None:
        """Run a task that writes to `end`, which closes with it unless all is to hang."""
        task = asyncio.get_running_loop().create_task(passing)
        self._passing.add(task)
        task.add_done_callback(self._passing.discard)
        task.add_done_callback(lambda _: None if self._hangs else end.close())

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()

"""A relay of real bytes to MongoDB on a fixed port, which a test can cut, stall and restore."""

from __future__ import annotations

import asyncio
import contextlib

from pymongo.uri_parser import parse_uri

from demo.ports import free_port


class Line:
    """Carries bytes to the MongoDB of a URL and back.

    `snap_at` cuts it just before a client's bytes of a certain kind. `stall_at` stops it there until `flow`; the bytes
    sent in between arrive then, even if their sender has disconnected.
    """

    def __init__(self, url: str) -> None:
        self.port = free_port()
        self.snap_at: bytes | None = None
        self.stall_at: bytes | None = None
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._host, self._target = parse_uri(url)["nodelist"][0]
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._carrying: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"mongodb://127.0.0.1:{self.port}/?directConnection=true"

    async def mend(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)

    async def cut(self) -> None:
        self._snap()
        await asyncio.sleep(0.05)

    def flow(self) -> None:
        self._flowing.set()

    def _snap(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in self._writers:
            writer.transport.abort()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry the bytes of a connection, which is closed with its task; one that comes after a cut is closed."""
        if self._server is None:
            writer.transport.abort()
            return
        self._writers.add(writer)
        task = asyncio.get_running_loop().create_task(self._carry(reader, writer))
        self._carrying.add(task)
        task.add_done_callback(self._carrying.discard)
        task.add_done_callback(lambda _: self._close(writer))

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(self._host, self._target)
        self._writers.add(back)
        try:
            with contextlib.suppress(ConnectionError):
                await asyncio.gather(self._send(reader, back), _pump(there, writer))
        finally:
            self._close(back)

    def _close(self, end: asyncio.StreamWriter) -> None:
        end.close()
        self._writers.discard(end)

    async def _send(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            if self.snap_at is not None and self.snap_at in data:
                self.snap_at = None
                self._snap()
                return
            if self.stall_at is not None and self.stall_at in data:
                self.stall_at = None
                self._flowing.clear()
            await self._flowing.wait()
            writer.write(data)
        writer.close()


def command(name: str, collection: str) -> bytes:
    """Return the first bytes of a command on a collection in BSON."""
    return b"\x02%b\0%b%b\0" % (name.encode(), (len(collection) + 1).to_bytes(4, "little"), collection.encode())


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
    writer.close()

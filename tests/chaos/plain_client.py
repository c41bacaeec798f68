"""A client that needs little CPU: GET requests on reused connections."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

TIMEOUT: Final = 20.0
"""Seconds for one request."""

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class PlainClient:
    """Requests from the address `local`, without a limit on connections, so that none waits for another."""

    def __init__(self, url: str, local: str) -> None:
        parts = urlsplit(url)
        self._host, self._port, self._local = parts.hostname or "", parts.port, local
        self._idle: list[Stream] = []

    async def get(self, path: str, headers: Mapping[str, str]) -> tuple[int, bytes]:
        """Return status and body. Raises OSError (`TimeoutError` among them) or EOFError."""
        lines = "".join(f"{name}: {value}\r\n" for name, value in {"host": self._host, **headers}.items())
        request = f"GET {path} HTTP/1.1\r\n{lines}\r\n".encode()
        async with asyncio.timeout(TIMEOUT):
            while self._idle:
                try:
                    return await self._exchange(self._idle.pop(), request)
                except (EOFError, ConnectionError):
                    continue  # closed while it was idle
            stream = await asyncio.open_connection(self._host, self._port, local_addr=(self._local, 0))
            return await self._exchange(stream, request)

    def close(self) -> None:
        """Close the connections that are reused."""
        for _, writer in self._idle:
            writer.transport.abort()
        self._idle.clear()

    async def _exchange(self, stream: Stream, request: bytes) -> tuple[int, bytes]:
        reader, writer = stream
        try:
            writer.write(request)
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            body = await _read_body(reader, head)
        except BaseException:
            writer.transport.abort()
            raise
        if b"connection: close" in head:
            writer.close()
        else:
            self._idle.append(stream)
        return int(head[9:12]), body


async def _read_body(reader: asyncio.StreamReader, head: bytes) -> bytes:
    if b"transfer-encoding: chunked" not in head:
        length = head.partition(b"content-length:")[2].partition(b"\r\n")[0]
        return await reader.readexactly(int(length or 0))
    body = b""
    while size := int(await reader.readline(), 16):
        body += await reader.readexactly(size + 2)
    await reader.readline()
    return body

"""Writes of one turn of the event loop, sent together.

uvicorn writes an answer's head and its body apart, and uvloop passes each write to the kernel at once. A system call is
the dearest thing that the gateway does, so the first write of a turn waits for a second, at most until the turn ends.
"""

from __future__ import annotations

import asyncio
from typing import Any


class GatheringTransport:
    """Stands before a transport; what it does not know, the transport itself answers."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport, self._loop = transport, loop
        self._held: bytes | None = None

    def write(self, data: bytes) -> None:
        if self._held is None:
            self._held = data
            self._loop.call_soon(self.flush)
        else:
            held, self._held = self._held, b""
            self._transport.write(held + data)

    def flush(self) -> None:
        """Send what waits; the next write begins a new turn."""
        held, self._held = self._held, None
        if held:
            self._transport.write(held)

    def close(self) -> None:
        self.flush()
        self._transport.close()

    def write_eof(self) -> None:
        self.flush()
        self._transport.write_eof()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

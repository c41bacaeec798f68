"""The sending direction of a client connection: back-pressure, slow readers, and its end."""

from __future__ import annotations

import asyncio

from proxy.server.connection_reset import reset
from proxy.server.linger import LingeringClose
from proxy.server.slow_reader import SlowReaderWatch
from proxy.server.timeouts import ClientTimeouts


class ClientOutput:
    """Writes to one client, and closes the connection so that the client can read what was written.

    `is_paused`: the client has to receive written bytes first. `paused_at`: the loop's time of the last pause.
    """

    __slots__ = ("_lingering", "_loop", "_reader", "_transport", "_writable", "is_paused", "paused_at")

    def __init__(self, loop: asyncio.AbstractEventLoop, transport: asyncio.Transport, timeouts: ClientTimeouts) -> None:
        self._loop, self._transport = loop, transport
        self._reader = SlowReaderWatch(loop, transport, timeouts)
        self._lingering: LingeringClose | None = None
        self._writable: asyncio.Event | None = None
        self.is_paused = False
        self.paused_at = 0.0

    def write(self, data: bytes) -> None:
        """Write to a client whose connection is open."""
        if not self._transport.is_closing():
            self._reader.written += len(data)
            self._transport.write(data)

    async def drain(self) -> None:
        """Wait until the client has received enough of the written bytes."""
        if self._writable is not None:
            await self._writable.wait()

    def pause(self) -> None:
        """Let `drain` wait."""
        self.is_paused = True
        self.paused_at = self._loop.time()
        self._reader.begin()
        if self._writable is None:
            self._writable = asyncio.Event()
        self._writable.clear()

    def resume(self) -> None:
        """End a pause."""
        self.is_paused = False
        if self._writable is not None:
            self._writable.set()

    def close(self) -> None:
        """Close the connection once everything is written."""
        self._reader.begin()
        self._transport.close()

    def reset(self) -> None:
        """Close the connection at once, so that the client notices that its answer is incomplete."""
        reset(self._transport)

    def linger(self, *, at_exit: bool) -> None:
        """Close this direction once everything is written, and the connection once the client has closed its own.

        `at_exit`: the process is stopping.
        """
        if self._transport.can_write_eof():
            self._reader.begin()
            self._lingering = LingeringClose(self._loop, self._transport, at_exit=at_exit)
        else:
            self.close()

    def input_received(self) -> None:
        """Continue to linger for a client that still sends."""
        if self._lingering is not None:
            self._lingering.bytes_received()

    def shutdown(self) -> None:
        """Linger less, because the process is stopping."""
        if self._lingering is not None:
            self._lingering.shutdown()

    def stop(self) -> None:
        """Stop the timers of a connection that is closed or handed over."""
        self._reader.stop()
        if self._lingering is not None:
            self._lingering.cancel()

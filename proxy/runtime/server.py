"""uvicorn's server without its polling, and with care for connections that wait at a listener."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import socket
import sys
from types import FrameType
from typing import Any, Final, cast

import uvicorn
from uvicorn.config import STARTUP_FAILURE

from proxy.observability.log_writer import flush_logs
from proxy.periodic import until_tick

logger = logging.getLogger("scribe_proxy")

CHECK_INTERVAL: Final = 1.0
"""Seconds between checks of `should_exit`, for callers that set it without a signal."""
MAX_WAITING: Final = 4096
"""Maximum connections that a stopping server accepts from each listener: what Linux lets wait there."""


class GatewayServer(uvicorn.Server):
    """A server whose main loop a signal wakes for shutdown, and which answers connections that wait to be accepted."""

    _loop: asyncio.AbstractEventLoop | None = None
    _signalled: asyncio.Event

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to listen. Exits if another process has begun to listen on a port since it was bound.

        uvloop reports no error of `listen`.
        """
        addresses = [listener.getsockname()[:2] for listener in sockets or ()]
        await super().startup(sockets)
        for listener, address in zip(sockets or (), addresses, strict=True):
            if self.started and not _listens(listener):
                logger.error("cannot listen on %s:%s: %s", *address, os.strerror(errno.EADDRINUSE))
                await self.lifespan.shutdown()
                flush_logs()
                sys.exit(STARTUP_FAILURE)

    async def main_loop(self) -> None:
        """Wait for shutdown, without the work that uvicorn does ten times a second (headers, limits)."""
        self._signalled = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        while not self.should_exit:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(until_tick(CHECK_INTERVAL)):
                    await self._signalled.wait()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin the shutdown after a signal."""
        super().handle_exit(sig, frame)
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._signalled.set)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop to listen, serve the connections that clients have opened before, and end.

        The kernel resets connections that wait at a listener when it is closed. The event loop accepts one in each
        pass, so that many wait at a busy server.
        """
        waiting = [connection for listener in sockets or () for connection in _accept_waiting(listener)]
        for server in self.servers:
            server.close()
        for listener in sockets or ():
            listener.close()
        connect = asyncio.get_running_loop().connect_accepted_socket
        opening = [connect(self._create_protocol, connection) for connection in waiting]
        await asyncio.gather(*opening, return_exceptions=True)  # a client may have disconnected
        await asyncio.sleep(0)  # connections that the event loop has accepted get their protocols
        await super().shutdown(sockets)

    def _create_protocol(self) -> asyncio.Protocol:
        create = cast("Any", self.config.http_protocol_class)
        protocol: asyncio.Protocol = create(
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return protocol


def _listens(listener: socket.socket) -> bool:
    """Return True if a socket accepts connections; uvloop closes it if it cannot."""
    return listener.fileno() >= 0 and bool(listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))


def _accept_waiting(listener: socket.socket) -> list[socket.socket]:
    """Accept the connections that wait at a listener, without waiting for others."""
    accepted: list[socket.socket] = []
    with contextlib.suppress(OSError):  # none is left, or no file descriptor for one
        listener.setblocking(False)
        while len(accepted) < MAX_WAITING:
            accepted.append(listener.accept()[0])
    return accepted

"""A relay to MongoDB that stops chosen commands until they are released.

It runs in threads of its own: a driver that ends its sessions blocks the event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable
from concurrent.futures import Future
from socketserver import BaseRequestHandler, ThreadingTCPServer
from threading import Event, Thread
from types import TracebackType
from typing import Any, Final, NamedTuple, Self
from urllib.parse import urlsplit

import bson

_HEADER: Final = struct.Struct("<iiii")
_MESSAGE: Final = 2013
"""The operation code of `OP_MSG`, whose first section is the command."""
_COMMAND: Final = _HEADER.size + 5
"""The position of the command: behind the header, the flags and the kind of the section."""


class Command(NamedTuple):
    """A command of a driver, as `insert`, and its database."""

    name: str
    database: str


class CommandGate:
    """A relay to the MongoDB of a URL that can stop one command at a time; all other commands pass."""

    def __init__(self, target: str) -> None:
        address = urlsplit(target)
        assert address.hostname is not None
        assert address.port is not None
        self._target = (address.hostname, address.port)
        self._stops: Callable[[Command], bool] | None = None
        self._reached: Future[Event] = Future()
        self._server = ThreadingTCPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"mongodb://127.0.0.1:{self._server.server_address[1]}/?directConnection=true"

    def __enter__(self) -> Self:
        Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def stop(self, matches: Callable[[Command], bool]) -> asyncio.Future[Event]:
        """Stop the next command that matches, until the event of the result is set."""
        self._reached = Future()
        self._stops = matches
        return asyncio.wrap_future(self._reached)

    def pass_all(self) -> None:
        """Stop no further command."""
        self._stops = None

    def _handler(self) -> type[BaseRequestHandler]:
        relay = self._relay

        class Connection(BaseRequestHandler):
            """A connection of a driver."""

            def handle(self) -> None:
                """Relay until either end closes."""
                relay(self.request)

        return Connection

    def _relay(self, client: socket.socket) -> None:
        with socket.create_connection(self._target) as server:
            replies = Thread(target=_copy, args=(server, client), daemon=True)
            replies.start()
            with contextlib.suppress(OSError):
                self._send_commands(client, server)
                server.shutdown(socket.SHUT_RDWR)
            replies.join()

    def _send_commands(self, client: socket.socket, server: socket.socket) -> None:
        """Relay messages until the client ends, which it may do while its command is stopped."""
        with client.makefile("rb") as incoming:
            while header := incoming.read(_HEADER.size):
                length, _, _, kind = _HEADER.unpack(header)
                message = header + incoming.read(length - _HEADER.size)
                if kind == _MESSAGE and self._stops is not None and self._await_release(_command_of(message)):
                    client.setblocking(False)
                    with contextlib.suppress(BlockingIOError):
                        if not client.recv(1, socket.MSG_PEEK):
                            return
                    client.setblocking(True)
                server.sendall(message)

    def _await_release(self, command: Command) -> bool:
        """Return True after the release of a command that was to be stopped."""
        stops = self._stops
        if stops is None or not stops(command):
            return False
        self._stops = None
        released = Event()
        self._reached.set_result(released)
        return released.wait()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_RDWR)


def _command_of(message: bytes) -> Command:
    (length,) = struct.unpack_from("<i", message, _COMMAND)
    fields: dict[str, Any] = bson.decode(message[_COMMAND : _COMMAND + length])
    return Command(next(iter(fields)), str(fields.get("$db")))

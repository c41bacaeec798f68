"""A relay to MongoDB that a test can cut, hang and restore, at any time or at a command, and that can stop a command.

It runs on an event loop in a thread of its own: a driver that connects or ends its sessions may block the test's loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import struct
import warnings
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from threading import Thread
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

import bson
from pymongo.uri_parser import parse_uri

from demo.ports import free_port

_HEADER: Final = struct.Struct("<iiii")
_MESSAGE: Final = 2013
"""The operation code of `OP_MSG`, whose first section is the command."""
_COMMAND: Final = _HEADER.size + 5
"""The position of the command: behind the header, the flags and the kind of the section."""


class Command(NamedTuple):
    """A command of a driver, as `insert`, the value of its first field, as a collection's name, and its database."""

    name: str
    target: object
    database: str


Condition = Callable[[Command], bool]


def command(name: str, collection: str) -> Condition:
    """Return a condition: a command of this name on this collection."""
    return lambda sent: (sent.name, sent.target) == (name, collection)


def collect_abandoned_sockets() -> None:
    """Collect the socket that PyMongo's client for asyncio was connecting when it was closed, without a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


class StoppedCommand:
    """A command that has reached the relay and waits there."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._released = asyncio.Event()

    def release(self) -> None:
        """Send the command, unless its client has closed the connection."""
        self._loop.call_soon_threadsafe(self._released.set)

    async def wait(self) -> None:
        """Wait for the release."""
        await self._released.wait()


class _Trigger(NamedTuple):
    """An action before the next command that meets a condition."""

    condition: Condition
    act: Callable[[], Coroutine[Any, Any, bool]]
    """Return True if a command whose client has closed the connection is not sent."""


class Relay:
    """A relay to the MongoDB of a URL; it is cut until `mend` is called. Use it as a context manager."""

    def __init__(self, target: str) -> None:
        self._target: tuple[str, int | None] = parse_uri(target)["nodelist"][0]
        self.port = free_port()
        self.url = f"mongodb://127.0.0.1:{self.port}/?directConnection=true"
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._run_loop, name="MongoDB relay", daemon=True)
        self._server: asyncio.Server | None = None
        self._flows = asyncio.Event()
        self._trigger: _Trigger | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._passing: set[asyncio.Task[None]] = set()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cut()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def mend(self) -> None:
        """Make MongoDB reachable. Send what has waited since `hang` or `hang_at`, also of clients that have gone."""
        self._run(self._mend())

    def cut(self) -> None:
        """Make MongoDB unreachable and close open connections."""
        self._run(self._cut())

    def hang(self) -> None:
        """Stop relaying bytes: connections stay open and new ones are accepted."""
        self._run(self._hang())

    def cut_at(self, condition: Condition) -> None:
        """Cut before the next command that meets the condition."""
        self._run(self._set_trigger(condition, self._cut))

    def hang_at(self, condition: Condition) -> None:
        """Hang before the next command that meets the condition."""
        self._run(self._set_trigger(condition, self._hang))

    def stop(self, condition: Condition) -> asyncio.Future[StoppedCommand]:
        """Stop the next command that meets the condition, until its release; all other commands pass."""
        reached: Future[StoppedCommand] = Future()

        async def hold() -> bool:
            stopped = StoppedCommand()
            reached.set_result(stopped)
            await stopped.wait()
            return True

        self._run(self._set_trigger(condition, hold))
        return asyncio.wrap_future(reached)

    @property
    def is_armed(self) -> bool:
        """True until a command has met the condition of `cut_at` or `hang_at`."""
        return self._trigger is not None

    async def pass_all(self) -> None:
        """Let each further command pass. The result of `stop` is done by then if it has stopped a command."""
        self._run(self._set_trigger(None))
        await asyncio.sleep(0)

    def _run(self, coroutine: Coroutine[Any, Any, object]) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def _run_loop(self) -> None:
        try:
            self._loop.run_forever()
        finally:
            self._loop.close()

    async def _mend(self) -> None:
        self._flows.set()
        if self._server is None:
            self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)

    async def _hang(self) -> bool:
        self._flows.clear()
        return False

    async def _cut(self) -> bool:
        """Close everything; a task that calls this for its own command ends at its next step."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in self._open:
            writer.transport.abort()
        others = self._passing - {asyncio.current_task()}
        for task in self._passing:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        return False

    async def _set_trigger(
        self, condition: Condition | None, act: Callable[[], Coroutine[Any, Any, bool]] | None = None
    ) -> None:
        self._trigger = _Trigger(condition, act) if condition and act else None

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Relay a connection, which closes with its task; one that comes after a cut is closed."""
        if self._server is None:
            writer.transport.abort()
            return
        self._start(self._connect(reader, writer), writer)

    def _start(self, passing: Coroutine[None, None, None], end: asyncio.StreamWriter) -> None:
        """Run a task that writes to `end`, which closes with it."""

        def finish(task: asyncio.Task[None]) -> None:
            self._passing.discard(task)
            self._open.discard(end)
            end.close()

        self._open.add(end)
        task = self._loop.create_task(passing)
        self._passing.add(task)
        task.add_done_callback(finish)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._flows.wait()
        with contextlib.suppress(OSError):
            server_reader, server_writer = await asyncio.open_connection(*self._target)
            self._start(self._pass_commands(reader, server_writer), server_writer)
            while data := await server_reader.read(65536):
                await self._flows.wait()
                writer.write(data)
                await writer.drain()

    async def _pass_commands(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                header = await reader.readexactly(_HEADER.size)
                length, _, _, kind = _HEADER.unpack(header)
                message = header + await reader.readexactly(length - _HEADER.size)
                if kind == _MESSAGE and await self._pull_trigger(_command_of(message)) and reader.at_eof():
                    return
                await self._flows.wait()
                writer.write(message)
                await writer.drain()

    async def _pull_trigger(self, sent: Command) -> bool:
        trigger = self._trigger
        if trigger is None or not trigger.condition(sent):
            return False
        self._trigger = None
        return await trigger.act()


def _command_of(message: bytes) -> Command:
    (length,) = struct.unpack_from("<i", message, _COMMAND)
    fields: dict[str, Any] = bson.decode(message[_COMMAND : _COMMAND + length])
    name, target = next(iter(fields.items()))
    return Command(name, target, str(fields.get("$db")))

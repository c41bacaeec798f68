"""Real sockets for tests: an ASGI app behind the gateway's own listener, a scripted legacy, a client of raw bytes."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, asynccontextmanager, contextmanager, nullcontext
from typing import Any, Final, Literal

import uvicorn
from starlette.types import ASGIApp

from proxy.server.settings import uvicorn_settings
from tests.support.event_loop import PASSES
from tests.support.waiting import HANG_TIMEOUT

POLL: Final = 0.01
"""Seconds between two checks of a server that stops."""
GRACE: Final = 0.1
"""Seconds that uvicorn waits when it stops before it looks for connections and tasks that are left."""

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def has_ipv6() -> bool:
    """Return whether this machine has IPv6's loopback address: `socket.has_ipv6` only says how Python was built."""
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


class OwnLoopServer(uvicorn.Server):
    """uvicorn's server on the test's event loop, without signal handlers, which stops without a fixed delay."""

    _must_stop = False
    _waiting: tuple[asyncio.AbstractEventLoop, asyncio.Event] | None = None

    @property
    def should_exit(self) -> bool:
        """True from the order to stop on, which any thread may give."""
        return self._must_stop

    @should_exit.setter
    def should_exit(self, value: bool) -> None:
        self._must_stop = value
        if value and self._waiting is not None:
            loop, ordered = self._waiting
            with contextlib.suppress(RuntimeError):  # the loop is closed: the server has stopped
                loop.call_soon_threadsafe(ordered.set)

    def capture_signals(self) -> AbstractContextManager[None]:  # type: ignore[override]
        return nullcontext()

    async def main_loop(self) -> None:
        """Wait for the order to stop: uvicorn looks for it ten times a second, in every idle server of a test."""
        self._waiting = asyncio.get_running_loop(), asyncio.Event()
        await self.on_tick(0)
        if not self.should_exit:
            await self._waiting[1].wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop as uvicorn does, but wait `GRACE` seconds at most for connections and tasks, and not always.

        Connections that are still open are aborted: a process would close them at its end, the event loop does not.
        """
        for listener in (*self.servers, *(sockets or ())):
            listener.close()
        state = self.server_state
        for connection in list(state.connections):
            connection.shutdown()
        polls = 0
        while (state.connections or state.tasks) and polls * POLL < GRACE:
            polls += 1
            await asyncio.sleep(POLL)
        for _ in range(PASSES):
            await asyncio.sleep(0)
        try:
            async with asyncio.timeout(self.config.timeout_graceful_shutdown):
                await self._wait_tasks_to_complete()
        except TimeoutError:
            for task in state.tasks:
                task.cancel(msg="Task cancelled, timeout graceful shutdown exceeded")
        if not self.force_exit:
            await self.lifespan.shutdown()
        for connection in list(state.connections):
            (getattr(connection, "_transport", None) or connection.transport).abort()


@asynccontextmanager
async def serving(app: ASGIApp, **settings: object) -> AsyncIterator[int]:
    """Serve an app behind uvicorn as the gateway runs it; yield the port."""
    arguments: dict[str, object] = {"lifespan": "off", "log_config": None, **uvicorn_settings()}
    config = uvicorn.Config(app, host="127.0.0.1", port=0, **{**arguments, **settings})  # type: ignore[arg-type]
    server = OwnLoopServer(config)
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.005)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = server.force_exit = True
        await task


@contextmanager
def threaded(app: ASGIApp, lifespan: Literal["on", "off"], **settings: Any) -> Iterator[str]:
    """Serve an app in the same way in a thread of this process, so that coverage includes it; yield the URL."""
    config = uvicorn.Config(app, port=0, log_config=None, lifespan=lifespan, **{**uvicorn_settings(), **settings})
    server = OwnLoopServer(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


@asynccontextmanager
async def scripted(script: Script) -> AsyncIterator[int]:
    """Run a legacy that follows a script on each connection; yield the port."""
    running: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Start the script. The connection closes with its task, which may be cancelled before its first step."""
        if not server.is_serving():
            writer.transport.abort()
            return
        task = asyncio.get_running_loop().create_task(run(reader, writer))
        running.add(task)
        task.add_done_callback(running.discard)
        task.add_done_callback(lambda _: writer.close())

    async def run(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await script(reader, writer)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in list(running):
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await asyncio.sleep(0)


@contextmanager
def unaccepting() -> Iterator[int]:
    """Yield the port of a listening socket whose queue is full: it answers no connection."""
    with ExitStack() as stack:
        full = stack.enter_context(socket.socket())
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(3):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        yield full.getsockname()[1]


def reset(writer: asyncio.StreamWriter) -> None:
    """Close a client's connection with RST: `transport.abort()` alone sends FIN, which a half-close sends too."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def ending_first(answer: bytes) -> Script:
    """Return a script that answers and ends its stream while the client's buffers are full, and then reads the rest."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        for _ in range(1000):  # passes of the loop in which the client fills the buffers
            await asyncio.sleep(0)
        writer.write(answer)
        writer.write_eof()
        while await reader.read(65_536):
            pass

    return script


async def read_head(reader: asyncio.StreamReader) -> bytes:
    return await reader.readuntil(b"\r\n\r\n")


async def exchange(port: int, raw: bytes, *, seconds: float = HANG_TIMEOUT) -> bytes:
    """Send raw bytes and read until the server closes; the request needs `Connection: close`."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(raw)
        async with asyncio.timeout(seconds):
            return await reader.read()
    finally:
        writer.close()
        with_suppressed = asyncio.gather(writer.wait_closed(), return_exceptions=True)
        await with_suppressed

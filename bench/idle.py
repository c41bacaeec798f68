"""Measure an idle gateway: its share of a core, the memory of each idle connection, and the time until it is ready.

Each connection needs a file descriptor on both sides. A hard limit (`ulimit -Hn`) below 12,000 is refused.
"""

from __future__ import annotations

import asyncio
import resource
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass

from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection
from websockets.asyncio.server import serve as serve_websockets

from bench.contenders import routing, server_group
from bench.processes import cpu_seconds, resident
from proxy.runtime.file_limit import raise_file_limit

KEEP_ALIVE = 10_000
WEBSOCKETS = 2_000
REQUEST = b"GET /small HTTP/1.1\r\nHost: a\r\n\r\n"


@dataclass(frozen=True, slots=True)
class IdleGateway:
    """Seconds until the gateway listens, bytes per idle connection, and shares of a core without and with them."""

    ready: float
    cpu: float
    keep_alive: float
    keep_alive_cpu: float
    websocket: float
    websocket_cpu: float


def idle(seconds: float = 30.0, keep_alive: int = KEEP_ALIVE, websockets: int = WEBSOCKETS) -> IdleGateway:
    """Measure one gateway process without load."""
    require_files(keep_alive + 2 * websockets + 2000)
    with server_group() as contenders:
        upstream = contenders.upstream()
        config = routing(upstream, routes=30)
        config += (
            "server: {keep_alive: 10m}\nlimits: {per_client: 20000, websockets: 20000, websockets_per_client: 20000}\n"
        )
        started = time.monotonic()
        port, child = contenders.gateway(config)
        ready = time.monotonic() - started
        assert child.pid is not None
        pid = child.pid
        time.sleep(3)
        cpu = asyncio.run(cpu_share(pid, seconds))
        plain = asyncio.run(_open_keep_alive(port, keep_alive, pid, seconds))
    return IdleGateway(ready, cpu, *plain, *asyncio.run(_websockets(websockets, seconds)))


async def cpu_share(pid: int, seconds: float) -> float:
    """Measure the share of a core that a process and its children use during the next `seconds`."""
    before = cpu_seconds(pid)
    await asyncio.sleep(seconds)
    return (cpu_seconds(pid) - before) / seconds


def require_files(needed: int) -> None:
    """Raise the limit on open files to the hard one. Raises SystemExit if that is too low."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < needed:
        raise SystemExit(f"{needed:,} open files are needed, and the hard limit is {hard:,}: ulimit -Hn {needed}")
    raise_file_limit()


async def _open_keep_alive(port: int, number: int, pid: int, seconds: float) -> tuple[float, float]:
    """Return the bytes that each connection takes after one request, and the share of a core with all of them."""
    writers: list[asyncio.StreamWriter] = []
    await _exchange(port, writers)  # the first one allocates memory that all share
    before = resident(pid)
    for _ in range(number):
        await _exchange(port, writers)
    await asyncio.sleep(1)
    grown = resident(pid) - before
    cpu = await cpu_share(pid, seconds)
    for writer in writers:
        writer.close()
    return grown / number, cpu


async def _exchange(port: int, writers: list[asyncio.StreamWriter]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=8192)
    writers.append(writer)
    writer.write(REQUEST)
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    await reader.readexactly(length)


async def _websockets(number: int, seconds: float) -> tuple[float, float]:
    """Return the bytes that each idle WebSocket to legacy takes, and the share of a core with all of them."""

    async def wait(connection: ServerConnection) -> None:
        await connection.wait_closed()

    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(serve_websockets(wait, "127.0.0.1", 0))
        contenders = stack.enter_context(server_group())
        config = routing(server.sockets[0].getsockname()[1], routes=2).replace("'* /*'", "'WS /*'")
        config += "limits: {websockets: 20000, websockets_per_client: 20000}\n"
        port, child = await asyncio.to_thread(contenders.gateway, config)
        assert child.pid is not None
        url = f"ws://127.0.0.1:{port}/stream"
        await stack.enter_async_context(connect(url))
        before = resident(child.pid)
        for _ in range(number):
            await stack.enter_async_context(connect(url))
        await asyncio.sleep(1)
        grown = resident(child.pid) - before
        return grown / number, await cpu_share(child.pid, seconds)

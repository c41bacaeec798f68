"""A gateway process on two ports of the test process, between a client and two small backends."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from proxy.runtime.listeners import ListenerAddress
from proxy.runtime.process import create_app
from proxy.server.settings import uvicorn_settings
from tests.support.sockets import OwnLoopServer, exchange, read_head


async def _hello(_: object) -> PlainTextResponse:
    return PlainTextResponse("native")


native = Starlette(routes=[Route("/{rest:path}", _hello)])


async def legacy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nlegacy")


def config(port: int, share: str = "0%", extra: str = "") -> str:
    return f"""
legacy: {{url: http://127.0.0.1:{port}}}
native: tests.support.gateway_process:native
routes: [{{name: all, match: "* /*", native: {share}}}]
{extra}
"""


@asynccontextmanager
async def process(file: Path) -> AsyncIterator[tuple[int, int]]:
    """Run the gateway of a file on two ports of this process; yield the ports."""
    public, ops = socket.create_server(("127.0.0.1", 0)), socket.create_server(("127.0.0.1", 0))
    ports = public.getsockname()[1], ops.getsockname()[1]
    app = create_app(file, ListenerAddress("127.0.0.1", ports[1]), None)
    server = OwnLoopServer(uvicorn.Config(app, log_config=None, lifespan="on", **uvicorn_settings()))
    task = asyncio.create_task(server.serve([public, ops]))
    while not server.started:
        await asyncio.sleep(0.01)
    try:
        yield ports
    finally:
        server.should_exit = True
        await task


async def get(port: int, path: str = "/x") -> tuple[bytes, bytes]:
    raw = await exchange(port, f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    head, _, body = raw.partition(b"\r\n\r\n")
    return head, body

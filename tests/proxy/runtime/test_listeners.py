"""Two listeners of one process, distinguished by the socket that accepted a connection."""

from __future__ import annotations

import asyncio
import socket

import pytest
import uvicorn
from starlette.responses import PlainTextResponse

from proxy.runtime.listeners import ListenerAddress, ListenerDispatcher
from proxy.server.settings import uvicorn_settings
from tests.support.sockets import OwnLoopServer


@pytest.mark.parametrize(
    ("bound", "local", "expected"),
    [
        (("127.0.0.1", 8001), ("127.0.0.1", 8001), True),
        (("127.0.0.1", 8001), ("127.0.0.1", 8000), False),
        (("127.0.0.1", 8001), ("127.0.0.2", 8001), False),
        (("0.0.0.0", 8001), ("10.0.0.7", 8001), True),
        (("::", 8001), ("::ffff:10.0.0.7", 8001), True),
        (("::1", 8001), ("127.0.0.1", 8001), False),
        (("127.0.0.1", 8001), ("::ffff:127.0.0.1", 8001), True),
        (("127.0.0.1", 8001), ("/run/gateway.sock", None), False),
        (("127.0.0.1", 8001), None, False),
    ],
)
def test_listener_counts_its_connections(
    bound: tuple[str, int], local: tuple[str, int | None] | None, expected: bool
) -> None:
    assert ListenerAddress(*bound).accepted(local) is expected


async def test_one_port_on_two_addresses_serves_two_apps() -> None:
    ops = socket.create_server(("127.0.0.2", 0))
    public = socket.create_server(("127.0.0.1", ops.getsockname()[1]))
    app = ListenerDispatcher(PlainTextResponse("public"), PlainTextResponse("ops"), ListenerAddress.of(ops))
    server = OwnLoopServer(uvicorn.Config(app, log_config=None, lifespan="off", **uvicorn_settings()))
    task = asyncio.create_task(server.serve([public, ops]))
    while not server.started:
        await asyncio.sleep(0.01)
    try:
        assert [await _body(listener) for listener in (public, ops)] == ["public", "ops"]
    finally:
        server.should_exit = True
        await task


async def _body(listener: socket.socket) -> str:
    host, port = listener.getsockname()
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    answer = await reader.read()
    writer.close()
    return answer.rpartition(b"\r\n\r\n")[2].decode()

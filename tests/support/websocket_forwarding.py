"""A WebSocket through the gateway's forwarding to a legacy: Node's `ws`, or a script of raw bytes."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.utils import accept_key

from proxy.backends.legacy.websocket import WebSocketUpstream
from tests.support.sockets import Script, read_head, serving
from tests.support.waiting import HANG_TIMEOUT
from tests.support.websocket_legacy import Legacy, new_target
from tests.support.websocket_server import with_pings

QUICK = (0.2, 1.5)
"""Seconds of quiet before a ping, and for its answer."""


@asynccontextmanager
async def forwarding(legacy: int, pings: tuple[float, float] = (20.0, 20.0), **settings: Any) -> AsyncIterator[int]:
    """Serve WebSockets through the gateway's forwarding; `settings` are the upstream's. Yield the port."""
    upstream = WebSocketUpstream(
        f"http://127.0.0.1:{legacy}", **{"connect_timeout": HANG_TIMEOUT, "response_timeout": HANG_TIMEOUT, **settings}
    )
    async with serving(with_pings(upstream, *pings), lifespan="on") as port:
        yield port


@asynccontextmanager
async def joined(
    legacy: Legacy | int, pings: tuple[float, float] | None = None, **options: Any
) -> AsyncIterator[ClientConnection]:
    """Connect a client to the legacy through the gateway."""
    if isinstance(legacy, Legacy) and legacy.gateway and pings is None:
        async with connect_to(legacy.gateway, **options) as client:
            yield client
        return
    port = legacy if isinstance(legacy, int) else legacy.port
    async with forwarding(port, pings or (20.0, 20.0)) as port, connect_to(port, **options) as client:
        yield client


def connect_to(port: int, **options: Any) -> connect:
    arguments: dict[str, Any] = {"proxy": None, "max_size": None, "ping_interval": None, **options}
    return connect(f"ws://127.0.0.1:{port}{new_target()}", **arguments)


def target_of(client: ClientConnection) -> str:
    assert client.request is not None
    return client.request.path


def order(name: str, *arguments: object) -> str:
    """Return a message that makes the Node server do something."""
    return "!" + json.dumps([name, *arguments])


async def closing_of(client: ClientConnection, seconds: float = HANG_TIMEOUT) -> tuple[int, str]:
    async with asyncio.timeout(seconds):
        await client.wait_closed()
    return client.close_code or 0, client.close_reason or ""


def accepting(head: bytes, extra: bytes = b"") -> bytes:
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
        + right_answer(head)
        + b"\r\n"
        + extra
        + b"\r\n"
    )


def right_answer(head: bytes) -> bytes:
    key = head.split(b"sec-websocket-key: ")[1].split(b"\r\n")[0]
    return accept_key(key.decode()).encode()


def answering(answer: bytes) -> Script:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await read_head(reader)
        writer.write(answer.replace(b"RIGHT", right_answer(head)))
        await reader.read()

    return script


def joined_up(answer: bytes) -> bytes:
    """Return the answer as if it had come in one part."""
    head, _, body = answer.partition(b"\r\n\r\n")
    if b"transfer-encoding: chunked" not in head:
        return answer
    assert body.endswith(b"\r\n0\r\n\r\n")
    whole = b"".join(body.split(b"\r\n")[1:-3:2])
    return head.replace(b"transfer-encoding: chunked", b"content-length: %d" % len(whole)) + b"\r\n\r\n" + whole


async def expect_failure(port: int, status: int, code: str) -> None:
    with pytest.raises(InvalidStatus) as caught:
        await connect(f"ws://127.0.0.1:{port}/", proxy=None)
    answer = caught.value.response
    assert answer.status_code == status
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
    body = json.loads(bytes(answer.body))
    assert body["error"] == code
    assert set(body) == {"msg", "error"}


async def pour_until_closed(client: ClientConnection) -> None:
    try:
        while True:
            await client.send(b"x" * 262144)
    except ConnectionClosed:
        pass


@contextmanager
def full_backlog() -> Iterator[int]:
    """Yield a listening port whose backlog is full."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        clients = [socket.socket() for _ in range(4)]
        for client in clients:
            client.setblocking(False)
            client.connect_ex(server.getsockname())
        try:
            yield server.getsockname()[1]
        finally:
            for client in clients:
                client.close()

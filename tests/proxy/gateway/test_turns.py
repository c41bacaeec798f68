"""Requests of one client to native do not delay another's."""

from __future__ import annotations

import asyncio
import socket
import time

from starlette.types import Receive, Scope, Send

from proxy.config.loading import parse
from proxy.fair_queue import PASS_TIME
from proxy.gateway.gateway import Gateway
from proxy.gateway.snapshot import RoutingSnapshot
from tests.support.sockets import serving
from tests.support.waiting import HANG_TIMEOUT

CONFIG = """
legacy: {url: http://127.0.0.1:4500}
native: tests.nowhere:app
routes: [{name: new, match: "* /new", native: 100%}]
"""
POST = b"POST /new HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"
ADDRESSES = (*["127.0.0.1"] * 20, "127.0.0.2")


class SlowBackend:
    """Takes longer than a pass may take for each request, and records whose requests it gets."""

    def __init__(self) -> None:
        self.clients: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.clients.append(scope["client"][0])
        time.sleep(1.5 * PASS_TIME)  # noqa: ASYNC251 - the work of a request
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})


async def test_client_of_many_requests_does_not_delay_another() -> None:
    backend = SlowBackend()
    gateway = Gateway(RoutingSnapshot.of(parse(CONFIG, {}, "test.yaml"), backend, backend))

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await gateway(scope, receive, send)

    async with serving(app) as port, asyncio.timeout(HANG_TIMEOUT):
        clients = [
            await asyncio.to_thread(socket.create_connection, ("127.0.0.1", port), HANG_TIMEOUT, (address, 0))
            for address in ADDRESSES
        ]
        for client in clients:
            client.sendall(POST)
        while len(backend.clients) < len(clients):
            await asyncio.sleep(0.01)
        for client in clients:
            client.close()
    assert backend.clients.index("127.0.0.2") <= 10

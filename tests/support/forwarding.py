"""The gateway's forwarding to a scripted legacy."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.types import Receive, Scope, Send

from proxy.backends.legacy.http import HttpUpstream
from proxy.backends.legacy.pool import PoolLimits
from proxy.gateway.errors import Failure
from proxy.gateway.timeouts import Timeouts
from tests.support.sockets import Script, exchange, read_head, scripted, serving

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Forwarder:
    """The upstream as an app; `failures` are those that it raised."""

    def __init__(self, port: int, timeouts: Timeouts | None = None, max_connections: int = 256) -> None:
        self.upstream = HttpUpstream(f"http://127.0.0.1:{port}", timeouts, PoolLimits(max_connections))
        self.failures: list[Failure] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self.upstream(scope, receive, send)
        except Failure as failure:
            self.failures.append(failure)
            await send({"type": "http.response.start", "status": failure.status, "headers": []})
            await send({"type": "http.response.body", "body": failure.code.encode()})


@asynccontextmanager
async def forwarding(
    script: Script, timeouts: Timeouts | None = None, max_connections: int = 256
) -> AsyncIterator[tuple[int, Forwarder]]:
    async with scripted(script) as legacy:
        forwarder = Forwarder(legacy, timeouts, max_connections)
        async with serving(forwarder) as port:
            try:
                yield port, forwarder
            finally:
                forwarder.upstream.close()


class Legacy:
    """A script that answers every request with the same bytes and records the received ones."""

    def __init__(self, answer: bytes = OK) -> None:
        self.answer = answer
        self.heads: list[bytes] = []
        self.connections = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        while True:
            self.heads.append(await read_head(reader))
            writer.write(self.answer)


def request(line: str = "GET / HTTP/1.1", *headers: str, body: bytes = b"") -> bytes:
    return "\r\n".join([line, "Host: scribe.example", "Connection: close", *headers, "", ""]).encode() + body


async def fail_with(script: Script, timeouts: Timeouts | None = None) -> list[Failure]:
    async with forwarding(script, timeouts) as (port, forwarder):
        await exchange(port, request())
        return forwarder.failures

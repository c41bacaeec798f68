"""A gateway whose routes let the other backend take over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from starlette.types import Receive, Scope, Send

from demo.ports import free_port
from proxy.backends.legacy import PoolLimits, Upstream
from proxy.config.loading import parse
from proxy.gateway.circuit_breaker import CircuitBreaker
from proxy.gateway.gateway import Gateway
from proxy.gateway.request_record import RequestRecord
from proxy.gateway.snapshot import RoutingSnapshot
from tests.support.sockets import exchange, read_head, serving
from tests.support.unhurried import LONG_TIMEOUTS

CONFIG = """
legacy: {url: http://127.0.0.1:4500}
native: tests.nowhere:app
overrides: {header: x-side, secret: 0123456789abcdef}
routes:
  - {name: both, match: "* /both", on_legacy_down: native}
  - {name: plain, match: "* /plain"}
  - {name: pinned, match: "* /pinned", pin: legacy, on_legacy_down: native}
  - {name: stream, match: WS /stream, on_legacy_down: native}
  - {name: new, match: GET /new, native: 100%, on_native_error: legacy}
  - {name: proud, match: GET /proud, native: 100%}
"""


@dataclass
class Native:
    """A native app that echoes the body, or answers as its fields say."""

    status: int = 200
    raising: Exception | None = None
    begun: bool = False
    methods: list[str] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            assert (await receive())["type"] == "websocket.connect"
            await send({"type": "websocket.accept"})
            message = await receive()
            await send({"type": "websocket.send", "text": f"native {message['text']}"})
            await receive()
            return
        self.methods.append(scope["method"])
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        if self.begun:
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"99")]})
        if self.raising is not None:
            raise self.raising
        answer = b"native " + body
        headers = [(b"content-length", str(len(answer)).encode())]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer})


@dataclass
class FallbackHarness:
    gateway: Gateway
    native: Native
    observed: list[RequestRecord]
    port: int

    async def send(self, target: str, *headers: str, method: str = "GET", body: str = "") -> tuple[str, str]:
        """Send a request; return the status with `x-served-by`, and the body."""
        lines = [f"{method} {target} HTTP/1.1", "Host: a", "Connection: close", *headers]
        lines += [f"Content-Length: {len(body)}"] if body else []
        raw = await exchange(self.port, "\r\n".join([*lines, "", body]).encode())
        head, _, answer = raw.decode().partition("\r\n\r\n")
        by = next((line.split(": ")[1] for line in head.split("\r\n") if line.startswith("x-served-by")), "?")
        return f"{head.split()[1]} {by}", answer


@asynccontextmanager
async def running_fallbacks(legacy_port: int | None = None, text: str = CONFIG) -> AsyncIterator[FallbackHarness]:
    """Run a gateway in front of a legacy, which is down if no port is given."""
    native, observed = Native(), list[RequestRecord]()
    upstream = Upstream(f"http://127.0.0.1:{legacy_port or free_port()}", LONG_TIMEOUTS, PoolLimits(8))
    plan = RoutingSnapshot.of(parse(text, {}, "test.yaml"), CircuitBreaker(upstream, 3, 60.0), native)
    gateway = Gateway(plan, [observed.append])
    async with serving(gateway) as port:
        yield FallbackHarness(gateway, native, observed, port)
    upstream.close()


async def legacy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nlegacy")

"""A gateway on a real socket between a client and two apps."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from starlette.types import Receive, Scope, Send

from proxy.config.loading import parse
from proxy.gateway.gateway import Gateway
from proxy.gateway.request_record import Observer, RequestRecord
from proxy.gateway.snapshot import RoutingSnapshot
from tests.support.sockets import exchange, serving

REQUEST = "0f8fad5b-d9cb-469f-a165-70867728950e"
CONFIG = """
legacy: {url: http://127.0.0.1:4500}
native: tests.nowhere:app
allowed_origins: http://localhost:3000
bucketing: {key: header:x-caller, salt: test}
routes:
  - {name: new, match: GET /new, native: 100%}
  - {name: half, match: "GET /half/{id}", native: 50%, timeouts: {response: 7s}}
  - {name: stream, match: WS /stream, native: 100%}
"""


@dataclass
class Backend:
    """An app that answers with its name, or as its fields say."""

    name: str
    scopes: list[Scope] = field(default_factory=list)
    raising: BaseException | None = None
    begun: bool = False
    hold: asyncio.Event | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scopes.append(scope)
        if scope["type"] == "websocket":
            await self._converse(receive, send)
            return
        if self.hold is not None:
            await self.hold.wait()
        body = self.name.encode()
        start = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"6")]}
        if self.raising is not None:
            if self.begun:
                await send(start)
            raise self.raising
        await send(start)
        await send({"type": "http.response.body", "body": body})

    async def _converse(self, receive: Receive, send: Send) -> None:
        await receive()
        if self.raising is not None:
            raise self.raising
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": self.name})
        await receive()


@dataclass
class Harness:
    """A gateway under test with its two backends."""

    gateway: Gateway
    legacy: Backend
    native: Backend
    observed: list[RequestRecord]
    port: int

    async def send(self, target: str, *headers: str, method: str = "GET") -> tuple[str, bytes]:
        lines = [f"{method} {target} HTTP/1.1", "Host: a", "Connection: close", *headers, "", ""]
        head, _, body = (await exchange(self.port, "\r\n".join(lines).encode())).partition(b"\r\n\r\n")
        return head.decode(), body


@asynccontextmanager
async def running_gateway(
    text: str = CONFIG, env: dict[str, str] | None = None, observers: Sequence[Observer] = ()
) -> AsyncIterator[Harness]:
    """Run a gateway between two apps. `observers` get each record before `observed` does."""
    legacy, native = Backend("legacy"), Backend("native")
    observed: list[RequestRecord] = []
    plan = RoutingSnapshot.of(parse(text, env or {}, "test.yaml"), legacy, native)
    gateway = Gateway(plan, [*observers, observed.append])
    async with serving(gateway) as port:
        yield Harness(gateway, legacy, native, observed, port)


GUARDED = f"""
legacy: {{url: http://x}}
native: a:b
trusted_proxies: 127.0.0.1
tokens: {{secret: {"s" * 64}}}
bucketing: {{key: [jwt:userID, header:x-caller]}}
routes: [{{name: new, match: GET /new, native: 100%, guard: {{}}}}, {{name: plain, match: GET /plain, native: 100%}}]
"""

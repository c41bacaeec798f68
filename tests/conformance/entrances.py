"""The proxies under test: the gateway as it is served, and nginx, each in front of its own upstream."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import uvicorn
from starlette.responses import PlainTextResponse
from starlette.routing import Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from demo.ports import free_port
from proxy.config.models import Config
from proxy.gateway.request_context import context_of
from proxy.gateway.scope import request_target
from proxy.gateway.snapshot import RoutingSnapshot
from proxy.gateway.starting import Progressed, StartedRequest, StartRequest, prepare_of
from proxy.gateway.timeouts import Timeouts
from proxy.runtime.listeners import ListenerAddress, ListenerDispatcher
from proxy.runtime.process import GatewayProcess
from proxy.server.settings import uvicorn_settings
from proxy.server.timeouts import STATE_KEY, ListenerTimeouts
from proxy.types import HeaderFields
from tests.conformance.oracle import Read
from tests.conformance.upstream import RecordingUpstream, recording_upstream
from tests.support.sockets import OwnLoopServer
from tests.support.waiting import until_listening

NGINX: Final = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
LIMIT: Final = 60.0
"""Seconds of a gateway's limits that no case should reach, even on a busy machine."""
SHORT_LIMIT: Final = 2.0
"""Seconds of a gateway's limits that a case should reach, except the limit of connecting."""
ROUTING: Final = """
legacy: {{url: "http://127.0.0.1:{upstream}", timeouts: {{connect: 20s, response: {limit}s, idle: {limit}s}}}}
server: {{header_timeout: {limit}s, request_timeout: {limit}s}}
routes: []
access_log: false
"""
CONFIG: Final = """
daemon off;
worker_processes 1;
pid {place}/nginx.pid;
error_log {place}/error.log;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path {place}/body;
    proxy_temp_path {place}/proxy;
    fastcgi_temp_path {place}/fastcgi;
    uwsgi_temp_path {place}/uwsgi;
    scgi_temp_path {place}/scgi;
    underscores_in_headers on;
    merge_slashes off;
    client_max_body_size 0;
    client_header_timeout {limit}s;
    client_body_timeout {limit}s;
    {servers}
}}
"""
SERVER: Final = """
    upstream legacy{number} {{ server 127.0.0.1:{upstream} max_fails=0; keepalive 4; }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://legacy{number};
            proxy_http_version 1.1;
            proxy_set_header Host $http_host;
            proxy_set_header Connection "";
            proxy_request_buffering off;
            proxy_buffering off;
            proxy_next_upstream off;
            proxy_read_timeout {limit}s;
        }}
    }}
"""


class Forwarded:
    """An app in front of the legacy backend that records the requests which the gateway intends to forward."""

    def __init__(self, legacy: ASGIApp) -> None:
        self._legacy = legacy
        self.requests: list[Read] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or context_of(scope).started is not None:
            await self._legacy(scope, receive, send)
            return
        number = len(self.requests)
        self._record(scope["method"], request_target(scope), scope["headers"], complete=False)

        async def receive_recorded() -> Message:
            message = await receive()
            if message["type"] == "http.request":
                known = self.requests[number]
                complete = not message.get("more_body", False)
                self.requests[number] = replace(known, body=known.body + message.get("body", b""), complete=complete)
            return message

        await self._legacy(scope, receive_recorded, send)

    def prepare(
        self, method: str, target: bytes, headers: HeaderFields, timeouts: Timeouts | None
    ) -> StartRequest | None:
        prepare = prepare_of(self._legacy)
        prepared = prepare(method, target, headers, timeouts) if prepare is not None else None

        def start(request_id: bytes, progressed: Progressed) -> StartedRequest | None:
            started = prepared(request_id, progressed) if prepared is not None else None
            if started is not None:
                self._record(method, target, headers, complete=True)
            return started

        return start

    def _record(self, method: str, target: bytes, headers: HeaderFields, *, complete: bool) -> None:
        head = tuple(name + b": " + value for name, value in headers)
        self.requests.append(Read(method.encode(), target, head, b"", (), complete))


class RecordedGateway(GatewayProcess):
    """A gateway that records the requests which it intends to forward.

    It does so after each reload too: a busy machine may read the file so slowly that the gateway applies it again.
    """

    forwarded: Forwarded | None = None

    def _create_snapshot(self, config: Config) -> RoutingSnapshot:
        snapshot = super()._create_snapshot(config)
        self.forwarded = self.forwarded or Forwarded(snapshot.legacy)
        return replace(snapshot, legacy=self.forwarded)


@dataclass(frozen=True, slots=True)
class Entrance:
    """A proxy's port, the upstream behind it, and the gateway's own record if the proxy is the gateway.

    `pause`: seconds after each write for the proxy to read it. `timeout`: seconds to wait for an answer, above every
    limit of the proxy.
    """

    port: int
    upstream: RecordingUpstream
    forwarded: Forwarded | None
    pause: float
    timeout: float


@asynccontextmanager
async def gateway_entrance(directory: Path, number: int = 0, limit: float = LIMIT) -> AsyncIterator[Entrance]:
    """Serve the gateway in this process, by a file of its own; `limit`: the seconds of all its timeouts."""
    async with contextlib.AsyncExitStack() as stack:
        upstream = await stack.enter_async_context(recording_upstream())
        file = directory / f"routing-{number}-{limit}.yaml"
        file.write_text(ROUTING.format(upstream=upstream.port, limit=limit))
        process = RecordedGateway(file, {})
        port = await stack.enter_async_context(_serving(_app(process)))
        yield Entrance(port, upstream, process.forwarded, 0, 2.5 * limit)


@asynccontextmanager
async def _serving(app: ASGIApp) -> AsyncIterator[int]:
    """Serve an app with its lifespan, as the gateway serves; give the port."""
    settings = {"host": "127.0.0.1", "port": 0, "lifespan": "on", "log_config": None, **uvicorn_settings()}
    server = OwnLoopServer(uvicorn.Config(app, **settings, timeout_graceful_shutdown=1))
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.005)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        await task


def _app(process: GatewayProcess) -> ListenerDispatcher:
    @asynccontextmanager
    async def lifespan(_: Router) -> AsyncIterator[dict[str, ListenerTimeouts]]:
        async with process.running():
            yield {STATE_KEY: process.listeners.timeouts}

    nothing = PlainTextResponse("ops")
    return ListenerDispatcher(process.gateway, nothing, ListenerAddress("127.0.0.1", 0), Router(lifespan=lifespan))


@asynccontextmanager
async def nginx_entrances(directory: Path, count: int, limit: int) -> AsyncIterator[list[Entrance]]:
    """Run one nginx with `count` servers, each with an upstream of its own; `limit`: the seconds of its timeouts."""
    async with contextlib.AsyncExitStack() as stack:
        upstreams = [await stack.enter_async_context(recording_upstream()) for _ in range(count)]
        ports = [free_port() for _ in range(count)]
        servers = [
            SERVER.format(number=number, upstream=upstream.port, port=port, limit=limit)
            for number, (upstream, port) in enumerate(zip(upstreams, ports, strict=True))
        ]
        file = directory / "nginx.conf"
        file.write_text(CONFIG.format(place=directory, servers="".join(servers), limit=limit))
        assert NGINX is not None
        process = await asyncio.create_subprocess_exec(
            NGINX, "-p", directory, "-e", directory / "error.log", "-c", file
        )
        stack.push_async_callback(process.wait)
        stack.callback(process.terminate)
        for port in ports:
            await until_listening(port)
        timeout = 2.5 * limit
        yield [Entrance(port, upstream, None, 0.001, timeout) for port, upstream in zip(ports, upstreams, strict=True)]

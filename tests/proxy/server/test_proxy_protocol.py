"""The PROXY protocol on real sockets: the client it names is the client, for HTTP and for WebSockets."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send
from websockets.asyncio.client import connect

from proxy.gateway.client_address import TrustedProxies
from proxy.server.proxy_protocol import STATE_KEY, ProxyProtocolPolicy
from proxy.server.settings import uvicorn_settings
from proxy.server.timeouts import ClientTimeouts
from tests.support.command_line import served
from tests.support.event_loop import advance
from tests.support.gateway_process import get, process
from tests.support.http_app import connected, limit
from tests.support.proxy_headers import MALFORMED, TLV, over_tcp, v2
from tests.support.sockets import OwnLoopServer, exchange
from tests.support.waiting import until

REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
V1 = b"PROXY TCP4 203.0.113.7 10.0.0.1 4711 443\r\n"
V2 = v2(family=0x21, payload=over_tcp("2001:db8::7", 4711) + TLV)
FORGED = b"GET /x HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 198.51.100.66\r\nConnection: close\r\n\r\n"
CONFIG = """
legacy: {url: http://127.0.0.1:1}
native: tests.proxy.server.test_proxy_protocol:native
trusted_proxies: 127.0.0.1
server: {proxy_protocol: true}
routes: [{name: all, match: "* /*", pin: native}]
"""
LOCAL = v2(command=0, family=0x00)


async def answer_address(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the client's address and port."""
    text = "{}:{}".format(*scope["client"])
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": text})
        await send({"type": "websocket.close"})
        return
    assert STATE_KEY not in scope.get("state", {})
    await PlainTextResponse(text)(scope, receive, send)


@asynccontextmanager
async def listening(policy: ProxyProtocolPolicy) -> AsyncIterator[int]:
    """Serve an app that answers the client's address, behind a listener with that policy; yield the port."""
    async with running(policy) as (port, _):
        yield port


@asynccontextmanager
async def running(policy: ProxyProtocolPolicy) -> AsyncIterator[tuple[int, OwnLoopServer]]:
    """Run the server of `listening`; yield its port and itself."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await answer_address(scope, receive, send)
            return
        scope["state"][STATE_KEY] = policy
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})

    config = uvicorn.Config(app, port=0, log_config=None, lifespan="on", **uvicorn_settings())
    server = OwnLoopServer(config)
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    try:
        yield server.servers[0].sockets[0].getsockname()[1], server
    finally:
        server.should_exit = True
        await task


def trusting() -> ProxyProtocolPolicy:
    return ProxyProtocolPolicy(TrustedProxies(["127.0.0.1"]))


@pytest.mark.parametrize(("header", "client"), [(V1, "203.0.113.7:4711"), (V2, "2001:db8::7:4711")])
async def test_client_is_the_one_named_by_the_header(header: bytes, client: str) -> None:
    async with listening(trusting()) as port:
        answer = await exchange(port, header + REQUEST)
        assert answer.endswith(client.encode())


@pytest.mark.parametrize("sent", [0, 9, len(V1), len(V1) + 9])
async def test_request_behind_a_header_at_a_shutdown_is_answered(sent: int) -> None:
    raw = V1 + b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    async with running(trusting()) as (port, server), connected(port) as (reader, writer), limit():
        writer.write(raw[:sent])
        await until(lambda: server.server_state.connections)
        for connection in list(server.server_state.connections):
            connection.shutdown()
        writer.write(raw[sent:])
        answer = await reader.read()
    assert answer.endswith(b"connection: close\r\n\r\n203.0.113.7:4711")


async def test_connection_without_a_header_is_closed_at_a_shutdown() -> None:
    async with running(trusting()) as (port, server), connected(port) as (reader, _), limit():
        await until(lambda: server.server_state.connections)
        for connection in list(server.server_state.connections):
            connection.shutdown()
        await advance(ClientTimeouts().drain)
        assert await reader.read() == b""


@pytest.mark.parametrize("header", [LOCAL, b"PROXY UNKNOWN\r\n", v2(family=0x00, payload=TLV)])
async def test_local_command_names_the_proxy_itself(header: bytes) -> None:
    async with listening(trusting()) as port:
        assert b"\r\n\r\n127.0.0.1:" in await exchange(port, header + REQUEST)


@pytest.mark.parametrize("header", [V1, V2])
async def test_header_can_arrive_byte_by_byte(header: bytes) -> None:
    async with listening(trusting()) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for byte in header + REQUEST:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0)
        assert (await reader.read()).endswith(b":4711")
        writer.close()


async def test_connection_outlives_the_time_for_its_header() -> None:
    policy = ProxyProtocolPolicy(TrustedProxies(["127.0.0.1"]), header_timeout=1.0)
    async with listening(policy) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(V1 + REQUEST.replace(b"Connection: close\r\n", b""))
        await reader.readuntil(b":4711")
        await advance(2.0)
        writer.write(REQUEST)
        assert (await reader.read()).endswith(b"203.0.113.7:4711")
        writer.close()


async def test_websocket_behind_a_header_has_its_client() -> None:
    async with listening(trusting()) as port:
        sock = socket.create_connection(("127.0.0.1", port))
        sock.sendall(V1)
        async with connect(f"ws://127.0.0.1:{port}/", sock=sock, proxy=None) as websocket:
            assert await websocket.recv() == "203.0.113.7:4711"


@pytest.mark.parametrize("data", [*MALFORMED, REQUEST])
async def test_connection_without_a_header_is_closed_unanswered(data: bytes) -> None:
    async with listening(trusting()) as port:
        try:
            answer = await exchange(port, data + REQUEST)
        except ConnectionResetError:
            answer = b""
    assert answer == b""


async def test_endless_header_is_closed() -> None:
    async with listening(ProxyProtocolPolicy(TrustedProxies(["127.0.0.1"]), header_timeout=0.2)) as port:
        for begun in (b"", V1[:-1], V2[:20]):
            try:
                assert await exchange(port, begun) == b""
            except ConnectionResetError:
                continue


async def test_untrusted_peer_needs_no_header() -> None:
    policy = ProxyProtocolPolicy(TrustedProxies(["192.0.2.1"]))
    async with listening(policy) as port:
        assert b"\r\n\r\n127.0.0.1:" in await exchange(port, REQUEST)
        assert (await exchange(port, V1 + REQUEST)).startswith(b"HTTP/1.1 400")
        policy.trusted = None
        assert b"\r\n\r\n127.0.0.1:" in await exchange(port, REQUEST)


async def named(request: Request) -> PlainTextResponse:
    return PlainTextResponse(f"{request.client and request.client.host} {request.headers['x-forwarded-for']}")


native = Starlette(routes=[Route("/{rest:path}", named)])


def configured(directory: Path) -> Path:
    """Return a routing.yaml that asks trusted proxies for a header."""
    file = directory / "routing.yaml"
    file.write_text(CONFIG)
    return file


async def test_gateway_reads_the_header_on_the_public_port_only(tmp_path: Path) -> None:
    async with process(configured(tmp_path)) as (public, ops):
        assert (await exchange(public, V1 + FORGED)).endswith(b"203.0.113.7 203.0.113.7")
        assert b'"ok"' in (await get(ops, "/healthz"))[1]


async def test_served_process_reads_the_header_under_uvloop(tmp_path: Path) -> None:
    async with served(configured(tmp_path), timeout=120.0) as (_, public, _):
        answers = await asyncio.gather(*(exchange(public, header + FORGED) for header in (V1, V2) * 8))
        assert {answer.rpartition(b"\r\n")[2] for answer in answers} == {
            b"203.0.113.7 203.0.113.7",
            b"2001:db8::7 2001:db8::7",
        }

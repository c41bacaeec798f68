"""The origin of a request as both backends receive it: on real sockets, from trusted peers and from others."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from starlette.types import Scope
from websockets.asyncio.client import connect

from proxy.config.loading import parse
from proxy.gateway.bucketing import bucket
from proxy.gateway.gateway import Gateway
from proxy.gateway.snapshot import RoutingSnapshot
from proxy.server.refusal import MAX_HEADERS
from tests.support.running_gateway import Backend, Harness, running_gateway
from tests.support.sockets import serving

CONFIG = """
legacy: {url: http://127.0.0.1:4500}
native: tests.nowhere:app
bucketing: {key: client-ip, salt: test}
trusted_proxies: [PROXIES]
routes:
  - {name: new, match: GET /new, native: 100%}
  - {name: half, match: GET /half, native: 50%}
  - {name: stream, match: WS /stream, native: 100%}
"""
TRUSTING = CONFIG.replace("PROXIES", "127.0.0.1, unix")
TRUSTING_NOBODY = CONFIG.replace("PROXIES", "192.0.2.1")
READ_BY_NODE = 1000
"""Number of headers after which Node's server ignores all others."""
FORGERY = (
    "X-Forwarded-For: 198.51.100.66, 203.0.113.7",
    "X-Forwarded-Proto: https",
    "X-Forwarded-Host: forged.example",
    "X-Forwarded-User: admin",
    "Forwarded: for=198.51.100.66;proto=https",
    "X-Real-IP: 198.51.100.66",
    "Connection: X-Forwarded-For, Forwarded",
)


def headers_of(scope: Scope) -> dict[bytes, bytes]:
    headers = [(name, value) for name, value in scope["headers"] if name != b"connection"]
    assert len(headers) == len(dict(headers))
    return dict(headers)


def scope_on(harness: Harness, backend: str) -> Scope:
    (scope,) = (harness.legacy if backend == "legacy" else harness.native).scopes
    return scope


@pytest.mark.parametrize(("target", "backend"), [("/new", "native"), ("/elsewhere", "legacy")])
async def test_untrusted_peers_headers_are_replaced_for_both_sides(target: str, backend: str) -> None:
    async with running_gateway(TRUSTING_NOBODY) as harness:
        await harness.send(target, *FORGERY)
    scope = scope_on(harness, backend)
    assert headers_of(scope) == {
        b"host": b"a",
        b"x-forwarded-for": b"127.0.0.1",
        b"x-forwarded-proto": b"http",
        b"x-forwarded-host": b"a",
        b"forwarded": b"for=127.0.0.1;proto=http",
        b"x-real-ip": b"127.0.0.1",
    }
    assert (scope["client"][0], scope["scheme"]) == ("127.0.0.1", "http")


@pytest.mark.parametrize(("target", "backend"), [("/new", "native"), ("/elsewhere", "legacy")])
async def test_trusted_peers_headers_are_extended_for_both_sides(target: str, backend: str) -> None:
    async with running_gateway(TRUSTING) as harness:
        await harness.send(target, *FORGERY)
    scope = scope_on(harness, backend)
    headers = headers_of(scope)
    assert headers[b"x-forwarded-for"] == b"198.51.100.66, 203.0.113.7, 127.0.0.1"
    assert headers[b"x-forwarded-host"] == b"forged.example"
    assert headers[b"forwarded"] == b"for=198.51.100.66;proto=https, for=127.0.0.1"
    assert headers[b"x-real-ip"] == b"198.51.100.66"
    assert (scope["client"], scope["scheme"]) == (("203.0.113.7", 0), "https")


@pytest.mark.parametrize("text", [TRUSTING, TRUSTING_NOBODY])
async def test_node_reads_the_origin_behind_the_most_headers(text: str) -> None:
    async with running_gateway(text) as harness:
        head, _ = await harness.send("/other", *(f"X{number}:" for number in range(MAX_HEADERS - 2)))
        assert head.startswith("HTTP/1.1 200")
        names = [name for name, _ in scope_on(harness, "legacy")["headers"]]
        added_by_the_connection = [b"host", b"x-request-id"]
        assert b"x-forwarded-for" in names
        assert len(names) + len(added_by_the_connection) <= READ_BY_NODE


async def test_websockets_are_treated_alike() -> None:
    extra = {"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "https"}
    for text, client, scheme in ((TRUSTING, "203.0.113.7", "wss"), (TRUSTING_NOBODY, "127.0.0.1", "ws")):
        async with running_gateway(text) as harness:
            async with connect(
                f"ws://127.0.0.1:{harness.port}/stream", additional_headers=extra, proxy=None
            ) as websocket:
                await websocket.recv()
            scope = scope_on(harness, "native")
        assert (scope["client"][0], scope["scheme"]) == (client, scheme)


async def test_bucket_uses_the_client_behind_the_proxy() -> None:
    async with running_gateway(TRUSTING) as harness:
        await harness.send("/half", "X-Forwarded-For: 198.51.100.66, 203.0.113.7")
        await harness.send("/half", "X-Forwarded-For: _forged")
    assert [record.bucket for record in harness.observed] == [
        bucket("test", "half", address) for address in ("203.0.113.7", "127.0.0.1")
    ]


@pytest.mark.parametrize(("text", "client"), [(TRUSTING, "203.0.113.7"), (TRUSTING_NOBODY, None)])
async def test_unix_peers_are_trusted_where_listed(text: str, client: str | None, tmp_path: Path) -> None:
    native, path = Backend("native"), str(tmp_path / "gateway.sock")
    gateway = Gateway(RoutingSnapshot.of(parse(text, {}), Backend("legacy"), native))
    async with serving(gateway, uds=path):
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(b"GET /new HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 203.0.113.7\r\nConnection: close\r\n\r\n")
        assert (await reader.read()).endswith(b"native")
        writer.close()
    (scope,) = native.scopes
    chain = "203.0.113.7, unknown" if client else "unknown"
    assert dict(scope["headers"])[b"x-forwarded-for"] == chain.encode()
    assert (scope["client"] and scope["client"][0]) == client

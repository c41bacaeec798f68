"""A relayed WebSocket over TLS and over a Unix socket, on both event loops, with a server that is not Node's."""

from __future__ import annotations

import asyncio
import random
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
import uvloop
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve, unix_serve
from websockets.exceptions import ConnectionClosed

from proxy.backends.legacy import Upstream
from proxy.backends.legacy.configured import upstream_of
from proxy.config.loading import parse
from tests.support.certificates import Authority, needs_openssl
from tests.support.sockets import serving
from tests.support.waiting import HANG_TIMEOUT, until
from tests.support.websocket_server import with_pings

pytestmark = needs_openssl
LARGE = random.Random(0).randbytes(3_000_000)

loops = pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
Loop = Callable[[], asyncio.AbstractEventLoop]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


class Echo:
    """A server's handler that echoes, closes on request, and records how its connections ended."""

    def __init__(self) -> None:
        self.closed: list[int | None] = []

    async def __call__(self, socket: ServerConnection) -> None:
        with suppress(ConnectionClosed):
            async for message in socket:
                if message == "close":
                    await socket.close(4000, "as asked")
                elif message == "drop":
                    socket.transport.abort()
                else:
                    await socket.send(message)
        await socket.wait_closed()
        self.closed.append(socket.close_code)


@asynccontextmanager
async def tls_legacy(echo: Echo, authority: Authority) -> AsyncIterator[Upstream]:
    async with serve(echo, "127.0.0.1", 0, ssl=authority.server_context("legacy.test"), max_size=None) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        tls = f"tls: {{ca: {authority.ca}, server_name: legacy.test}}"
        yield configured(f"url: 'https://127.0.0.1:{port}', {tls}")


def configured(legacy: str) -> Upstream:
    return upstream_of(parse(f"legacy: {{{legacy}}}\n", {}).legacy)


async def converse(upstream: Upstream, echo: Echo, context: ssl.SSLContext | None = None, **server: object) -> None:
    """Send messages large and small, compressed and not, and end in each way; pings of the gateway go in between."""
    scheme = "ws" if context is None else "wss"
    async with serving(with_pings(upstream, 0.1, HANG_TIMEOUT), lifespan="on", **server) as port:
        url = f"{scheme}://localhost:{port}/"
        for ending, code in (("close", 4000), ("drop", 1006)):
            async with connect(url, proxy=None, max_size=None, ssl=context, server_hostname=None) as client:
                assert client.protocol.extensions, "permessage-deflate is agreed end to end"
                for message in (b"small", LARGE, "é" * 1000):
                    await client.send(message)
                    assert await client.recv() == message
                await asyncio.sleep(0.3)
                await client.send(ending)
                async with asyncio.timeout(HANG_TIMEOUT):
                    await client.wait_closed()
                assert client.close_code == code
        async with connect(url, proxy=None, ssl=context) as client:
            await client.close(1001)
    upstream.close()
    await until(lambda: len(echo.closed) == 3)
    assert sorted(echo.closed, key=str) == [1001, 1006, 4000]


@loops
def test_legacy_over_tls_is_relayed(authority: Authority, loop: Loop) -> None:
    async def scenario() -> None:
        echo = Echo()
        async with tls_legacy(echo, authority) as upstream:
            await converse(upstream, echo)

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(scenario())


@loops
def test_legacy_on_a_unix_socket_is_relayed(tmp_path: Path, loop: Loop) -> None:
    async def scenario() -> None:
        echo, path = Echo(), tmp_path / "legacy.sock"
        async with unix_serve(echo, str(path), max_size=None):
            await converse(configured(f"url: 'unix:{path}'"), echo)

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(scenario())


@loops
def test_client_and_legacy_over_tls_are_relayed(authority: Authority, loop: Loop) -> None:
    async def scenario() -> None:
        echo = Echo()
        certificate, key = authority.issue("localhost")
        context = ssl.create_default_context(cafile=str(authority.ca))
        async with tls_legacy(echo, authority) as upstream:
            await converse(upstream, echo, context, ssl_certfile=str(certificate), ssl_keyfile=str(key))

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(scenario())

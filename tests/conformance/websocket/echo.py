"""The echo servers on Node's `ws`, and a gateway before a server."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

from starlette.types import Receive, Scope, Send

from proxy.backends.legacy import Timeouts, Upstream
from proxy.config.models import Config
from proxy.gateway.gateway import Gateway
from proxy.gateway.snapshot import RoutingSnapshot
from tests.support.sockets import serving

SCRIPT: Final = Path(__file__).with_name("echo.cjs")
LEGACY: Final = Path(__file__).parents[3] / "demo" / "legacy"


class EchoServer:
    """The running servers: their `port`, and their account of each connection that has ended."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._accounts: dict[str, asyncio.Future[dict[str, Any]]] = {}

    def _awaited(self, target: str) -> asyncio.Future[dict[str, Any]]:
        return self._accounts.setdefault(target, asyncio.get_running_loop().create_future())

    async def account(self, target: str) -> dict[str, Any]:
        """Return what the server saw of the connection that asked for `target`."""
        try:
            return await self._awaited(target)
        finally:
            self._accounts.pop(target, None)

    async def listen(self, output: asyncio.StreamReader) -> None:
        """Take in the accounts."""
        async for line in output:
            account = json.loads(line)
            future = self._awaited(account.pop("url"))
            if not future.done():
                future.set_result(account)


@asynccontextmanager
async def echo_server() -> AsyncIterator[EchoServer]:
    """Run the echo servers."""
    process = await asyncio.create_subprocess_exec(
        *("node", str(SCRIPT)),
        env={"NODE_PATH": str(LEGACY / "node_modules"), "PATH": os.environ["PATH"]},
        stdout=asyncio.subprocess.PIPE,
        stdin=asyncio.subprocess.DEVNULL,
        limit=1 << 24,
    )
    assert process.stdout is not None
    server = EchoServer(json.loads(await process.stdout.readline())["port"])
    listening = asyncio.create_task(server.listen(process.stdout))
    try:
        yield server
    finally:
        process.kill()
        await listening
        await process.wait()


async def native_echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Echo messages, as an ASGI app under the gateway's own server does."""
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        with suppress(OSError):
            await send({**message, "type": "websocket.send"})


@asynccontextmanager
async def gateway_before(port: int) -> AsyncIterator[int]:
    """Run a gateway that forwards all to the server at `port`; gives its own port."""
    config = Config.model_validate({"legacy": {"url": f"http://127.0.0.1:{port}"}, "served_by": False})
    upstream = Upstream(config.legacy.url, Timeouts())
    async with serving(Gateway(RoutingSnapshot.of(config, upstream, None))) as own:
        yield own
    upstream.close()

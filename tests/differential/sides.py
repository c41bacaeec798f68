"""The two running backends: the demo legacy and the native app, each with its own database and outside services."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import openai  # noqa: F401 -- the app imports it with its first call, which would pass for a hang on a busy machine
import uvicorn
from pymongo import AsyncMongoClient
from starlette.types import ASGIApp

from demo.services import DemoLegacy, backend_environment
from demo.upstreams import create_app as create_upstreams
from handlers.app import create_app
from handlers.settings import Settings
from proxy.fuzz.options import FuzzBackend
from proxy.server.protocol import HttpProtocol
from proxy.server.websocket import WebSocketProtocol
from tests.differential.outside_services import OddServices
from tests.support.patient_timings import PATIENT
from tests.support.sockets import OwnLoopServer


@contextlib.asynccontextmanager
async def sides(
    mongodb_url: str,
    log: Path,
    prefix: str = "differential",
    relay_url: str | None = None,
    wrap: Callable[[ASGIApp], ASGIApp] = OddServices,
) -> AsyncIterator[tuple[FuzzBackend, FuzzBackend]]:
    """Start the demo legacy and the native app; native retains the legacy's behaviour wherever a setting allows it.

    Both reach MongoDB by `relay_url` if it is given. `wrap` makes the outside services of each, legacy's first.
    """
    database_url = relay_url or mongodb_url
    names = [f"{prefix}_legacy", f"{prefix}_native"]
    async with contextlib.AsyncExitStack() as stack:
        await _drop(mongodb_url, names)
        stack.push_async_callback(_drop, mongodb_url, names)
        outside = [await stack.enter_async_context(serving(wrap(create_upstreams()))) for _ in names]
        environments = [backend_environment(database_url, url, name) for url, name in zip(outside, names, strict=True)]
        legacy = DemoLegacy(environments[0], log)
        stack.callback(legacy.stop)
        await asyncio.to_thread(legacy.start)
        native = await stack.enter_async_context(serving(create_app(keeping_legacy(environments[1]), PATIENT)))
        urls = (legacy.url, native)
        legacy_side, native_side = (
            FuzzBackend(url, mongodb_url, name, f"{calls}/_calls")
            for url, name, calls in zip(urls, names, outside, strict=True)
        )
        yield legacy_side, native_side


def keeping_legacy(environment: dict[str, str]) -> Settings:
    """Return the native app's settings with every option that restores the legacy's behaviour."""
    switches = {name: True for name in Settings.model_fields if name.startswith("keep_legacy_")}
    values = {name.lower(): value for name, value in environment.items() if name.lower() in Settings.model_fields}
    return Settings.load(**values, **switches)


@contextlib.asynccontextmanager
async def serving(app: ASGIApp) -> AsyncIterator[str]:
    """Serve an app by the gateway's own HTTP protocol on a free port; yield its URL."""
    config = uvicorn.Config(
        app,
        http=HttpProtocol,
        ws=WebSocketProtocol,
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        timeout_graceful_shutdown=1,
    )
    server = OwnLoopServer(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        task = asyncio.create_task(server.serve([listener]))
        while not server.started and not task.done():
            await asyncio.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            server.should_exit = True
            await task


async def _drop(mongodb_url: str, names: list[str]) -> None:
    async with AsyncMongoClient[dict[str, object]](mongodb_url) as client:
        for name in names:
            await client.drop_database(name)

"""The native backend: loaded by its import string, with its lifespan."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send

from proxy.backends.native import Native, NativeUnavailable

events: list[str] = []


@asynccontextmanager
async def lifespan(_: Starlette) -> AsyncIterator[dict[str, str]]:
    events.append("started")
    yield {"store": "open"}
    events.append("stopped")


async def show(request: Request) -> JSONResponse:
    return JSONResponse(request.state.store)


app = Starlette(routes=[Route("/", show)], lifespan=lifespan)


async def bare(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer as an app without a lifespan."""
    assert scope["type"] == "http"
    await JSONResponse("bare")(scope, receive, send)


@asynccontextmanager
async def broken_lifespan(_: Starlette) -> AsyncIterator[None]:
    raise RuntimeError("no database")
    yield  # type: ignore[unreachable]


broken = Starlette(lifespan=broken_lifespan)


async def test_app_starts_serves_with_its_state_and_stops() -> None:
    events.clear()
    native = Native("tests.proxy.backends.test_native:app")
    await native.start()
    running = native.started
    assert TestClient(native).get("/").json() == "open"
    await native.stop()
    assert (running, native.started) == (True, False)
    assert events == ["started", "stopped"]


async def test_app_without_a_lifespan_serves() -> None:
    native = Native("tests.proxy.backends.test_native:bare")
    await native.start()
    assert TestClient(native).get("/").json() == "bare"
    await native.stop()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("tests.proxy.nowhere:app", "tests.proxy.nowhere"),
        ("tests.proxy.backends.test_native:missing", "missing"),
        ("tests.proxy.backends.test_native:broken", "start-up failed"),
    ],
)
async def test_failed_start_names_the_app_and_the_reason(name: str, reason: str) -> None:
    native = Native(name)
    with pytest.raises(NativeUnavailable, match=reason):
        await native.start()
    await native.stop()

"""The native backend: loaded by its import string, with its lifespan."""

from __future__ import annotations

import json
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
from tests.support.sockets import exchange, serving

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


async def headers(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the received headers."""
    await JSONResponse([[name.decode(), value.decode()] for name, value in scope["headers"]])(scope, receive, send)


async def remembering(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the names in the state, and add one."""
    names = sorted(scope["state"])
    scope["state"]["caller"] = "amara"
    await JSONResponse(names)(scope, receive, send)


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


async def test_state_of_a_request_is_its_own() -> None:
    native = Native("tests.proxy.backends.test_native:remembering", {"store": "open"})
    native.load()
    assert [TestClient(native).get("/").json() for _ in range(2)] == [["store"], ["store"]]
    assert native.state == {"store": "open"}


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
        ("tests.proxy.backends.test_native:broken", "its start-up failed: RuntimeError: no database$"),
    ],
)
async def test_failed_start_names_the_app_and_the_reason(name: str, reason: str) -> None:
    native = Native(name)
    with pytest.raises(NativeUnavailable, match=reason):
        await native.start()
    await native.stop()


async def test_app_gets_no_hop_by_hop_headers_but_a_bodys_framing() -> None:
    dropped = {"connection": "X-Secret, host", "x-secret": "1", "keep-alive": "5", "te": "trailers", "upgrade": "h2c"}
    passed = {"host": "a", "transfer-encoding": "chunked", "x-plain": "1"}
    native = Native(f"{__name__}:headers")
    native.load()
    sent = [(name.encode(), value.encode()) for name, value in {**dropped, **passed}.items()]
    async with serving(native) as port:
        lines = b"".join(b"%b: %b\r\n" % header for header in sent)
        answer = await exchange(port, b"POST / HTTP/1.1\r\n%b\r\n0\r\n\r\n" % lines)
    assert dict(json.loads(answer.partition(b"\r\n\r\n")[2])) == passed

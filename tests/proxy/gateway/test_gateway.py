"""The gateway between a client and two backends, on real sockets."""

from __future__ import annotations

import asyncio
import json
from email.utils import parsedate_to_datetime

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from proxy.config.loading import parse
from proxy.gateway.errors import AnswerTimeout
from proxy.gateway.request_context import context_of
from proxy.gateway.request_record import CLIENT_CLOSED_REQUEST
from proxy.gateway.snapshot import RoutingSnapshot
from proxy.gateway.timeouts import Timeouts
from tests.support.running_gateway import CONFIG, running_gateway


async def test_share_decides_and_served_by_names_the_backend() -> None:
    async with running_gateway() as harness:
        head, body = await harness.send("/new")
        assert body == b"native"
        assert "x-served-by: native" in head
        head, body = await harness.send("/elsewhere")
        assert body == b"legacy"
        assert "x-served-by: legacy" in head


async def test_missing_date_is_added_and_others_are_kept() -> None:
    async def dated(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 204, "headers": [(b"date", b"long ago")]})
        await send({"type": "http.response.body"})

    async with running_gateway() as harness:
        head, _ = await harness.send("/new")
        assert parsedate_to_datetime(head.split("date: ")[1].split("\r\n")[0]).year >= 2026
        harness.gateway.snapshot = RoutingSnapshot.of(parse(CONFIG, {}, "test.yaml"), dated, harness.native)
        head, _ = await harness.send("/elsewhere")
        assert head.count("date: ") == 1
        assert "date: long ago" in head


async def test_half_share_splits_callers_consistently() -> None:
    async with running_gateway() as harness:
        first = [(await harness.send("/half/1", f"X-Caller: {caller}"))[1] for caller in range(20)]
        again = [(await harness.send("/half/2", f"X-Caller: {caller}"))[1] for caller in range(20)]
    assert set(first) == {b"native", b"legacy"}
    assert first == again


async def test_served_by_header_can_be_switched_off() -> None:
    async with running_gateway(CONFIG + "served_by: false\n") as harness:
        head, _ = await harness.send("/new")
    assert "x-served-by" not in head


async def test_environment_pin_precedes_the_share() -> None:
    async with running_gateway(env={"SCRIBE_PROXY_PIN": "legacy"}) as harness:
        assert (await harness.send("/new"))[1] == b"legacy"
        assert harness.observed[0].reason == "pin-all"


async def test_override_chooses_a_backend_and_is_removed() -> None:
    overrides = "overrides: {header: x-side, secret: 0123456789abcdef}\n"
    async with running_gateway(CONFIG + overrides) as harness:
        assert (await harness.send("/new", "X-Side: legacy; key=0123456789abcdef"))[1] == b"legacy"
        assert (await harness.send("/new", "X-Side: legacy; key=wrong"))[1] == b"native"
        assert [record.reason for record in harness.observed] == ["override", "share"]
        for scope in (*harness.legacy.scopes, *harness.native.scopes):
            assert b"x-side" not in dict(scope["headers"])


async def test_legacy_failure_is_answered_without_calling_native() -> None:
    async with running_gateway() as harness:
        harness.legacy.raising = AnswerTimeout()
        head, body = await harness.send("/elsewhere", "Origin: http://localhost:3000")
    assert head.startswith("HTTP/1.1 504")
    assert "access-control-allow-origin: http://localhost:3000" in head
    assert "x-served-by: gateway" in head
    assert json.loads(body)["error"] == "legacy_timeout"
    assert harness.native.scopes == []
    assert (harness.observed[0].failure, harness.observed[0].status) == ("legacy_timeout", 504)


async def test_raising_native_app_is_500_without_details(caplog: pytest.LogCaptureFixture) -> None:
    async with running_gateway() as harness:
        harness.native.raising = RuntimeError("patient Jane")
        head, body = await harness.send("/new")
    assert head.startswith("HTTP/1.1 500")
    assert json.loads(body)["error"] == "native_failed"
    assert harness.legacy.scopes == []
    assert "RuntimeError" in caplog.text
    assert "Jane" not in caplog.text + body.decode()


async def test_answer_that_has_begun_is_broken_off_not_patched() -> None:
    async with running_gateway() as harness:
        harness.native.raising, harness.native.begun = RuntimeError(), True
        head, body = await harness.send("/new")
    assert head.startswith("HTTP/1.1 200")
    assert body == b""
    assert harness.observed[0].failure == "native_failed"


async def test_requests_over_the_limit_are_refused_with_retry_after() -> None:
    async with running_gateway(CONFIG + "limits: {in_flight: 1}\n") as harness:
        harness.legacy.hold = asyncio.Event()
        first = asyncio.create_task(harness.send("/elsewhere"))
        while not harness.legacy.scopes:
            await asyncio.sleep(0.01)
        head, body = await harness.send("/elsewhere")
        harness.legacy.hold.set()
        assert (await first)[1] == b"legacy"
        assert (await harness.send("/elsewhere"))[1] == b"legacy"
    assert head.startswith("HTTP/1.1 503")
    assert "retry-after: 1" in head
    assert json.loads(body)["error"] == "gateway_overloaded"


async def test_request_keeps_the_snapshot_of_its_beginning() -> None:
    async with running_gateway() as harness:
        harness.legacy.hold = asyncio.Event()
        under_way = asyncio.create_task(harness.send("/elsewhere"))
        while not harness.legacy.scopes:
            await asyncio.sleep(0.01)
        harness.gateway.snapshot = RoutingSnapshot.of(
            parse(CONFIG.replace("GET /new", "GET /elsewhere"), {}, "test.yaml"), harness.legacy, harness.native
        )
        assert (await harness.send("/elsewhere"))[1] == b"native"
        harness.legacy.hold.set()
        assert (await under_way)[1] == b"legacy"


async def test_timeouts_of_a_route_are_passed_with_its_requests() -> None:
    async with running_gateway() as harness:
        await harness.send("/half/1", "X-Caller: 1")
        await harness.send("/elsewhere")
        scopes = {scope["path"]: scope for scope in (*harness.legacy.scopes, *harness.native.scopes)}
    assert context_of(scopes["/half/1"]).timeouts == Timeouts(response=7.0)
    assert context_of(scopes["/elsewhere"]).timeouts is None


async def test_client_disconnect_is_recorded_as_499() -> None:
    async with running_gateway() as harness:
        begun = asyncio.Event()

        async def leave(scope: Scope, receive: Receive, send: Send) -> None:
            begun.set()
            while (await receive())["type"] != "http.disconnect":
                pass

        harness.gateway.snapshot = RoutingSnapshot.of(parse(CONFIG, {}, "test.yaml"), leave, harness.native)
        _, writer = await asyncio.open_connection("127.0.0.1", harness.port)
        writer.write(b"GET /elsewhere HTTP/1.1\r\nHost: a\r\n\r\n")
        await begun.wait()
        writer.close()
        while not harness.observed:
            await asyncio.sleep(0.01)
    assert harness.observed[0].status == CLIENT_CLOSED_REQUEST


async def test_websockets_pass_to_the_side_decided() -> None:
    async with running_gateway() as harness, connect(f"ws://127.0.0.1:{harness.port}/stream") as socket:
        assert await socket.recv() == "native"
        assert socket.response is not None
        assert socket.response.headers["x-served-by"] == "native"
        await socket.close()
        while not harness.observed:
            await asyncio.sleep(0.01)
        [record] = harness.observed
    assert (record.kind, record.method, record.route, record.status) == ("websocket", "WS", "stream", 101)


async def test_websocket_without_backend_is_refused_with_the_status() -> None:
    async with running_gateway() as harness:
        harness.legacy.raising = AnswerTimeout()
        with pytest.raises(InvalidStatus) as refused:
            await connect(f"ws://127.0.0.1:{harness.port}/other")
        assert refused.value.response.status_code == 504
        assert json.loads(refused.value.response.body or b"")["error"] == "legacy_timeout"


async def test_websocket_closed_before_acceptance_is_403() -> None:
    async def close(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.close"})

    async with running_gateway() as harness:
        backend: ASGIApp = close
        harness.gateway.snapshot = RoutingSnapshot.of(parse(CONFIG, {}, "test.yaml"), backend, harness.native)
        with pytest.raises(InvalidStatus):
            await connect(f"ws://127.0.0.1:{harness.port}/other")
        assert harness.observed[0].status == 403

"""Fallback to the other backend, on real sockets: its conditions, the body, and that no request runs twice."""

from __future__ import annotations

import asyncio
import json

import pytest
from starlette.types import Message, Scope
from websockets.asyncio.client import connect

from proxy.config.field_types import ZERO
from proxy.config.loading import parse
from proxy.gateway.bucketing import Decision, Limit
from proxy.gateway.fallback import ReplayableReceive, legacy_may
from tests.support.fallback_gateway import CONFIG, legacy, running_fallbacks
from tests.support.sockets import read_head, scripted


async def test_native_answers_where_legacy_cannot_be_reached() -> None:
    async with running_fallbacks() as harness:
        assert await harness.send("/both") == ("200 native", "native ")
        [record] = harness.observed
        assert (record.backend, record.reason, record.failure, record.cause) == (
            "native",
            "legacy-down",
            None,
            "refused",
        )


async def test_cause_of_a_connection_fault_is_only_recorded() -> None:
    async with running_fallbacks() as harness:
        status, body = await harness.send("/legacy-only")
        [record] = harness.observed
        assert (status, record.failure, record.cause) == ("502 gateway", "legacy_unreachable", "refused")
        assert "refused" not in body


async def test_write_never_sent_to_legacy_falls_back_with_its_body() -> None:
    body = "x" * 300_000  # more than one message
    async with running_fallbacks() as harness:
        for _ in range(5):  # with the breaker closed, and then open
            assert await harness.send("/both", method="POST", body=body) == ("200 native", f"native {body}")


async def test_route_without_a_fallback_fails_and_opens_the_breaker() -> None:
    async with running_fallbacks() as harness:
        answers = [await harness.send("/plain") for _ in range(5)]
    assert [status for status, _ in answers] == ["502 gateway"] * 3 + ["503 gateway"] * 2
    assert json.loads(answers[-1][1])["error"] == "legacy_down"
    assert harness.native.methods == []


async def test_request_pinned_to_legacy_does_not_fall_back() -> None:
    async with running_fallbacks() as harness:
        assert (await harness.send("/pinned"))[0] == "502 gateway"
        assert (await harness.send("/both", "X-Side: legacy; key=0123456789abcdef"))[0] == "502 gateway"


async def test_capped_native_gets_no_fallback() -> None:
    async with running_fallbacks() as harness:
        harness.gateway.limits = {"both": Limit(cap=ZERO)}
        assert (await harness.send("/both"))[0] == "502 gateway"
        harness.gateway.limits = {"both": Limit(stage=ZERO)}  # its rollout has not begun: nothing is known against it
        assert (await harness.send("/both"))[0] == "200 native"


async def test_write_possibly_seen_by_legacy_is_not_repeated() -> None:
    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)

    async with scripted(reset) as port, running_fallbacks(port) as harness:
        status, body = await harness.send("/both", method="POST", body="x")
    assert (status, json.loads(body)["error"]) == ("502 gateway", "legacy_reset")
    assert harness.native.methods == []


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_sent_request_is_not_repeated_when_the_breaker_opens(method: str) -> None:
    received, released = asyncio.Event(), asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        await read_head(reader)
        received.set()
        await released.wait()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nleg")
        await asyncio.sleep(0.05)  # the first part alone moves the request to a task
        writer.write(b"acy")
        writer.close()

    listener = await asyncio.start_server(script, "127.0.0.1")
    port: int = listener.sockets[0].getsockname()[1]
    async with running_fallbacks(port) as harness:
        assert await harness.send("/both", method=method) == ("200 legacy", "ok")
        sent = asyncio.create_task(harness.send("/both", method=method))
        await received.wait()
        listener.close()
        assert [await harness.send("/both", method="PUT") for _ in range(3)] == [("200 native", "native ")] * 3
        released.set()
        assert await sent == ("200 legacy", "legacy")
        assert (await harness.send("/plain"))[0] == "503 gateway"  # that answer does not close the breaker
    assert harness.native.methods == ["PUT"] * 3


async def test_websocket_falls_back_from_its_beginning() -> None:
    async with running_fallbacks() as harness:
        for _ in range(4):
            async with connect(f"ws://127.0.0.1:{harness.port}/stream") as socket:
                await socket.send("hears me")
                assert await socket.recv() == "native hears me"


@pytest.mark.parametrize("broken", [{"raising": RuntimeError()}, {"status": 500}, {"status": 503}])
async def test_legacy_answers_where_native_fails(broken: dict[str, object]) -> None:
    async with scripted(legacy) as port, running_fallbacks(port) as harness:
        for name, value in broken.items():
            setattr(harness.native, name, value)
        assert await harness.send("/new") == ("200 legacy", "legacy")
        assert (await harness.send("/proud"))[0] in ("500 gateway", "500 native", "503 native")
        [record, _] = harness.observed
        assert (record.backend, record.reason, record.status, record.failure) == ("legacy", "native-error", 200, None)


async def test_answers_of_native_below_500_are_final() -> None:
    async with scripted(legacy) as port, running_fallbacks(port) as harness:
        for status in (200, 404):
            harness.native.status = status
            assert await harness.send("/new") == (f"{status} native", "native ")


async def test_answer_that_native_has_begun_is_broken_off() -> None:
    async with scripted(legacy) as port, running_fallbacks(port) as harness:
        harness.native.begun, harness.native.raising = True, RuntimeError()
        assert await harness.send("/new") == ("200 native", "")
        assert harness.observed[0].failure == "native_failed"


async def test_read_with_a_body_is_not_repeated() -> None:
    async with scripted(legacy) as port, running_fallbacks(port) as harness:
        harness.native.status = 500
        assert (await harness.send("/new", body="x"))[0] == "500 native"


@pytest.mark.parametrize(
    ("headers", "may"),
    [
        ([], True),
        ([(b"content-length", b"0")], True),
        ([(b"content-length", b"00")], True),
        ([(b"content-length", b"10")], False),
        ([(b"transfer-encoding", b"chunked")], False),
    ],
)
def test_body_is_detected_by_its_framing(headers: list[tuple[bytes, bytes]], may: bool) -> None:
    [route] = [route for route in parse(CONFIG, {}, "test.yaml").routes if route.name == "new"]
    scope: Scope = {"type": "http", "method": "GET", "headers": headers}
    assert legacy_may(route, Decision("native", "share"), scope) is may
    assert not legacy_may(route, Decision("native", "share"), {**scope, "method": "POST"})
    assert not legacy_may(route, Decision("native", "override"), scope)


async def test_failure_of_both_returns_the_last_one() -> None:
    async with running_fallbacks() as harness:
        harness.native.status = 500
        status, body = await harness.send("/new")
        assert (status, json.loads(body)["error"]) == ("502 gateway", "legacy_unreachable")


async def test_first_message_is_replayed_once() -> None:
    messages = iter([{"body": b"1"}, {"body": b"2"}, {"body": b"3"}, {"body": b"4"}])

    async def receive() -> Message:
        return next(messages)

    rereadable = ReplayableReceive(receive)
    assert await rereadable() == await rereadable.again() == {"body": b"1"}
    assert await rereadable.again() == {"body": b"2"}
    assert await rereadable() == {"body": b"3"}
    assert await rereadable.again() == {"body": b"4"}

"""Recording of a mirrored request in the gateway."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Sequence
from typing import Any
from weakref import ReferenceType, ref

import pytest
from starlette.types import Message, Receive, Scope, Send

from proxy.config.loading import parse
from proxy.gateway.gateway import Gateway
from proxy.gateway.snapshot import RoutingSnapshot
from proxy.server.memory_budget import BUDGET_KEY, MemoryBudget
from proxy.shadow.messages import ConnectionInfo, RequestSnapshot
from proxy.shadow.mirror import MirroredDryRun, MirroredRead, MirroredRequest
from proxy.types import Backend
from tests.support.recording_sink import RecordingSink
from tests.support.shadowed_requests import ScopedRequest, direct_read, scope
from tests.support.sockets import exchange, serving

LIMIT = 10
START: Message = {"type": "http.response.start", "status": 200, "headers": []}
END: Message = {"type": "http.response.body", "body": b"answer"}


async def respond(scope: Scope, receive: Receive, send: Send) -> None:
    await send(START)
    await send(END)


class Client:
    """Sends messages one after the other."""

    def __init__(self, *bodies: bytes, gone: bool = False) -> None:
        last = len(bodies) - 1
        self.left = [part(body, index < last or gone) for index, body in enumerate(bodies)]
        self.left += [{"type": "http.disconnect"}] if gone else []

    async def receive(self) -> Message:
        return self.left.pop(0)


def part(body: bytes, more: bool) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


def reading(sink: RecordingSink, *, messages: Sequence[Message] = (START, END), **headers: str) -> MirroredRead:
    mirrored = MirroredRead(sink, "r", ScopedRequest(scope(**headers)), Client(b"sent", b"more").receive, LIMIT)
    for message in messages:
        mirrored.capture.sent(message)
    return mirrored


async def test_read_is_submitted_with_its_arrival() -> None:
    sink = RecordingSink()
    mirrored = reading(sink, host="a")
    await mirrored.prepare()
    mirrored.end("native", None)
    [(route, backend, arrival, recorded)] = sink.reads
    exchange = recorded
    assert (route, backend, exchange.status, exchange.body.data) == ("r", "native", 200, b"answer")
    assert arrival == ConnectionInfo("https", "1.1", ("10.0.0.7", 1), ("127.0.0.1", 8000), b"id-1", "/{x}")
    assert RequestSnapshot.of(exchange, arrival) == RequestSnapshot("GET", b"/x?q=1", ((b"host", b"a"),), b"", arrival)


async def test_read_records_whether_its_body_was_received() -> None:
    sink = RecordingSink()
    reading(sink, content_length="8").end("legacy", None)
    mirrored = reading(sink, content_length="8")
    assert [await mirrored.receive(), await mirrored.receive()] == [part(b"sent", True), part(b"more", False)]
    mirrored.end("legacy", None)
    assert [one[3].is_request_complete for one in sink.reads] == [False, True]
    assert sink.reads[1][3].request_body.data == b"sentmore"


@pytest.mark.parametrize(
    ("messages", "failure", "reason"),
    [
        ((), None, "client_gone"),
        ((START,), None, "client_gone"),
        ((), "legacy_unreachable", "backend_unavailable"),
    ],
)
async def test_unanswered_read_is_skipped(messages: Sequence[Message], failure: str | None, reason: str) -> None:
    sink = RecordingSink()
    reading(sink, messages=messages).end("legacy", failure)
    assert (sink.skipped, sink.reads) == ([reason], [])


async def test_failure_of_the_served_side_is_an_outcome_to_compare() -> None:
    sink = RecordingSink()
    reading(sink, messages=()).end("legacy", "legacy_timeout")
    assert sink.reads[0][3].outcome == "hang"


def test_direct_read_beyond_the_limit_is_submitted_with_digests() -> None:
    sink, body = RecordingSink(), b"x" * (LIMIT + 1)
    [route] = parse("legacy: {url: 'http://a'}\nroutes: [{name: r, match: GET /x}]\n", {}).routes
    direct_read(route, body).submit(sink, LIMIT)
    [(name, served, connection, exchange)] = sink.reads
    assert (name, served, connection.request_id) == ("r", "legacy", b"id-1")
    assert (exchange.status, exchange.headers, exchange.body.length) == (200, ((b"etag", b"1"),), len(body))
    assert exchange.body.truncated


async def after_dry_run(
    sink: RecordingSink, *bodies: bytes, gone: bool = False, **headers: str
) -> tuple[MirroredDryRun, list[Any]]:
    """Finish a dry run; return the request that legacy then receives."""
    client = Client(*bodies, gone=gone)
    mirrored = MirroredDryRun(sink, "r", scope("POST", **headers), client.receive, LIMIT)
    await mirrored.prepare()
    count = len(bodies) + gone
    return mirrored, [await mirrored.receive() for _ in range(count)]


async def test_write_is_dry_run_whole_and_forwarded_in_parts() -> None:
    sink = RecordingSink()
    mirrored, received = await after_dry_run(sink, b"one", b"two")
    assert received == [part(b"one", True), part(b"two", False)]
    assert [(one.method, one.target, one.body) for one in sink.requests] == [("POST", b"/x?q=1", b"onetwo")]
    assert mirrored.capture is not None
    for message in (START, END):
        mirrored.capture.sent(message)
    mirrored.end("legacy", None)
    [(number, exchange)] = sink.compared
    assert (number, exchange.request_body.data, exchange.body.data) == (7, b"onetwo", b"answer")


async def test_write_that_native_served_after_all_is_not_compared() -> None:
    sink = RecordingSink()
    mirrored, _ = await after_dry_run(sink, b"one")
    mirrored.end("native", None)
    assert (sink.discarded, sink.compared) == ([(7, "backend_unavailable")], [])


@pytest.mark.parametrize("backend", ["legacy", "native"])
async def test_recorded_write_returns_its_bytes_to_the_budget(backend: Backend) -> None:
    budget = MemoryBudget(1000)
    recorded: Scope = {**scope("POST"), "state": {BUDGET_KEY: budget}}
    mirrored = MirroredDryRun(RecordingSink(), "r", recorded, Client(b"one").receive, LIMIT)
    await mirrored.prepare()
    await mirrored.receive()
    assert budget.used == 3
    mirrored.end(backend, None)
    assert budget.used == 0


async def test_write_without_a_dry_run_is_only_served() -> None:
    sink = RecordingSink(number=None)
    mirrored, received = await after_dry_run(sink, b"one", b"two")
    mirrored.end("legacy", None)
    assert mirrored.capture is None
    assert len(received) == 2
    assert (sink.compared, sink.skipped) == ([], [])


@pytest.mark.parametrize(
    ("bodies", "gone", "headers", "reason"),
    [
        ((b"123456", b"78901"), False, {}, "body_too_large"),
        ((b"1",), True, {}, "client_gone"),
    ],
)
async def test_long_or_interrupted_write_passes_unchanged(
    bodies: tuple[bytes, ...], gone: bool, headers: dict[str, str], reason: str
) -> None:
    sink = RecordingSink()
    mirrored, received = await after_dry_run(sink, *bodies, gone=gone, **headers)
    assert [one.get("body") for one in received] == [*bodies, None][: len(bodies) + gone]
    mirrored.end("legacy", None)
    assert (sink.skipped, sink.requests) == ([reason], [])


async def test_announced_length_over_the_limit_skips_at_once() -> None:
    sink = RecordingSink()
    never = asyncio.Event()

    async def receive() -> Message:
        await never.wait()
        return {}

    await MirroredDryRun(sink, "r", scope("POST", content_length="11"), receive, LIMIT).prepare()
    assert sink.skipped == ["body_too_large"]


async def test_mirrored_request_is_released_without_a_collection() -> None:
    made: list[ReferenceType[MirroredRequest]] = []

    class ReferringSink(RecordingSink):
        def mirror(self, *arguments: Any) -> MirroredRequest:
            mirrored = super().mirror(*arguments)
            made.append(ref(mirrored))
            return mirrored

    sink = ReferringSink()
    text = "legacy: {url: http://a}\nnative: a:b\nroutes: [{name: a, match: GET /a, native: 100%, shadow: 100%}]\n"
    gateway = Gateway(RoutingSnapshot.of(parse(text, {}), respond, respond), shadow=sink)
    gc.disable()
    try:
        async with serving(gateway) as port:
            await exchange(port, b"GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert [each() for each in made] == [None]
    finally:
        gc.enable()
    assert len(sink.reads) == 1

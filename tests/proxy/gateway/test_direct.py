"""Requests that are served without a task: the client and the records cannot tell them from others."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from starlette.types import Receive, Scope, Send

from proxy.backends.legacy import PoolLimits, Timeouts, Upstream
from proxy.comparison.exchange import Exchange
from proxy.config.loading import parse
from proxy.gateway.circuit_breaker import CircuitBreaker
from proxy.gateway.gateway import Gateway
from proxy.gateway.request_context import context_of
from proxy.gateway.request_record import CLIENT_CLOSED_REQUEST, RequestRecord
from proxy.gateway.snapshot import RoutingSnapshot
from proxy.gateway.starting import Progressed, StartedRequest, StartRequest
from proxy.shadow.messages import ConnectionInfo
from proxy.types import Backend, HeaderFields
from tests.support.profile import spread
from tests.support.recording_sink import RecordingSink
from tests.support.sockets import Script, read_head, reset, scripted, serving
from tests.support.upstream_responses import RESPONSES, Response
from tests.support.waiting import HANG_TIMEOUT

CONFIG = "legacy: {url: 'http://127.0.0.1:1'}\nroutes: [{name: all, match: 'GET /*'}]\n"
SHADOWED = "legacy: {url: 'http://127.0.0.1:1'}\nnative: x:y\nroutes: [{name: all, match: 'GET /*', shadow: 100%}]\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nKeep-Alive: timeout=5\r\nConnection: keep-alive\r\n\r\nok"
FIRST = b"GET /first HTTP/1.1\r\nHost: a\r\n\r\n"
LAST = b"GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
PLANNED_AFTER = 5
"""Requests with the same head after which the last ones have a plan."""
GETS = [each for each in RESPONSES if each.method == "GET"]
DELIVERED = [(each, cut) for cut in (False, True) for each in spread(GETS, cut, 2)]
"""Responses, and whether they come in two parts."""
VOLATILE = re.compile(rb"(date|x-request-id): [^\r]*")


@dataclass
class Legacy:
    """The parts of legacy that the gateway uses: `started` without a task, `resumed` of these in one, `awaited`."""

    upstream: Upstream
    starts: bool
    started: int = 0
    resumed: int = 0
    awaited: int = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if context_of(scope).started is not None:
            self.resumed += 1
        else:
            self.awaited += 1
        await self.upstream(scope, receive, send)

    def prepare(
        self, method: str, target: bytes, headers: HeaderFields, timeouts: Timeouts | None
    ) -> StartRequest | None:
        prepared = self.upstream.prepare(method, target, headers, timeouts) if self.starts else None

        def start(request_id: bytes, progressed: Progressed) -> StartedRequest | None:
            started = prepared(request_id, progressed) if prepared is not None else None
            self.started += started is not None
            return started

        return start


@dataclass
class Setup:
    """A gateway under test."""

    port: int
    legacy: Legacy
    records: list[RequestRecord] = field(default_factory=list)

    async def converse(self, *requests: bytes) -> bytes:
        """Send requests, each after the answer to the one before; return the last answer, which ends the connection."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            async with asyncio.timeout(HANG_TIMEOUT):
                for request in requests[:-1]:
                    writer.write(request)
                    await reader.readuntil(b"\r\n\r\nok")
                writer.write(requests[-1])
                return await reader.read()
        finally:
            writer.close()

    async def recorded(self, number: int) -> RequestRecord:
        async with asyncio.timeout(HANG_TIMEOUT):
            while len(self.records) < number:
                await asyncio.sleep(0.005)
        return self.records[number - 1]


@asynccontextmanager
async def gateway(
    script: Script, *, starts: bool = True, response_timeout: float = 30.0, shadow: RecordingSink | None = None
) -> AsyncIterator[Setup]:
    async with scripted(script) as legacy_port:
        upstream = Upstream(
            f"http://127.0.0.1:{legacy_port}", Timeouts(connect=10.0, response=response_timeout), PoolLimits(8)
        )
        legacy, records = Legacy(upstream, starts), list[RequestRecord]()
        config = parse(CONFIG if shadow is None else SHADOWED, {}, "test.yaml")
        snapshot = RoutingSnapshot.of(config, CircuitBreaker(legacy, 3, 60.0), None)
        async with serving(Gateway(snapshot, [records.append], shadow=shadow)) as port:
            yield Setup(port, legacy, records)
        upstream.close()


def answering(*parts: bytes, delay: float = 0.02) -> Script:
    """Answer the request for `/last` in parts, with `delay` seconds between them, and close; all others by `OK`."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while not (await read_head(reader)).startswith(b"GET /last"):
            writer.write(OK)
        for part in parts:
            writer.write(part)
            await asyncio.sleep(delay)

    return script


@pytest.mark.parametrize(("response", "cut"), DELIVERED, ids=lambda value: getattr(value, "name", value))
async def test_answer_is_equal_with_and_without_a_task(response: Response, cut: bool) -> None:
    half = len(response.raw) // 2
    parts = (response.raw[:half], response.raw[half:]) if cut else (response.raw,)
    answers, outcomes = [], []
    for starts in (True, False):
        async with gateway(answering(*parts), starts=starts) as setup:
            answers.append(VOLATILE.sub(b"", await setup.converse(FIRST, LAST)))
            record = await setup.recorded(2)
            outcomes.append((record.status, record.failure, record.cause, record.route, record.backend))
            assert setup.legacy.started == starts
    assert answers[0] == answers[1]
    assert outcomes[0] == outcomes[1]


@pytest.mark.parametrize("response", spread(GETS, 0, 2), ids=lambda response: response.name)
async def test_shadow_message_is_equal_with_and_without_a_task(response: Response) -> None:
    submitted = []
    for starts in (True, False):
        shadow = RecordingSink()
        async with gateway(answering(response.raw), starts=starts, shadow=shadow) as setup:
            await setup.converse(FIRST, LAST)
            await setup.recorded(2)
            assert setup.legacy.started == starts
        submitted.append((exchanges_of(shadow), shadow.skipped))
    assert submitted[0] == submitted[1]
    assert len(submitted[0][0]) + len(submitted[0][1]) == 2


async def test_shadow_message_is_equal_with_and_without_a_plan() -> None:
    first = FIRST.replace(b"\r\n\r\n", b"\r\nX-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: https\r\n\r\n")
    async with gateway(answering(OK), shadow=(shadow := RecordingSink())) as setup:
        await setup.converse(*[first] * PLANNED_AFTER, LAST)
        await setup.recorded(PLANNED_AFTER + 1)
    exchanges = exchanges_of(shadow)[:PLANNED_AFTER]
    connections = [connection._replace(request_id=b"") for _, _, connection, _ in shadow.reads[:PLANNED_AFTER]]
    assert exchanges == exchanges[:1] * PLANNED_AFTER
    assert connections == connections[:1] * PLANNED_AFTER
    assert len({connection.request_id for _, _, connection, _ in shadow.reads}) == PLANNED_AFTER + 1


def exchanges_of(shadow: RecordingSink) -> list[Exchange]:
    """Return the exchanges without their times; a task may end before the end of an empty body has passed."""
    return [
        exchange._replace(started=0.0, head=0.0, total=0.0, is_request_complete=True) for *_, exchange in shadow.reads
    ]


async def test_large_answer_reaches_client_and_shadow_whole() -> None:
    body, shadow = b"x" * 200_000, RecordingSink()
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    async with gateway(answering(answer), shadow=shadow) as setup:
        assert (await setup.converse(FIRST, LAST)).endswith(body)
        await setup.recorded(2)
    [_, (*_, exchange)] = shadow.reads
    assert exchange.body.data == body


async def test_failing_recorder_does_not_affect_the_answer() -> None:
    class Failing(RecordingSink):
        def submit_read(self, route: str, served: Backend, connection: ConnectionInfo, exchange: Exchange) -> None:
            raise RuntimeError

    async with gateway(answering(OK), shadow=Failing()) as setup:
        assert (await setup.converse(FIRST, LAST)).endswith(b"ok")
        assert (await setup.recorded(2)).status == 200


@pytest.mark.parametrize("shadow", [None, RecordingSink()], ids=["no-shadow", "shadow"])
async def test_complete_answers_use_no_task(shadow: RecordingSink | None) -> None:
    counts = list[tuple[int, int, int]]()
    while (1, 5, 0) not in counts and len(counts) < 5:  # an answer that a pause delays by 0.2 s gets a task
        async with gateway(answering(OK), shadow=shadow) as setup:
            await setup.converse(*[FIRST] * 5, LAST)
            counts.append((setup.legacy.awaited, setup.legacy.started, setup.legacy.resumed))
    assert counts[-1] == (1, 5, 0)


async def test_slow_answer_continues_in_a_task() -> None:
    async with gateway(answering(b"", OK, delay=0.5)) as setup:
        assert (await setup.converse(FIRST, LAST)).endswith(b"ok")
        assert (setup.legacy.started, setup.legacy.resumed) == (1, 1)


async def test_missing_answer_is_a_timeout() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(OK)
        await reader.read()

    async with gateway(script, response_timeout=1.0) as setup:
        assert b"504 Gateway Timeout" in await setup.converse(FIRST, LAST)
        assert (await setup.recorded(2)).failure == "legacy_timeout"


async def test_reset_connection_is_replaced_once() -> None:
    connections = 0

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await read_head(reader)
        writer.write(OK)
        await read_head(reader)
        reset(writer)

    async with gateway(script) as setup:
        assert (await setup.converse(FIRST, LAST)).endswith(b"ok")
        assert (setup.legacy.started, setup.legacy.resumed, connections) == (1, 1, 2)


async def test_client_disconnect_ends_the_request_at_legacy() -> None:
    forwarded, closed = asyncio.Event(), asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(OK)
        await read_head(reader)
        forwarded.set()
        await reader.read()
        closed.set()

    async with gateway(script) as setup:
        reader, writer = await asyncio.open_connection("127.0.0.1", setup.port)
        writer.write(FIRST)
        await reader.readuntil(b"\r\n\r\nok")
        writer.write(LAST)
        await forwarded.wait()
        reset(writer)
        async with asyncio.timeout(HANG_TIMEOUT):
            await closed.wait()
        assert (await setup.recorded(2)).status == CLIENT_CLOSED_REQUEST


async def test_large_answer_is_paced_by_the_client() -> None:
    body = b"x" * 200_000
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n" + body
    async with gateway(answering(answer)) as setup:
        assert (await setup.converse(FIRST, LAST)).endswith(body)


async def test_request_with_a_body_is_awaited() -> None:
    body = b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab"

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_head(reader)
            await reader.readexactly(2)
            writer.write(OK)

    async with gateway(script) as setup:
        await setup.converse(body, body.replace(b"Host", b"Connection: close\r\nHost"))
        assert (setup.legacy.awaited, setup.legacy.started) == (2, 0)

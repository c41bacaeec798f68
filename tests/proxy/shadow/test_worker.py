"""The shadow worker: messages over its channel, requests to the other backend, and their results."""

from __future__ import annotations

import asyncio
import socket
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from proxy.backends.native import NativeUnavailable
from proxy.comparison.exchange import Body
from proxy.config.loading import parse
from proxy.database.database import Database
from proxy.observability.tracing import Tracing
from proxy.reports.models import Span
from proxy.reports.reader import ReportReader
from proxy.runtime.message_channel import MessageChannel
from proxy.shadow.messages import (
    Compared,
    CompareRead,
    Configure,
    Discard,
    DryRun,
    DryRunFinished,
    LegacyServed,
    Ping,
    Pong,
    Ready,
    ToGateway,
    ToShadow,
)
from proxy.shadow.worker import Worker
from proxy.types import Backend
from tests.support import shadowed
from tests.support.exchanges import exchange
from tests.support.shadowed_requests import CONNECTION, snapshot
from tests.support.sockets import serving
from tests.support.volatile_content import digests_of
from tests.support.waiting import HANG_TIMEOUT, until_async

CONTRACT = """
openapi: 3.1.0
info: {title: a, version: "1"}
paths:
  /x/wrong:
    get:
      operationId: wrong
      responses: {"200": {description: a, content: {application/json: {schema: {required: [a]}}}}}
  /x/meant:
    get: {operationId: meant, responses: {"200": {description: a, content: {application/json: {schema: {}}}}}}
"""
DIVERGENCES = """
- id: meant
  operation: GET /x/meant
  legacy: says 1
  native: says 2
  reason: why not
  since: 0.1.0
  when: {native: {body: {a: 2}}}
"""


class Gateway:
    """The gateway's end of the link."""

    def __init__(self) -> None:
        self.messages: asyncio.Queue[ToGateway] = asyncio.Queue()
        self.link: MessageChannel[ToGateway, ToShadow] = MessageChannel(self.messages.put_nowait)
        self.working: asyncio.Task[None] | None = None

    async def next(self) -> ToGateway:
        async with asyncio.timeout(HANG_TIMEOUT):
            return await self.messages.get()

    def read(
        self,
        path: str,
        body: bytes = b'{"a":1}',
        served_by: Backend = "legacy",
        number: int = 1,
        seconds: float = HANG_TIMEOUT,
    ) -> None:
        served = exchange(body, target=f"/x/{path}", sent_headers=((b"host", b"clinic.example"),))
        self.link.send(CompareRead(number, "all", served_by, CONNECTION, served, time.monotonic() + seconds))

    async def verdict(self, path: str, body: bytes = b'{"a":1}', served_by: Backend = "legacy") -> Compared:
        self.read(path, body, served_by)
        message = await self.next()
        assert isinstance(message, Compared)
        return message

    def dry_run(self, path: str, number: int = 1, seconds: float = HANG_TIMEOUT) -> None:
        self.link.send(DryRun(number, "all", snapshot(f"/x/{path}", "POST", b"text"), time.monotonic() + seconds))


def config(port: int, app: str = "with_dry_runs", more: str = "", mongodb: str = "{url: ''}") -> str:
    return f"""
legacy: {{url: http://127.0.0.1:{port}, timeouts: {{response: 60s}}}}
native: tests.support.shadowed:{app}
mongodb: {mongodb}
shadow: {{concurrency: 2, noise: 0%}}
{more}
routes: [{{name: all, match: "* /*", shadow: {{share: 100%, writes: dry_run}}, timeouts: {{idle: 60s}}}}]
"""


@asynccontextmanager
async def linked(
    app: str = "with_dry_runs",
    contracts: Path = Path("nowhere"),
    more: str = "",
    worker: Worker | None = None,
    mongodb: str = "{url: ''}",
) -> AsyncIterator[Gateway]:
    """Run a worker in this process."""
    async with serving(shadowed.legacy) as port:
        near, far = socket.socketpair()
        gateway = Gateway()
        await gateway.link.open(near)
        gateway.working = asyncio.create_task((worker or Worker()).run(far))
        gateway.link.send(Configure(parse(config(port, app, more, mongodb), {}), contracts))
        try:
            yield gateway
        finally:
            gateway.link.close()
            with suppress(NativeUnavailable):
                await gateway.working


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    (tmp_path / "contracts").mkdir()
    (tmp_path / "contracts" / "openapi.yaml").write_text(CONTRACT)
    (tmp_path / "contracts" / "divergences.yaml").write_text(DIVERGENCES)
    async with linked(contracts=tmp_path) as linked_gateway:
        assert await linked_gateway.next() == Ready(supports_dry_run=True, supports_conversations=True)
        yield linked_gateway


async def test_ready_worker_reports_the_declarations_of_its_app(gateway: Gateway) -> None:
    gateway.link.send(Ping())
    assert await gateway.next() == Pong()
    async with linked("plain") as other:
        assert await other.next() == Ready(supports_dry_run=False)


async def test_every_verdict(gateway: Gateway) -> None:
    assert await gateway.verdict("same") == Compared(1, "match")
    assert await gateway.verdict("same", b'{"a":2}') == Compared(1, "skipped", "changed")
    assert await gateway.verdict("meant") == Compared(1, "declared")
    assert await gateway.verdict("other") == Compared(1, "mismatch")
    assert await gateway.verdict("raise") == Compared(1, "mismatch")
    assert await gateway.verdict("wrong", b'{"b":1}') == Compared(1, "violation")
    assert await gateway.verdict("huge") == Compared(1, "skipped", "body_too_large")


async def test_requests_served_by_native_run_on_legacy(gateway: Gateway) -> None:
    assert await gateway.verdict("same", served_by="native") == Compared(1, "match")
    assert await gateway.verdict("other", b'{"a":2}', "native") == Compared(1, "mismatch")


async def test_unreachable_legacy_is_skipped(gateway: Gateway) -> None:
    gateway.link.send(Configure(parse(config(9), {}), Path("nowhere")))
    comparison = Compared(1, "match")
    while comparison.verdict != "skipped":  # the new configuration takes a moment
        comparison = await gateway.verdict("same", served_by="native")
    assert comparison.reason == "backend_unavailable"


async def test_deadline_counts_from_when_the_request_was_served(gateway: Gateway) -> None:
    gateway.read("hang", number=1, seconds=0.1)
    gateway.read("hang", number=2, seconds=0.1)
    gateway.read("same", number=3, seconds=0.05)  # waits for room until it is too late
    gateway.read("same", number=4)
    results = {await gateway.next() for _ in range(4)}
    assert results == {*(Compared(number, "skipped", "timeout") for number in (1, 2, 3)), Compared(4, "match")}


async def test_read_that_waited_too_long_is_skipped_and_reported(mongodb_url: str) -> None:
    database = Database(mongodb_url, f"test_worker_{uuid.uuid4().hex[:8]}")
    async with linked(mongodb=f"{{url: '{mongodb_url}', database: {database.name}}}") as gateway:
        assert isinstance(await gateway.next(), Ready)
        gateway.read("same", seconds=-1.0)
        assert await gateway.next() == Compared(1, "skipped", "timeout")
        reading, span = ReportReader(database), Span(time.time() - 600, time.time() + 600)
        await until_async(lambda: reading.routes(span))  # the last write has little time when the worker ends
        [route] = await reading.routes(span)
    assert route.skipped == {"timeout": 1}
    await database.command({"dropDatabase": 1})
    await database.close()


async def test_dry_run_is_compared_with_legacys_answer(gateway: Gateway) -> None:
    for body, verdict in ((b'{"wrote":"text"}', "match"), (b'{"wrote":"other"}', "mismatch")):
        gateway.dry_run("same")
        assert await gateway.next() == DryRunFinished(1)
        served = exchange(body, status=201, target="/x/same", method="POST", sent=b"text")
        gateway.link.send(LegacyServed(1, served))
        comparison = await gateway.next()
        assert isinstance(comparison, Compared)
        assert comparison.verdict == verdict


async def test_hanging_reads_leave_room_for_dry_runs(gateway: Gateway) -> None:
    for number in range(5, 9):
        gateway.read("hang", number=number)
    gateway.dry_run("same")
    assert await gateway.next() == DryRunFinished(1)


async def test_failed_dry_run_is_not_compared(gateway: Gateway) -> None:
    gateway.dry_run("decline")
    assert await gateway.next() == DryRunFinished(1, "write_not_allowed")
    gateway.dry_run("hang", 2, 0.05)
    assert await gateway.next() == DryRunFinished(2, "timeout")
    for number in (1, 2, 99):
        gateway.link.send(LegacyServed(number, exchange()))
        gateway.link.send(Discard(number))
    gateway.link.send(Ping())
    assert await gateway.next() == Pong()


async def test_discarded_dry_run_is_cancelled(gateway: Gateway) -> None:
    gateway.dry_run("hang")
    gateway.link.send(Discard(1))
    gateway.link.send(LegacyServed(1, exchange()))
    gateway.link.send(Ping())
    assert await gateway.next() == Pong()


@pytest.mark.parametrize("write", [False, True])
async def test_uncancellable_app_ends_the_process(write: bool) -> None:
    shadowed.RELENTING.clear()
    async with linked(worker=Worker(cancel_timeout=0.05)) as gateway:
        await gateway.next()
        async with asyncio.timeout(HANG_TIMEOUT):
            while not gateway.link.closed.is_set():  # one that is late before it begins is skipped
                if write:
                    gateway.dry_run("stubborn", seconds=0.05)
                else:
                    gateway.read("stubborn", seconds=0.05)
                await asyncio.sleep(0.1)
        shadowed.RELENTING.append(True)


async def test_failed_start_of_the_app_raises(caplog: pytest.LogCaptureFixture) -> None:
    async with linked("faulty") as gateway:
        assert gateway.working is not None
        with pytest.raises(NativeUnavailable, match="faulty"):
            await gateway.working


async def test_invalid_contracts_keep_the_previous_ones(
    gateway: Gateway, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "contracts" / "openapi.yaml").write_text("openapi: 7")
    gateway.link.send(Configure(parse(config(9), {}), tmp_path))
    while "invalid contracts" not in caplog.text:
        await asyncio.sleep(0.01)
    assert await gateway.verdict("meant") == Compared(1, "declared")


async def test_large_answer_is_compared_by_digests(gateway: Gateway) -> None:
    body = shadowed.MEGABYTE * 100
    served = exchange(b"", "text/plain", target="/x/huge")
    digest = Body(b"", len(body), digests_of(body).blocks(), len(body))
    gateway.link.send(
        CompareRead(1, "all", "legacy", CONNECTION, served._replace(body=digest), time.monotonic() + HANG_TIMEOUT)
    )
    assert await gateway.next() == Compared(1, "match")


async def test_requests_of_the_worker_are_traced() -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    async with linked(worker=Worker(configure_tracing=lambda env: Tracing(provider))) as gateway:
        await gateway.next()
        gateway.read("same")
        await gateway.next()
        gateway.dry_run("same", 2)
        await gateway.next()
    assert [span.name for span in exporter.get_finished_spans()] == ["shadow native", "shadow native"]

"""The gateway with a shadow process, which neither delays nor changes the answers that clients get.

Real sockets, real processes. One gateway serves most tests, each of which begins with a running shadow process.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from websockets.asyncio.client import connect

from proxy.backends.legacy import PoolLimits, Timeouts, Upstream
from proxy.backends.native import Native
from proxy.config.loading import parse
from proxy.gateway.gateway import Gateway
from proxy.gateway.request_record import ComparisonRecord
from proxy.gateway.snapshot import RoutingSnapshot
from proxy.observability import metrics
from proxy.observability.process_metrics import resident_memory
from proxy.reports.events import SkippedEvent
from proxy.shadow import ShadowClient
from proxy.shadow.direct_reads import READS_PER_STEP
from proxy.shadow.load_shedder import CpuLoadShedder, RouteFloors
from proxy.shadow.timings import ShadowTimings
from tests.support import shadowed
from tests.support.samples import value_of
from tests.support.shadowed_requests import direct_read
from tests.support.sockets import exchange, serving
from tests.support.waiting import HANG_TIMEOUT, PROMPT_TIMEOUT, until

pytestmark = [pytest.mark.asyncio(loop_scope="module")]

ROUTES = """
bucketing: {key: header:x-caller, salt: test}
shadow: {concurrency: 2, queue: 4, deadline: 60s, dry_run_timeout: 60s, max_body: 64KiB, noise: 0%, max_cpu_wait: 100%}
routes:
  - {name: native, match: "* /native/*", native: 100%, shadow: 100%}
  - {name: writes, match: "* /writes/*", shadow: {share: 100%, writes: dry_run}}
  - {name: half, match: "GET /half/{id}", shadow: 50%}
  - {name: pinned, match: "GET /pinned/{id}", pin: legacy, shadow: 50%}
  - {name: aside, match: "* /aside/*"}
  - {name: legacy, match: "* /*", shadow: 100%}
  - {name: stream, match: "WS /stream/{behaviour}", shadow: 100%}
  - {name: native.stream, match: "WS /native", native: 100%, shadow: 100%}
"""
SHORT = "deadline: 1s, dry_run_timeout: 400ms"
LONGER = "deadline: 3s, dry_run_timeout: 3s"
"""For requests that are under way together: no pause between them may exceed these limits."""
SWIFT = ShadowTimings(0.05, HANG_TIMEOUT, retry_delays=(0.1, 1.0), publish_delay=0.01, niceness=0)
"""Without a lower priority: load of others must not decide a test."""


class Harness:
    """A gateway, its two backends, its shadow process, and the shadow's results."""

    def __init__(
        self,
        shadow: ShadowClient,
        text: str,
        port: int,
        comparisons: list[ComparisonRecord],
        skipped: list[SkippedEvent],
    ) -> None:
        self.shadow, self.port, self.comparisons, self.skipped = shadow, port, comparisons, skipped
        self.text = text

    async def request(self, path: str, method: str = "GET", body: bytes = b"", *headers: str) -> bytes:
        """Return the answer's status, its headers without the date and the request id, and its body."""
        length = [f"Content-Length: {len(body)}"] if body else []
        lines = [f"{method} {path} HTTP/1.1", "Host: a", "Connection: close", *headers, *length, "", ""]
        answer = await exchange(self.port, "\r\n".join(lines).encode() + body)
        head, _, rest = answer.partition(b"\r\n\r\n")
        retained = [line for line in head.split(b"\r\n") if not line.startswith((b"date:", b"x-request-id:"))]
        return b"\r\n".join(retained) + b"\r\n\r\n" + rest

    async def compared(self, path: str, method: str = "GET", body: bytes = b"", *headers: str) -> ComparisonRecord:
        """Send one request and return its comparison."""
        before = len(self.comparisons)
        await self.request(path, method, body, *headers)
        while len(self.comparisons) == before:
            await asyncio.sleep(0.005)
        return self.comparisons[before]

    async def conversed(self, path: str, message: str = "hello") -> ComparisonRecord:
        """Hold one conversation and return its comparison."""
        before = len(self.comparisons)
        url = f"ws://127.0.0.1:{self.port}{path}"
        async with connect(url, compression=None, proxy=None, max_size=None) as socket:
            await socket.send(message)
            assert await socket.recv() == message
        while len(self.comparisons) == before:
            await asyncio.sleep(0.005)
        return self.comparisons[before]

    @contextmanager
    def reloaded(self, before: str, after: str) -> Iterator[None]:
        """Apply a configuration that differs in one text."""
        assert before in self.text
        self.shadow.apply_config(parse(self.text.replace(before, after), {}))
        try:
            yield
        finally:
            self.shadow.apply_config(parse(self.text, {}))

    def impatient(self, limits: str = SHORT) -> AbstractContextManager[None]:
        """Give requests short limits; those of other tests are longer than a process may be paused."""
        return self.reloaded("deadline: 60s, dry_run_timeout: 60s", limits)

    async def ready(self) -> None:
        async with asyncio.timeout(HANG_TIMEOUT):
            while not self.shadow.ready:
                await asyncio.sleep(0.02)

    async def gone(self) -> None:
        async with asyncio.timeout(HANG_TIMEOUT):
            while self.shadow.pid is not None:
                await asyncio.sleep(0.005)

    async def quiet(self) -> None:
        """Wait until nothing is outstanding and all is reported."""
        async with asyncio.timeout(HANG_TIMEOUT):
            while self.shadow.pending:
                await asyncio.sleep(0.005)
            await asyncio.sleep(0.03)


@asynccontextmanager
async def running_gateway(
    app: str = "with_dry_runs", timings: ShadowTimings = SWIFT, **parts: Any
) -> AsyncIterator[Harness]:
    comparisons, skipped = list[ComparisonRecord](), list[SkippedEvent]()
    async with AsyncExitStack() as stack:
        port = await stack.enter_async_context(serving(shadowed.legacy))
        text = f"legacy: {{url: 'http://127.0.0.1:{port}'}}\nnative: tests.support.shadowed:{app}\n{ROUTES}"
        config = parse(text, {})
        upstream, native = Upstream(config.legacy.url, Timeouts(), PoolLimits(64)), Native(str(config.native))
        stack.callback(upstream.close)
        await native.start()
        stack.push_async_callback(native.stop)

        def record(compared: ComparisonRecord) -> None:
            comparisons.extend([replace(compared, number=1)] * compared.number)

        shadow = ShadowClient(config, Path("nowhere"), [record], skipped.append, timings=timings, **parts)
        await shadow.start()
        stack.push_async_callback(shadow.stop)
        gateway = Gateway(RoutingSnapshot.of(config, upstream, native), (), None, shadow)
        harness = Harness(shadow, text, await stack.enter_async_context(serving(gateway)), comparisons, skipped)
        await harness.ready()
        yield harness


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared() -> AsyncIterator[Harness]:
    async with running_gateway() as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def harness(shared: Harness) -> Harness:
    """Return the shared harness once nothing is outstanding and its process, which a test may have ended, runs."""
    await shared.quiet()
    await shared.ready()
    return shared


async def test_reads_run_on_the_other_backend(harness: Harness) -> None:
    assert await harness.compared("/legacy/same?x=1") == ComparisonRecord("legacy", "legacy", "match")
    assert await harness.compared("/legacy/other") == ComparisonRecord("legacy", "legacy", "mismatch")
    assert await harness.compared("/native/same") == ComparisonRecord("native", "native", "match")
    assert await harness.compared("/native/other") == ComparisonRecord("native", "native", "mismatch")
    assert await harness.compared("/legacy/same", "HEAD") == ComparisonRecord("legacy", "legacy", "match")


async def test_unshadowed_route_runs_once(harness: Harness) -> None:
    before = len(harness.comparisons)
    await harness.request("/aside/crash")
    await harness.request("/aside/same", "POST", b"text")
    assert (len(harness.comparisons), harness.shadow.pending) == (before, 0)


@pytest.mark.parametrize(
    ("path", "verdict", "reason"),
    [
        ("same", "match", None),
        ("raise", "mismatch", None),
        ("half", "mismatch", None),
        ("hang", "skipped", "timeout"),
        ("huge", "skipped", "body_too_large"),
    ],
)
async def test_answer_is_equal_with_and_without_a_shadow(
    harness: Harness, path: str, verdict: str, reason: str | None
) -> None:
    alone = await harness.request(f"/aside/{path}")
    before = len(harness.comparisons)
    with harness.impatient() if path == "hang" else nullcontext():
        assert await harness.request(f"/legacy/{path}") == alone
        if path == "hang":
            assert len(harness.comparisons) == before
        await until(lambda: len(harness.comparisons) > before)
    assert (harness.comparisons[-1].verdict, harness.comparisons[-1].reason) == (verdict, reason)


async def test_requests_over_the_limits_are_skipped_and_counted(harness: Harness) -> None:
    before, skips_before = len(harness.comparisons), len(harness.skipped)
    with harness.impatient(LONGER):
        await asyncio.gather(*(harness.request("/legacy/hang") for _ in range(10)))
    await until(lambda: len(harness.comparisons) == before + 10)  # reads are submitted in batches
    assert Counter(one.reason for one in harness.comparisons[before:]) == {"queue_full": 4, "timeout": 6}
    await until(lambda: sum(one.number for one in harness.skipped[skips_before:]) >= 4)  # in one event, or in several
    assert {one.reason for one in harness.skipped[skips_before:]} == {"queue_full"}  # the process notes the others
    assert (await harness.compared("/legacy/same")).verdict == "match"


async def test_reads_in_every_iteration_of_the_event_loop_are_compared(harness: Harness) -> None:
    # More come in each iteration than are prepared in it. The limits admit some of them, which reach the process: its
    # verdict is `changed`, because legacy does not repeat an answer that it has not given.
    [route] = [route for route in parse(harness.text, {}).routes if route.name == "legacy"]
    before, mirrored = len(harness.comparisons), 0
    async with asyncio.timeout(HANG_TIMEOUT):
        while all(one.reason == "queue_full" for one in harness.comparisons[before:]):
            for _ in range(2 * READS_PER_STEP):
                harness.shadow.mirror_direct(direct_read(route, b'{"a":1}', "/legacy/same"))
            mirrored += 2 * READS_PER_STEP
            await asyncio.sleep(0)
    await harness.quiet()
    assert len(harness.comparisons) - before == mirrored
    assert {one.reason for one in harness.comparisons[before:]} == {"queue_full", "changed"}


async def test_write_is_dry_run_on_native_and_served_by_legacy(harness: Harness) -> None:
    alone = await harness.request("/aside/same", "POST", b"text")
    assert await harness.request("/writes/same", "POST", b"text") == alone
    assert b'{"wrote": "text"}' not in alone
    await harness.quiet()
    assert harness.comparisons[-1] == ComparisonRecord("writes", "legacy", "match")
    assert await harness.compared("/writes/other", "DELETE", b"x") == ComparisonRecord("writes", "legacy", "mismatch")


@pytest.mark.parametrize(
    ("path", "reason", "shortest"),
    [("hang", "timeout", 0.4), ("decline", "write_not_allowed", 0.0)],
)
async def test_failed_dry_run_leaves_the_answer_unchanged(
    harness: Harness, path: str, reason: str, shortest: float
) -> None:
    alone = await harness.request("/aside/same", "PUT", b"text")
    before, started = len(harness.comparisons), time.monotonic()
    with harness.impatient() if path == "hang" else nullcontext():
        assert await harness.request(f"/writes/{path}", "PUT", b"text") == alone
    assert shortest <= time.monotonic() - started < shortest + PROMPT_TIMEOUT
    await harness.quiet()
    assert harness.comparisons[before:] == [ComparisonRecord("writes", "legacy", "skipped", reason)]  # type: ignore[arg-type]


async def test_hanging_dry_runs_do_not_queue(harness: Harness) -> None:
    before = len(harness.comparisons)
    with harness.impatient(LONGER):
        await asyncio.gather(*(harness.request("/writes/hang", "POST", b"x") for _ in range(8)))
    await harness.quiet()
    assert Counter(one.reason for one in harness.comparisons[before:]) == {"timeout": 2, "queue_full": 6}


async def test_write_without_a_dry_run_is_served_and_counted(harness: Harness) -> None:
    large = b"x" * 70_000
    for path, body, reason in (
        ("/native/same", b"x", "write_not_allowed"),  # never to legacy
        ("/legacy/same", b"x", "write_not_allowed"),  # `writes` is never
        ("/writes/same", large, "body_too_large"),
    ):
        before = len(harness.comparisons)
        answer = await harness.request(path, "POST", body)
        assert answer.endswith(b'"%b"}' % body)
        await harness.quiet()
        assert [one.reason for one in harness.comparisons[before:]] == [reason]


async def test_share_of_callers_is_shadowed_on_either_backend(harness: Harness) -> None:
    sampled: dict[str, set[int]] = {}
    for route in ("half", "pinned"):
        for caller in range(6):
            before = len(harness.comparisons)
            for number in range(2):
                await harness.request(f"/{route}/{number}", "GET", b"", f"X-Caller: {caller}")
            await harness.quiet()
            sampled.setdefault(route, set()).add(len(harness.comparisons) - before)
    assert sampled == {"half": {0, 2}, "pinned": {0, 2}}


async def test_unresponsive_process_is_replaced() -> None:
    async with running_gateway(timings=replace(SWIFT, heartbeat_timeout=3.0)) as harness:
        former = harness.shadow.pid
        assert await harness.request("/legacy/busy") == await harness.request("/aside/busy")
        assert harness.shadow.pid == former
        while harness.shadow.pid == former:
            await asyncio.sleep(0.01)
        await harness.quiet()
        assert harness.comparisons[-1] == ComparisonRecord("legacy", "legacy", "skipped", "worker_crashed")


async def test_process_over_its_memory_limit_is_replaced_and_counted(harness: Harness) -> None:
    # The native app leaks 200 MB a request; the machine loses at most the limit and one request.
    before, former = value_of(metrics.SHADOW_MEMORY_EXCEEDED), harness.shadow.pid
    assert former is not None
    assert 0 < (resident_memory(former) or 0) < 512 << 20
    alone = await harness.request("/aside/same")
    async with asyncio.timeout(HANG_TIMEOUT):
        while harness.shadow.pid == former:
            assert await harness.request("/legacy/leak") == alone
            assert (resident_memory(former) or 0) < 1 << 30
            await asyncio.sleep(0.2)
    assert value_of(metrics.SHADOW_MEMORY_EXCEEDED) == before + 1
    await harness.ready()
    assert (await harness.compared("/legacy/same")).verdict == "match"


async def test_killed_process_is_replaced_without_other_effects(harness: Harness) -> None:
    assert harness.shadow.pid is not None
    os.kill(harness.shadow.pid, signal.SIGKILL)
    while harness.shadow.ready:
        await asyncio.sleep(0.005)
    assert await harness.compared("/legacy/same") == ComparisonRecord(
        "legacy", "legacy", "skipped", "backend_unavailable"
    )
    assert (await harness.compared("/writes/same", "POST", b"x")).reason == "backend_unavailable"
    await harness.ready()
    assert (await harness.compared("/legacy/same")).verdict == "match"


async def test_crash_during_a_dry_run_leaves_the_answer_unchanged(harness: Harness) -> None:
    alone = await harness.request("/aside/same", "POST", b"text")
    assert await harness.request("/writes/crash", "POST", b"text") == alone
    await harness.quiet()
    assert harness.comparisons[-1] == ComparisonRecord("writes", "legacy", "skipped", "worker_crashed")


async def test_conversations_with_legacy_run_on_native(harness: Harness) -> None:
    assert await harness.conversed("/stream/same") == ComparisonRecord("stream", "legacy", "match")
    assert await harness.conversed("/stream/other") == ComparisonRecord("stream", "legacy", "mismatch")
    for path, reason in (("decline", "write_not_allowed"), ("crash", "worker_crashed")):
        record = await harness.conversed(f"/stream/{path}")
        assert (record.verdict, record.reason) == ("skipped", reason)
    assert (await harness.conversed("/native")).reason == "write_not_allowed"  # never to legacy


async def test_reload_changes_the_limit_of_held_conversations(harness: Harness) -> None:
    long = "x" * (3 << 20) + "y"
    with harness.reloaded("max_body: 64KiB", "max_body: 64KiB, websocket: {max_size: 16MiB, max_held: 4MiB}"):
        assert (await harness.conversed("/stream/same", long)).reason == "queue_full"
    with harness.reloaded("max_body: 64KiB", "max_body: 64KiB, websocket: {max_size: 16MiB, max_held: 16MiB}"):
        assert (await harness.conversed("/stream/same", long)).verdict == "match"


async def test_route_without_a_verdict_keeps_its_precedence() -> None:
    shedder, clock, reasons = CpuLoadShedder(lambda: None), [0.0], list[str | None]()
    shedder.share = 0.0
    async with running_gateway(load_shedder=shedder, floors=RouteFloors(lambda: clock[0], limit=0)) as harness:
        for clock[0] in (0.0, 0.5, 1.0):
            reasons.append((await harness.compared("/legacy/huge")).reason)
    assert reasons == ["body_too_large", "shed", "body_too_large"]


async def test_app_without_the_extension_gets_no_write() -> None:
    async with running_gateway("plain") as harness:
        assert (await harness.conversed("/stream/crash")).reason == "write_not_allowed"
        assert (await harness.compared("/writes/crash", "POST", b"x")).reason == "write_not_allowed"
        assert (await harness.compared("/legacy/same")).verdict == "match"
        config = parse("legacy: {url: 'http://127.0.0.1:1'}\nnative: tests.support.shadowed:plain\n", {})
        harness.shadow.apply_config(config)
        await harness.gone()
        assert (await harness.compared("/legacy/same")).reason == "backend_unavailable"

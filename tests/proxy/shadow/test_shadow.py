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
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

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
from proxy.reports.events import SkippedEvent
from proxy.shadow import ShadowClient, supervisor
from proxy.shadow.timings import ShadowTimings
from tests.support import shadowed
from tests.support.samples import value_of
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
SWIFT = ShadowTimings(ping_interval=0.05, retry_delays=(0.1, 1.0), publish_delay=0.01, niceness=0)
"""Without a lower priority: load of others must not decide a test."""


class Stand:
    """A gateway, its two backends, its shadow process, and the shadow's results."""

    def __init__(
        self, shadow: ShadowClient, text: str, port: int, heard: list[ComparisonRecord], noted: list[SkippedEvent]
    ) -> None:
        self.shadow, self.port, self.heard, self.noted = shadow, port, heard, noted
        self._text = text

    async def ask(self, path: str, method: str = "GET", body: bytes = b"", *headers: str) -> bytes:
        """Return the answer's status, its headers without the date and the request id, and its body."""
        length = [f"Content-Length: {len(body)}"] if body else []
        lines = [f"{method} {path} HTTP/1.1", "Host: a", "Connection: close", *headers, *length, "", ""]
        answer = await exchange(self.port, "\r\n".join(lines).encode() + body)
        head, _, rest = answer.partition(b"\r\n\r\n")
        kept = [line for line in head.split(b"\r\n") if not line.startswith((b"date:", b"x-request-id:"))]
        return b"\r\n".join(kept) + b"\r\n\r\n" + rest

    async def compared(self, path: str, method: str = "GET", body: bytes = b"", *headers: str) -> ComparisonRecord:
        """Send one request and return its comparison."""
        before = len(self.heard)
        await self.ask(path, method, body, *headers)
        while len(self.heard) == before:
            await asyncio.sleep(0.005)
        return self.heard[before]

    async def conversed(self, path: str) -> ComparisonRecord:
        """Hold one conversation and return its comparison."""
        before = len(self.heard)
        async with connect(f"ws://127.0.0.1:{self.port}{path}", compression=None, proxy=None) as socket:
            await socket.send("hello")
            assert await socket.recv() == "hello"
        while len(self.heard) == before:
            await asyncio.sleep(0.005)
        return self.heard[before]

    @contextmanager
    def impatient(self) -> Iterator[None]:
        """Give requests the limits of `SHORT`; those of other tests are longer than a process may be paused."""
        self.shadow.apply_config(parse(self._text.replace("deadline: 60s, dry_run_timeout: 60s", SHORT), {}))
        yield
        self.shadow.apply_config(parse(self._text, {}))

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
async def standing(app: str = "with_dry_runs", timings: ShadowTimings = SWIFT) -> AsyncIterator[Stand]:
    heard, noted = list[ComparisonRecord](), list[SkippedEvent]()
    async with AsyncExitStack() as stack:
        port = await stack.enter_async_context(serving(shadowed.legacy))
        text = f"legacy: {{url: 'http://127.0.0.1:{port}'}}\nnative: tests.support.shadowed:{app}\n{ROUTES}"
        config = parse(text, {})
        upstream, native = Upstream(config.legacy.url, Timeouts(), PoolLimits(64)), Native(str(config.native))
        stack.callback(upstream.close)
        await native.start()
        stack.push_async_callback(native.stop)

        def hear(compared: ComparisonRecord) -> None:
            heard.extend([replace(compared, number=1)] * compared.number)

        shadow = ShadowClient(config, Path("nowhere"), [hear], noted.append, timings=timings)
        await shadow.start()
        stack.push_async_callback(shadow.stop)
        gateway = Gateway(RoutingSnapshot.of(config, upstream, native), (), None, shadow)
        stand = Stand(shadow, text, await stack.enter_async_context(serving(gateway)), heard, noted)
        await stand.ready()
        yield stand


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared() -> AsyncIterator[Stand]:
    async with standing() as found:
        yield found


@pytest_asyncio.fixture(loop_scope="module")
async def stand(shared: Stand) -> Stand:
    """Return the shared stand once nothing is outstanding and its process, which a test may have ended, runs."""
    await shared.quiet()
    await shared.ready()
    return shared


async def test_reads_run_on_the_other_backend(stand: Stand) -> None:
    assert await stand.compared("/legacy/same?x=1") == ComparisonRecord("legacy", "legacy", "match")
    assert await stand.compared("/legacy/other") == ComparisonRecord("legacy", "legacy", "mismatch")
    assert await stand.compared("/native/same") == ComparisonRecord("native", "native", "match")
    assert await stand.compared("/native/other") == ComparisonRecord("native", "native", "mismatch")
    assert await stand.compared("/legacy/same", "HEAD") == ComparisonRecord("legacy", "legacy", "match")


async def test_unshadowed_route_runs_once(stand: Stand) -> None:
    before = len(stand.heard)
    await stand.ask("/aside/crash")
    await stand.ask("/aside/same", "POST", b"text")
    assert (len(stand.heard), stand.shadow.pending) == (before, 0)


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
    stand: Stand, path: str, verdict: str, reason: str | None
) -> None:
    alone = await stand.ask(f"/aside/{path}")
    before = len(stand.heard)
    with stand.impatient() if path == "hang" else nullcontext():
        assert await stand.ask(f"/legacy/{path}") == alone
    if path == "hang":
        assert len(stand.heard) == before
    while len(stand.heard) == before:
        await asyncio.sleep(0.005)
    assert (stand.heard[-1].verdict, stand.heard[-1].reason) == (verdict, reason)


async def test_requests_over_the_limits_are_skipped_and_counted(stand: Stand) -> None:
    before, noted = len(stand.heard), len(stand.noted)
    with stand.impatient():
        await asyncio.gather(*(stand.ask("/legacy/hang") for _ in range(10)))
    await until(lambda: stand.shadow.pending == 6)  # reads are submitted in batches
    await stand.quiet()
    assert Counter(one.reason for one in stand.heard[before:]) == {"queue_full": 4, "timeout": 6}
    await until(lambda: sum(one.number for one in stand.noted[noted:]) >= 4)  # in one event, or in several
    assert {one.reason for one in stand.noted[noted:]} == {"queue_full"}  # the process notes the others
    assert (await stand.compared("/legacy/same")).verdict == "match"


async def test_write_is_dry_run_on_native_and_served_by_legacy(stand: Stand) -> None:
    alone = await stand.ask("/aside/same", "POST", b"text")
    assert await stand.ask("/writes/same", "POST", b"text") == alone
    assert b'{"wrote": "text"}' not in alone
    await stand.quiet()
    assert stand.heard[-1] == ComparisonRecord("writes", "legacy", "match")
    assert await stand.compared("/writes/other", "DELETE", b"x") == ComparisonRecord("writes", "legacy", "mismatch")


@pytest.mark.parametrize(
    ("path", "reason", "shortest"),
    [("hang", "timeout", 0.4), ("decline", "write_not_allowed", 0.0)],
)
async def test_failed_dry_run_leaves_the_answer_unchanged(
    stand: Stand, path: str, reason: str, shortest: float
) -> None:
    alone = await stand.ask("/aside/same", "PUT", b"text")
    before, started = len(stand.heard), time.monotonic()
    with stand.impatient() if path == "hang" else nullcontext():
        assert await stand.ask(f"/writes/{path}", "PUT", b"text") == alone
    assert shortest <= time.monotonic() - started < shortest + PROMPT_TIMEOUT
    await stand.quiet()
    assert stand.heard[before:] == [ComparisonRecord("writes", "legacy", "skipped", reason)]  # type: ignore[arg-type]


async def test_hanging_dry_runs_do_not_queue(stand: Stand) -> None:
    before = len(stand.heard)
    with stand.impatient():
        await asyncio.gather(*(stand.ask("/writes/hang", "POST", b"x") for _ in range(8)))
    await stand.quiet()
    assert Counter(one.reason for one in stand.heard[before:]) == {"timeout": 2, "queue_full": 6}


async def test_write_without_a_dry_run_is_served_and_counted(stand: Stand) -> None:
    large = b"x" * 70_000
    for path, body, reason in (
        ("/native/same", b"x", "write_not_allowed"),  # never to legacy
        ("/legacy/same", b"x", "write_not_allowed"),  # `writes` is never
        ("/writes/same", large, "body_too_large"),
    ):
        before = len(stand.heard)
        answer = await stand.ask(path, "POST", body)
        assert answer.endswith(b'"%b"}' % body)
        await stand.quiet()
        assert [one.reason for one in stand.heard[before:]] == [reason]


async def test_share_of_callers_is_shadowed_on_either_backend(stand: Stand) -> None:
    sampled: dict[str, set[int]] = {}
    for route in ("half", "pinned"):
        for caller in range(6):
            before = len(stand.heard)
            for number in range(2):
                await stand.ask(f"/{route}/{number}", "GET", b"", f"X-Caller: {caller}")
            await stand.quiet()
            sampled.setdefault(route, set()).add(len(stand.heard) - before)
    assert sampled == {"half": {0, 2}, "pinned": {0, 2}}


async def test_unresponsive_process_is_replaced() -> None:
    async with standing(timings=replace(SWIFT, heartbeat_timeout=3.0)) as stand:
        former = stand.shadow.pid
        assert await stand.ask("/legacy/busy") == await stand.ask("/aside/busy")
        assert stand.shadow.pid == former
        while stand.shadow.pid == former:
            await asyncio.sleep(0.01)
        await stand.quiet()
        assert stand.heard[-1] == ComparisonRecord("legacy", "legacy", "skipped", "worker_crashed")


async def test_process_over_its_memory_limit_is_replaced_and_counted(stand: Stand) -> None:
    # The native app leaks 200 MB a request; the machine loses at most the limit and one request.
    before, former = value_of(metrics.SHADOW_MEMORY_EXCEEDED), stand.shadow.pid
    assert former is not None
    assert 0 < supervisor.resident_memory(former) < 512 << 20
    alone = await stand.ask("/aside/same")
    async with asyncio.timeout(60):
        while stand.shadow.pid == former:
            assert await stand.ask("/legacy/leak") == alone
            assert supervisor.resident_memory(former) < 1 << 30
            await asyncio.sleep(0.2)
    assert value_of(metrics.SHADOW_MEMORY_EXCEEDED) == before + 1
    await stand.ready()
    assert (await stand.compared("/legacy/same")).verdict == "match"


async def test_memory_of_an_ended_process_is_zero() -> None:
    assert supervisor.resident_memory(2**22 + 1) == 0


async def test_killed_process_is_replaced_without_other_effects(stand: Stand) -> None:
    assert stand.shadow.pid is not None
    os.kill(stand.shadow.pid, signal.SIGKILL)
    while stand.shadow.ready:
        await asyncio.sleep(0.005)
    assert await stand.compared("/legacy/same") == ComparisonRecord(
        "legacy", "legacy", "skipped", "backend_unavailable"
    )
    assert (await stand.compared("/writes/same", "POST", b"x")).reason == "backend_unavailable"
    await stand.ready()
    assert (await stand.compared("/legacy/same")).verdict == "match"


async def test_crash_during_a_dry_run_leaves_the_answer_unchanged(stand: Stand) -> None:
    alone = await stand.ask("/aside/same", "POST", b"text")
    assert await stand.ask("/writes/crash", "POST", b"text") == alone
    await stand.quiet()
    assert stand.heard[-1] == ComparisonRecord("writes", "legacy", "skipped", "worker_crashed")


async def test_conversations_with_legacy_run_on_native(stand: Stand) -> None:
    assert await stand.conversed("/stream/same") == ComparisonRecord("stream", "legacy", "match")
    assert await stand.conversed("/stream/other") == ComparisonRecord("stream", "legacy", "mismatch")
    for path, reason in (("decline", "write_not_allowed"), ("crash", "worker_crashed")):
        record = await stand.conversed(f"/stream/{path}")
        assert (record.verdict, record.reason) == ("skipped", reason)
    assert (await stand.conversed("/native")).reason == "write_not_allowed"  # never to legacy


async def test_app_without_the_extension_gets_no_write() -> None:
    async with standing("plain") as stand:
        assert (await stand.conversed("/stream/crash")).reason == "write_not_allowed"
        assert (await stand.compared("/writes/crash", "POST", b"x")).reason == "write_not_allowed"
        assert (await stand.compared("/legacy/same")).verdict == "match"
        config = parse("legacy: {url: 'http://127.0.0.1:1'}\nnative: tests.support.shadowed:plain\n", {})
        stand.shadow.apply_config(config)
        await stand.gone()
        assert (await stand.compared("/legacy/same")).reason == "backend_unavailable"

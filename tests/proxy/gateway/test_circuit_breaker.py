"""Legacy's circuit breaker: when it opens, which requests it lets through, and when it closes."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from proxy.gateway.circuit_breaker import CircuitBreaker
from proxy.gateway.errors import (
    AnswerTimeout,
    BadAnswer,
    CircuitOpen,
    ConnectTimeout,
    Failure,
    Overloaded,
    Reset,
    Unreachable,
    error_response,
)
from proxy.gateway.request_context import CONTEXT, RequestContext
from proxy.gateway.starting import StartedRequest, StartRequest
from proxy.gateway.timeouts import Timeouts
from proxy.types import HeaderFields

ANSWER: tuple[Message, ...] = (
    {"type": "http.response.start", "status": 200, "headers": []},
    {"type": "http.response.body", "body": b"ok"},
)


class Legacy:
    """An app that fails or answers as the test sets it; `request_count` counts its requests."""

    def __init__(self) -> None:
        self.failing: Exception | None = None
        self.request_count = 0
        self.rest: asyncio.Event | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.request_count += 1
        if self.failing is not None:
            raise self.failing
        await send(ANSWER[0])
        if self.rest is not None:
            await self.rest.wait()
        await send(ANSWER[1])


class StartedAnswer:
    """A request that was started without a task."""

    def finish(self) -> tuple[int, HeaderFields, bytes] | None:
        return 200, (), b"ok"


class PreparingLegacy(Legacy):
    """A legacy that starts requests without a task, if it `has_idle` connections."""

    has_idle = True

    def prepare(
        self, method: str, target: bytes, headers: HeaderFields, timeouts: Timeouts | None
    ) -> StartRequest | None:
        return None if method == "POST" else lambda identity, progressed: StartedAnswer() if self.has_idle else None


class Harness:
    """A breaker of three faults and a pause of a second, with a clock that the test moves."""

    def __init__(self) -> None:
        self.legacy = Legacy()
        self.app: ASGIApp = self.legacy
        self.now = 100.0
        self.changes: list[bool] = []
        self.breaker = CircuitBreaker(self._legacy, 3, 1.0, self.changes.append, lambda: self.now)

    async def _legacy(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)

    async def send_request(self, started: StartedRequest | None = None) -> str:
        """Send a request, or continue a started one; return the failure's code, or `answered`."""
        sent: list[Message] = []

        async def send(message: Message) -> None:
            sent.append(message)

        async def receive() -> Message:
            raise AssertionError("nobody reads")

        try:
            await self.breaker({"type": "http", CONTEXT: RequestContext(started=started)}, receive, send)
        except Failure as failure:
            return failure.code
        assert tuple(sent) == ANSWER
        return "answered"

    async def fail(self, times: int = 3) -> None:
        self.legacy.failing = Unreachable()
        for _ in range(times):
            assert await self.send_request() == "legacy_unreachable"


@pytest.fixture
def harness() -> Harness:
    return Harness()


async def test_closed_breaker_forwards(harness: Harness) -> None:
    assert [await harness.send_request() for _ in range(5)] == ["answered"] * 5
    assert harness.breaker.state == "closed"


async def test_consecutive_faults_open_the_breaker(harness: Harness) -> None:
    await harness.fail()
    assert harness.breaker.state == "open"
    assert await harness.send_request() == "legacy_down"
    assert (harness.legacy.request_count, harness.changes) == (3, [True])


async def test_separate_faults_keep_the_breaker_closed(harness: Harness) -> None:
    for _ in range(4):
        await harness.fail(2)
        harness.legacy.failing = None
        assert await harness.send_request() == "answered"


@pytest.mark.parametrize("failure", [Reset(), AnswerTimeout(), BadAnswer()])
async def test_other_failures_keep_the_breaker_closed(harness: Harness, failure: Exception) -> None:
    await harness.fail(2)
    harness.legacy.failing = failure
    for _ in range(5):
        await harness.send_request()
    assert harness.breaker.state == "closed"
    await harness.fail(2)
    assert harness.breaker.state == "closed"


async def leave(scope: Scope, receive: Receive, send: Send) -> None:
    """Return without an answer, as for a client that leaves before its request was sent."""


async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
    raise Overloaded


@pytest.mark.parametrize("app", [leave, refuse])
async def test_request_that_reached_nothing_ends_no_outage(harness: Harness, app: ASGIApp) -> None:
    await harness.fail()
    harness.now += 1.0
    harness.app = app
    with contextlib.suppress(AssertionError, Overloaded):
        await harness.send_request()
    assert harness.changes == [True]
    harness.app, harness.legacy.failing = harness.legacy, None
    assert await harness.send_request() == "answered"
    assert harness.changes == [True, False]


@pytest.mark.parametrize("app", [leave, refuse])
async def test_request_that_reached_nothing_ends_no_row_of_faults(harness: Harness, app: ASGIApp) -> None:
    await harness.fail(2)
    harness.app = app
    with contextlib.suppress(AssertionError):
        await harness.send_request()
    harness.app = harness.legacy
    await harness.fail(1)
    assert harness.breaker.state == "open"


async def test_open_breaker_admits_one_probe_after_the_pause(harness: Harness) -> None:
    await harness.fail()
    harness.legacy.failing, harness.legacy.rest = None, asyncio.Event()
    harness.now += 1.0
    harness.legacy.failing = ConnectTimeout()
    assert await harness.send_request() == "legacy_connect_timeout"
    assert [await harness.send_request() for _ in range(3)] == ["legacy_down"] * 3
    assert (harness.legacy.request_count, harness.changes) == (4, [True])


async def test_first_sign_of_an_answer_closes_the_breaker(harness: Harness) -> None:
    await harness.fail()
    harness.legacy.failing, harness.legacy.rest = None, asyncio.Event()
    harness.now += 1.0
    probe = asyncio.create_task(harness.send_request())
    await asyncio.sleep(0)
    assert harness.breaker.state == "closed"  # though the probe's answer is not complete
    other = asyncio.create_task(harness.send_request())
    harness.legacy.rest.set()
    assert [await probe, await other] == ["answered"] * 2
    assert harness.changes == [True, False]


async def test_requests_during_a_probe_are_refused(harness: Harness) -> None:
    await harness.fail()
    harness.now += 1.0
    go_on = asyncio.Event()

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        await go_on.wait()
        raise AnswerTimeout

    harness.app = slow
    probe = asyncio.create_task(harness.send_request())
    await asyncio.sleep(0)
    states = [harness.breaker.state]
    assert await harness.send_request() == "legacy_down"
    go_on.set()
    assert await probe == "legacy_timeout"  # it accepted a connection: it is there
    assert [*states, harness.breaker.state] == ["probing", "closed"]


async def test_answered_probe_does_not_close_a_later_outage(harness: Harness) -> None:
    await harness.fail()
    harness.now += 1.0
    harness.legacy.failing, harness.legacy.rest = None, asyncio.Event()
    first = asyncio.create_task(harness.send_request())
    await asyncio.sleep(0)
    await harness.fail()
    harness.now += 1.0
    second = asyncio.create_task(harness.send_request())
    harness.legacy.failing = None
    await asyncio.sleep(0)
    assert harness.changes == [True, False, True, False]  # the first probe's open answer is not awaited
    await harness.fail()
    harness.legacy.rest.set()
    assert [await first, await second] == ["answered"] * 2
    assert harness.changes == [True, False, True, False, True]


async def test_cancelled_probe_leaves_its_turn_to_the_next(harness: Harness) -> None:
    await harness.fail()
    harness.now += 1.0
    harness.legacy.failing = None
    healthy, harness.app = harness.app, hang
    probe = asyncio.create_task(harness.send_request())
    await asyncio.sleep(0)
    probe.cancel()
    await asyncio.gather(probe, return_exceptions=True)
    assert harness.breaker.state == "open"
    harness.app = healthy
    assert await harness.send_request() == "answered"


async def test_repeated_fault_restarts_the_pause(harness: Harness) -> None:
    await harness.fail()
    for _ in range(3):
        harness.now += 1.0
        assert await harness.send_request() == "legacy_unreachable"
        harness.now += 0.9
        assert await harness.send_request() == "legacy_down"


@pytest.mark.parametrize("end", [None, Reset(), RuntimeError()])
async def test_older_request_that_ends_leaves_an_open_breaker_open(harness: Harness, end: Exception | None) -> None:
    go_on = asyncio.Event()
    answering = harness.legacy

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        await go_on.wait()
        if end is not None:
            raise end
        await answering(scope, receive, send)

    harness.app = slow
    older = asyncio.create_task(harness.send_request())
    await asyncio.sleep(0)
    harness.app = answering
    await harness.fail()
    answering.failing = None
    go_on.set()
    await asyncio.gather(older, return_exceptions=True)
    assert (harness.breaker.state, harness.changes) == ("open", [True])
    harness.now += 1.0
    assert await harness.send_request() == "answered"
    assert (harness.breaker.state, harness.changes) == ("closed", [True, False])


def test_open_circuit_has_a_retry_after() -> None:
    headers, body = error_response(CircuitOpen(), None, ())
    assert dict(headers)[b"retry-after"] == b"1"
    assert b"legacy_down" in body


@pytest.mark.parametrize("has_idle", [True, False])
async def test_only_a_started_request_ends_a_row_of_faults(has_idle: bool) -> None:
    legacy = PreparingLegacy()
    legacy.has_idle = has_idle
    breaker = CircuitBreaker(legacy, 3, 1.0)

    async def fail(times: int) -> None:
        legacy.failing = Unreachable()
        for _ in range(times):
            with pytest.raises(Unreachable):
                await breaker({"type": "http"}, unused, unused)

    start = breaker.prepare("GET", b"/", (), None)
    assert start is not None
    assert breaker.prepare("POST", b"/", (), None) is None
    await fail(2)
    assert (start(b"id", lambda _: None) is not None) is has_idle
    await fail(1)
    assert breaker.is_open is not has_idle
    await fail(2 if has_idle else 0)
    assert breaker.is_open
    assert start(b"id", lambda _: None) is None


@pytest.mark.parametrize("state", ["open", "probing"])
async def test_request_started_before_an_outage_continues(harness: Harness, state: str) -> None:
    await harness.fail()
    if state == "probing":
        harness.now += 1.0
        answering, harness.app = harness.app, hang
        probe = asyncio.create_task(harness.send_request())
        await asyncio.sleep(0)
        harness.app = answering
    harness.legacy.failing = None
    assert harness.breaker.state == state
    assert await harness.send_request(StartedAnswer()) == "answered"
    assert harness.breaker.state == state
    if state == "probing":
        probe.cancel()


async def hang(*_: Any) -> None:
    await asyncio.Event().wait()


async def unused(*_: Any) -> Any:
    raise AssertionError("nobody reads or answers")

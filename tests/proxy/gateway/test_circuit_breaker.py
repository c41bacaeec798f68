"""Legacy's circuit breaker: when it opens, which requests it lets through, and when it closes."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from proxy.gateway.circuit_breaker import CircuitBreaker
from proxy.gateway.errors import AnswerTimeout, CircuitOpen, ConnectTimeout, Failure, Reset, Unreachable, error_response

ANSWER: tuple[Message, ...] = (
    {"type": "http.response.start", "status": 200, "headers": []},
    {"type": "http.response.body", "body": b"ok"},
)


class Legacy:
    """An app that fails or answers as the test sets it; `asked` counts its requests."""

    def __init__(self) -> None:
        self.failing: Exception | None = None
        self.asked = 0
        self.rest: asyncio.Event | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.asked += 1
        if self.failing is not None:
            raise self.failing
        await send(ANSWER[0])
        if self.rest is not None:
            await self.rest.wait()
        await send(ANSWER[1])


class Stand:
    """A breaker of three faults and a pause of a second, with a clock that the test moves."""

    def __init__(self) -> None:
        self.legacy = Legacy()
        self.app: ASGIApp = self.legacy
        self.now = 100.0
        self.told: list[bool] = []
        self.breaker = CircuitBreaker(self._legacy, 3, 1.0, self.told.append, lambda: self.now)

    async def _legacy(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)

    async def ask(self) -> str:
        """Send a request; return the failure's code, or `answered`."""
        sent: list[Message] = []

        async def send(message: Message) -> None:
            sent.append(message)

        async def receive() -> Message:
            raise AssertionError("nobody reads")

        try:
            await self.breaker({"type": "http"}, receive, send)
        except Failure as failure:
            return failure.code
        assert tuple(sent) == ANSWER
        return "answered"

    async def fail(self, times: int = 3) -> None:
        self.legacy.failing = Unreachable()
        for _ in range(times):
            assert await self.ask() == "legacy_unreachable"


@pytest.fixture
def stand() -> Stand:
    return Stand()


async def test_closed_breaker_forwards(stand: Stand) -> None:
    assert [await stand.ask() for _ in range(5)] == ["answered"] * 5
    assert stand.breaker.state == "closed"


async def test_consecutive_faults_open_the_breaker(stand: Stand) -> None:
    await stand.fail()
    assert stand.breaker.state == "open"
    assert await stand.ask() == "legacy_down"
    assert (stand.legacy.asked, stand.told) == (3, [True])


async def test_separate_faults_keep_the_breaker_closed(stand: Stand) -> None:
    for _ in range(4):
        await stand.fail(2)
        stand.legacy.failing = None
        assert await stand.ask() == "answered"


@pytest.mark.parametrize("failure", [Reset(), AnswerTimeout(), RuntimeError()])
async def test_other_failures_keep_the_breaker_closed(stand: Stand, failure: Exception) -> None:
    await stand.fail(2)
    stand.legacy.failing = failure
    for _ in range(5):
        with contextlib.suppress(RuntimeError):
            await stand.ask()
    assert stand.breaker.state == "closed"
    await stand.fail(2)
    assert stand.breaker.state == "closed"


async def test_open_breaker_admits_one_probe_after_the_pause(stand: Stand) -> None:
    await stand.fail()
    stand.legacy.failing, stand.legacy.rest = None, asyncio.Event()
    stand.now += 1.0
    stand.legacy.failing = ConnectTimeout()
    assert await stand.ask() == "legacy_connect_timeout"
    assert [await stand.ask() for _ in range(3)] == ["legacy_down"] * 3
    assert (stand.legacy.asked, stand.told) == (4, [True])


async def test_first_sign_of_an_answer_closes_the_breaker(stand: Stand) -> None:
    await stand.fail()
    stand.legacy.failing, stand.legacy.rest = None, asyncio.Event()
    stand.now += 1.0
    probe = asyncio.create_task(stand.ask())
    await asyncio.sleep(0)
    assert stand.breaker.state == "closed"  # though the probe's answer is not complete
    other = asyncio.create_task(stand.ask())
    stand.legacy.rest.set()
    assert [await probe, await other] == ["answered"] * 2
    assert stand.told == [True, False]


async def test_requests_during_a_probe_are_refused(stand: Stand) -> None:
    await stand.fail()
    stand.now += 1.0
    go_on = asyncio.Event()

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        await go_on.wait()
        raise AnswerTimeout

    stand.app = slow
    probe = asyncio.create_task(stand.ask())
    await asyncio.sleep(0)
    states = [stand.breaker.state]
    assert await stand.ask() == "legacy_down"
    go_on.set()
    assert await probe == "legacy_timeout"  # it accepted a connection: it is there
    assert [*states, stand.breaker.state] == ["probing", "closed"]


async def test_cancelled_probe_leaves_its_turn_to_the_next(stand: Stand) -> None:
    await stand.fail()
    stand.now += 1.0
    stand.legacy.failing = None

    async def hang(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.Event().wait()

    healthy, stand.app = stand.app, hang
    probe = asyncio.create_task(stand.ask())
    await asyncio.sleep(0)
    probe.cancel()
    await asyncio.gather(probe, return_exceptions=True)
    assert stand.breaker.state == "open"
    stand.app = healthy
    assert await stand.ask() == "answered"


async def test_repeated_fault_restarts_the_pause(stand: Stand) -> None:
    await stand.fail()
    for _ in range(3):
        stand.now += 1.0
        assert await stand.ask() == "legacy_unreachable"
        stand.now += 0.9
        assert await stand.ask() == "legacy_down"


@pytest.mark.parametrize("end", [None, Reset(), RuntimeError()])
async def test_older_request_that_ends_leaves_an_open_breaker_open(stand: Stand, end: Exception | None) -> None:
    go_on = asyncio.Event()
    answering = stand.legacy

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        await go_on.wait()
        if end is not None:
            raise end
        await answering(scope, receive, send)

    stand.app = slow
    older = asyncio.create_task(stand.ask())
    await asyncio.sleep(0)
    stand.app = answering
    await stand.fail()
    answering.failing = None
    go_on.set()
    await asyncio.gather(older, return_exceptions=True)
    assert (stand.breaker.state, stand.told) == ("open", [True])
    stand.now += 1.0
    assert await stand.ask() == "answered"
    assert (stand.breaker.state, stand.told) == ("closed", [True, False])


def test_open_circuit_has_a_retry_after() -> None:
    headers, body = error_response(CircuitOpen(), None, ())
    assert dict(headers)[b"retry-after"] == b"1"
    assert b"legacy_down" in body

"""A recorded request is sent again: unchanged, with a deadline, and only as much of the answer as is needed."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from proxy.backends.legacy.headers import request_headers
from proxy.comparison.exchange import Body, Exchange, Headers
from proxy.gateway.errors import AnswerTimeout, Unreachable
from proxy.gateway.request_context import context_of
from proxy.gateway.scope import request_target
from proxy.gateway.timeouts import Timeouts
from proxy.shadow.dry_run import DryRunExchange, supports_dry_run
from proxy.shadow.messages import RequestSnapshot
from proxy.shadow.replay import Bounds, UncancellableAppError, not_repeatable, replay_request
from tests.support.exchanges import exchange
from tests.support.shadowed import plain, with_dry_runs
from tests.support.shadowed_requests import CONNECTION, snapshot
from tests.support.waiting import HANG_TIMEOUT, PROMPT_TIMEOUT


def bounds(seconds: float = HANG_TIMEOUT, limit: int = 1000, ceiling: int = 1000) -> Bounds:
    return Bounds(limit, ceiling, time.monotonic() + seconds)


async def answered(request: RequestSnapshot, within: Bounds | None = None) -> Exchange:
    replayed = await replay_request(plain, request, within or bounds())
    assert isinstance(replayed, Exchange)
    return replayed


async def test_replayed_request_equals_the_original() -> None:
    scopes: list[Scope] = []
    theirs = Timeouts(response=7.0)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scopes.append(scope)
        await plain(scope, receive, send)

    await replay_request(app, snapshot("/notes/a%20b//c?x=1&y", "POST", b"text"), bounds(), timeouts=theirs)
    [scope] = scopes
    assert (scope["path"], scope["raw_path"], scope["query_string"]) == ("/notes/a b//c", b"/notes/a%20b//c", b"x=1&y")
    assert request_target(scope) == b"/notes/a%20b//c?x=1&y"
    context = context_of(scope)
    assert (context.timeouts, scope["proxy.template"]) == (theirs, "/notes/{id}")
    forwarded = dict(request_headers(scope, context.request_id))
    assert (scope["client"], scope["scheme"]) == (("10.0.0.7", 4711), "https")
    assert forwarded[b"x-request-id"] == b"id-1"


async def test_question_and_answer_are_an_exchange() -> None:
    replayed = await answered(snapshot(method="POST", body=b"text"))
    assert (replayed.method, replayed.target, replayed.outcome, replayed.status) == (
        "POST",
        b"/notes/same",
        "response",
        201,
    )
    assert replayed.request_body.data == b"text"
    assert replayed.body.data == b'{"wrote":"text"}'


async def test_app_running_after_its_answer_is_cancelled() -> None:
    assert (await answered(snapshot("/linger"), bounds(0.05))).status == 200


async def test_late_answer_is_a_timeout() -> None:
    started = time.monotonic()
    assert await replay_request(plain, snapshot("/hang"), bounds(0.05)) == "timeout"
    assert time.monotonic() - started < PROMPT_TIMEOUT
    assert await replay_request(plain, snapshot("/hang"), bounds(-1)) == "timeout"


async def test_answer_over_the_size_limit_is_truncated() -> None:
    assert await replay_request(plain, snapshot("/huge"), bounds(ceiling=3_000_000)) == "body_too_large"
    whole = await answered(snapshot("/huge"), bounds(ceiling=100_000_000))
    assert (whole.body.length, whole.body.data, whole.body.truncated) == (100_000_000, b"", True)


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (AnswerTimeout(), "hang"),
        (Unreachable(), "unasked"),
        (RuntimeError("patient Jane"), "reset"),
        (TimeoutError(), "reset"),
        (asyncio.CancelledError(), "reset"),
    ],
)
async def test_raising_app_has_an_outcome(error: BaseException, outcome: str, caplog: pytest.LogCaptureFixture) -> None:
    async def app(*_: Any) -> None:
        raise error

    replayed = await replay_request(app, snapshot(), bounds())
    assert isinstance(replayed, Exchange)
    assert (replayed.outcome, replayed.status) == (outcome, 0)
    assert "Jane" not in caplog.text


async def test_answer_that_breaks_off_is_a_reset() -> None:
    replayed = await answered(snapshot("/half"))
    assert (replayed.outcome, replayed.status) == ("reset", 200)


async def test_uncancellable_app_raises_an_error() -> None:
    go_on = asyncio.Event()

    async def app(*_: Any) -> None:
        while not go_on.is_set():
            try:
                await go_on.wait()
            except asyncio.CancelledError:
                continue

    with pytest.raises(UncancellableAppError):
        await replay_request(app, snapshot(), dataclasses.replace(bounds(0.01), cancel_timeout=0.05))
    go_on.set()
    await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("headers", "sent", "read", "reason"),
    [
        ((), b"", False, None),
        (((b"content-length", b"0"),), b"", False, None),
        (((b"content-length", b"4"),), b"text", True, None),
        (((b"content-length", b"4"),), b"", False, "streaming"),
        (((b"transfer-encoding", b"chunked"),), b"", False, "streaming"),
        (((b"upgrade", b"h2c"),), b"", True, "streaming"),
    ],
)
def test_unrepeatable_request_has_a_reason(headers: Headers, sent: bytes, read: bool, reason: str | None) -> None:
    served = exchange(sent=sent, sent_headers=headers)
    assert not_repeatable(served._replace(is_request_complete=read), RequestSnapshot.of(served, CONNECTION)) == reason


def test_request_with_a_long_body_is_unrepeatable() -> None:
    served = exchange()
    long = served._replace(request_body=Body(b"", 7, (b"digest",)))
    assert not_repeatable(long, RequestSnapshot.of(served, CONNECTION)) == "body_too_large"


async def test_dry_run_returns_the_writes() -> None:
    dry_run = DryRunExchange()
    replayed = await dry_run.run(with_dry_runs, snapshot(method="POST", body=b"text"), bounds())
    assert isinstance(replayed, Exchange)
    assert replayed.status == 201
    [wrote] = dry_run.writes
    assert (wrote["collection"], wrote["operation"]) == ("notes", "insert")
    document = wrote["document"]
    assert isinstance(document, dict)
    assert document["text"] == "text"
    assert isinstance(document["deadline"], float)
    assert 0 < document["deadline"] <= HANG_TIMEOUT


async def test_dry_run_without_writes_returns_none() -> None:
    dry_run = DryRunExchange()
    assert isinstance(await dry_run.run(with_dry_runs, snapshot("/other", "POST"), bounds()), Exchange)
    assert dry_run.writes == ()


async def test_app_can_decline_a_dry_run() -> None:
    assert await DryRunExchange().run(with_dry_runs, snapshot("/decline", "POST"), bounds()) == "write_not_allowed"


async def test_dry_run_ended_by_cancellation_is_a_timeout() -> None:
    async def app(scope: Scope, *_: Any) -> None:
        async with asyncio.timeout(scope["extensions"]["proxy.dry_run"]["deadline"]):
            await asyncio.sleep(10)

    assert await DryRunExchange().run(app, snapshot(method="POST"), bounds(0.05)) == "timeout"


def test_declaration_must_be_true() -> None:
    assert supports_dry_run({"proxy.dry_run": True})
    assert not any(supports_dry_run(state) for state in ({}, {"proxy.dry_run": False}, {"proxy.dry_run": "yes"}))

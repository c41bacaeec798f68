"""Recording of exchanges within limits."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Message, Scope

from proxy.comparison.exchange import Body, Exchange, ExchangeRecorder
from proxy.server.memory_budget import MemoryBudget
from tests.support.volatile_content import digests_of
from tests.support.waiting import HANG_TIMEOUT

SCOPE: Scope = {
    "type": "http",
    "method": "POST",
    "path": "/notes/a b",
    "raw_path": b"/notes/a%20b",
    "query_string": b"x=1",
    "headers": [(b"host", b"clinic"), (b"x-two", b"1"), (b"x-two", b"2")],
}
START: Message = {"type": "http.response.start", "status": 201, "headers": [(b"Content-Type", b"text/plain")]}


def piece(body: bytes, more: bool = False) -> Message:
    return {"type": "http.response.body", "body": body, "more_body": more}


def messages(*bodies: bytes) -> list[Message]:
    last = len(bodies) - 1
    return [{"type": "http.request", "body": body, "more_body": index < last} for index, body in enumerate(bodies)]


def echoed(*bodies: bytes, limit: int = 1000) -> Exchange:
    """Send a request's body in parts, each of which is answered separately."""
    capture = ExchangeRecorder(SCOPE, limit)
    capture.sent(START)
    for message in messages(*bodies):
        capture.received(message)
        capture.sent(piece(message["body"], message["more_body"]))
    return capture.exchange()


def test_request_and_answer_are_recorded() -> None:
    recorded = echoed(b"one ", b"two")
    assert (recorded.method, recorded.target, recorded.status) == ("POST", b"/notes/a%20b?x=1", 201)
    assert recorded.request_headers == tuple(SCOPE["headers"])
    assert recorded.headers == ((b"content-type", b"text/plain"),)
    assert recorded.request_body == recorded.body == Body(b"one two", 7)
    assert recorded.outcome == "response"
    assert 0 <= recorded.head <= recorded.total < HANG_TIMEOUT
    assert recorded.started > 1_700_000_000


def test_raw_target_of_the_server_is_recorded() -> None:
    assert ExchangeRecorder({**SCOPE, "proxy.target": b"/x?"}).exchange().target == b"/x?"


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=8), st.integers(0, 100))
def test_body_over_the_limit_is_a_length_and_digests(bodies: list[bytes], limit: int) -> None:
    whole = b"".join(bodies)
    body = echoed(*bodies, limit=limit).body
    assert body.length == len(whole)
    assert body.truncated == (len(whole) > limit)
    if body.truncated:
        assert (body.data, body.blocks) == (b"", digests_of(whole).blocks())
    else:
        assert body.data == whole


def test_growing_body_is_recorded_as_a_snapshot() -> None:
    capture = ExchangeRecorder(SCOPE, 3)
    capture.sent(START)
    capture.sent(piece(b"four", True))
    first = capture.exchange().body
    assert (capture.answered, capture.sent_length) == (False, 4)
    capture.sent(piece(b"more"))
    assert (first.length, capture.exchange().body.length) == (4, 8)
    assert (capture.answered, capture.sent_length) == (True, 8)
    assert first.blocks == digests_of(b"four").blocks()


def test_head_answer_is_recorded_without_a_body() -> None:
    capture = ExchangeRecorder({**SCOPE, "method": "HEAD"})
    for message in (START, piece(b"never sent")):
        capture.sent(message)
    assert (capture.exchange().body, capture.exchange().outcome) == (Body(), "response")


def test_request_is_complete_after_its_last_body_part() -> None:
    capture = ExchangeRecorder(SCOPE)
    first, last = messages(b"a", b"b")
    for message, whole in (({"type": "http.disconnect"}, False), (first, False), (last, True)):
        capture.received(message)
        assert capture.exchange().is_request_complete is whole


@pytest.mark.parametrize(
    ("begun", "failure", "outcome"),
    [
        (False, "legacy_timeout", "hang"),
        (False, "legacy_reset", "reset"),
        (False, "legacy_bad_answer", "reset"),
        (False, "native_failed", "reset"),
        (False, "legacy_unreachable", "unasked"),
        (False, "legacy_connect_timeout", "unasked"),
        (False, "gateway_overloaded", "unasked"),
        (True, "legacy_timeout", "reset"),
        (True, None, "gone"),
        (False, None, "gone"),
    ],
)
def test_missing_answer_has_its_outcome(begun: bool, failure: str | None, outcome: str) -> None:
    capture = ExchangeRecorder(SCOPE)
    if begun:
        capture.sent(START)
        capture.sent(piece(b"half", True))
    recorded = capture.exchange(failure)
    assert (recorded.outcome, recorded.status) == (outcome, 201 if begun else 0)
    assert 0 <= recorded.head <= recorded.total < HANG_TIMEOUT


def test_exchange_survives_pickling() -> None:
    capture = ExchangeRecorder(SCOPE, 5)
    for message in (START, piece(b"one", True), piece(b"two and three")):
        capture.sent(message)
    exchange = capture.exchange()
    assert pickle.loads(pickle.dumps(exchange)) == exchange == capture.exchange()
    assert (exchange.size, exchange.body.length) == (0, 16)
    assert "one" not in repr(exchange) + repr(exchange.body)


def test_header_names_are_in_lower_case() -> None:
    capture = ExchangeRecorder(SCOPE)
    capture.sent({**START, "headers": [(b"X-Name", b"Value")]})
    assert capture.exchange().headers == ((b"x-name", b"Value"),)


def test_content_is_absent_from_a_repr() -> None:
    shown = repr(echoed(b"Agnes Nightingale"))
    assert "Agnes" not in shown
    assert "clinic" not in shown
    assert "a%20b" not in shown


def test_bodies_of_a_capture_count_in_the_memory_budget() -> None:
    budget = MemoryBudget(100)
    capture = ExchangeRecorder(SCOPE, 50, budget.open)
    capture.received({"type": "http.request", "body": b"x" * 40, "more_body": True})
    assert budget.used == 40
    capture.sent(piece(b"y" * 30, more=True))
    assert budget.used == 70
    capture.received({"type": "http.request", "body": b"x" * 20})  # over the capture's own limit: digests
    assert budget.used == 30
    capture.exchange()
    assert (budget.used, dict(budget.accounts)) == (0, {})


@pytest.mark.parametrize("idle", [False, True], ids=["asking", "idle"])
def test_capture_over_its_memory_budget_holds_digests(idle: bool) -> None:
    budget = MemoryBudget(50)
    capture = ExchangeRecorder(SCOPE, 1000, budget.open)
    capture.received({"type": "http.request", "body": b"x" * 40})
    if idle:
        next(iter(budget.accounts)).changed_at -= 60
        assert budget.open(lambda: None).acquire(20)
    else:
        capture.sent(piece(b"y" * 20))
    exchange = capture.exchange()
    assert exchange.request_body == Body(b"", 40, digests_of(b"x" * 40).blocks(), 40)

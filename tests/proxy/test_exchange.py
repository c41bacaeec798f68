"""A capture passes everything on untouched, and keeps what fits."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Message, Receive, Scope, Send

from proxy.exchange import Body, Capture, Exchange

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


class Client:
    def __init__(self, sends: Sequence[Message] = ()) -> None:
        self.sends, self.got = list(sends), list[Message]()

    async def receive(self) -> Message:
        return self.sends.pop(0) if self.sends else {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        self.got.append(message)


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer each part of the body as it comes."""
    await send(START)
    more = True
    while more:
        message = await receive()
        more = message.get("more_body", False)
        await send(piece(message.get("body", b""), more))


async def captured(*bodies: bytes, limit: int = 1000) -> Exchange:
    client = Client(messages(*bodies))
    capture = Capture(SCOPE, client.receive, client.send, limit)
    await echo(SCOPE, capture.receive, capture.send)
    return capture.exchange()


async def test_a_request_and_its_answer_are_kept() -> None:
    found = await captured(b"one ", b"two")
    assert (found.method, found.target, found.status) == ("POST", b"/notes/a%20b?x=1", 201)
    assert found.request_headers == tuple(SCOPE["headers"])
    assert found.headers == ((b"content-type", b"text/plain"),)
    assert found.request_body == found.body == Body(b"one two", 7)
    assert found.outcome == "response"
    assert 0 <= found.head <= found.total < 5
    assert found.started > 1_700_000_000


async def test_the_raw_target_is_kept_where_the_server_has_it() -> None:
    client = Client()
    capture = Capture({**SCOPE, "proxy.target": b"/x?"}, client.receive, client.send)
    assert capture.exchange().target == b"/x?"


async def test_messages_pass_untouched_and_in_order() -> None:
    client = Client(messages(b"a", b"b"))
    capture = Capture(SCOPE, client.receive, client.send, 0)
    await echo(SCOPE, capture.receive, capture.send)
    assert client.got == [START, piece(b"a", True), piece(b"b")]
    assert client.got[0] is START


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=8), st.integers(0, 100))
async def test_what_does_not_fit_is_a_length_and_a_digest(bodies: list[bytes], limit: int) -> None:
    whole = b"".join(bodies)
    body = (await captured(*bodies, limit=limit)).body
    assert body.length == len(whole)
    assert body.truncated == (len(whole) > limit)
    if body.truncated:
        assert (body.data, body.digest) == (b"", hashlib.sha256(whole).hexdigest())
    else:
        assert body.data == whole


async def test_a_body_that_is_still_growing_is_a_snapshot() -> None:
    client = Client()
    capture = Capture(SCOPE, client.receive, client.send, 3)
    await capture.send(START)
    await capture.send(piece(b"four", True))
    first = capture.exchange().body
    await capture.send(piece(b"more"))
    assert (first.length, capture.exchange().body.length) == (4, 8)
    assert first.digest == hashlib.sha256(b"four").hexdigest()


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
async def test_an_answer_that_is_none_says_why(begun: bool, failure: str | None, outcome: str) -> None:
    client = Client()
    capture = Capture(SCOPE, client.receive, client.send)
    if begun:
        await capture.send(START)
        await capture.send(piece(b"half", True))
    found = capture.exchange(failure)
    assert (found.outcome, found.status) == (outcome, 201 if begun else 0)


async def test_an_answer_is_the_sides_even_if_the_client_is_gone() -> None:
    async def broken(message: Message) -> None:
        raise OSError("gone")

    capture = Capture(SCOPE, Client().receive, broken)
    for message in (START, piece(b"all")):
        with pytest.raises(OSError, match="gone"):
            await capture.send(message)
    assert capture.exchange().outcome == "response"


async def test_nothing_of_the_content_shows_in_a_traceback() -> None:
    found = await captured(b"Agnes Nightingale")
    shown = repr(found)
    assert "Agnes" not in shown
    assert "clinic" not in shown
    assert "a%20b" not in shown

"""Recurring response heads and request headers have the same result as the first time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from proxy.backends.legacy.endpoint import Endpoint
from proxy.backends.legacy.framing import MalformedResponse, RecurringHeads, ResponseReader
from proxy.backends.legacy.request import HeaderEncoder

STATUSES = ("200 OK", "204 X", "304 X", "426 X", "500 ", "101 X", "100 X")
FIELDS = (
    *("Content-Length: 2", "content-length: 0", "Content-Length: 3", "Transfer-Encoding: chunked", "Upgrade: h2c"),
    *("Connection: close", "Connection: x-a", "Keep-Alive: timeout=3", "X-A: 1", "X-A: 2", "X-B:\t2 ", "Bad Name: 1"),
    *("Date: Thu, 01 Jan 2026 00:00:00 GMT", "ETag: a\nb", "X: \0", "X-Long: " + "y" * 2100),
)
HEADS = st.builds(
    lambda version, status, fields: "\r\n".join([f"HTTP/1.{version} {status}", *fields, "", ""]).encode(),
    st.sampled_from("10"),
    st.sampled_from(STATUSES),
    st.lists(st.sampled_from(FIELDS), max_size=4),
)
BODIES = st.sampled_from([b"", b"ok", b"0\r\n\r\n", b"2\r\nok\r\n0\r\n\r\n"])


def read(parts: list[bytes], recurring: RecurringHeads | None, *, head_only: bool, upgrade: bool) -> object:
    reader = ResponseReader(head_only=head_only, upgrade=upgrade, recurring=recurring)
    try:
        for part in parts:
            reader.feed(part)
    except MalformedResponse:
        return "malformed", reader.head and reader.head.status
    head = reader.head._replace(passed=list(reader.head.passed)) if reader.head is not None else None
    return head, b"".join(reader.body), reader.complete, reader.excess, reader.continued


@given(st.lists(st.tuples(HEADS, BODIES, st.booleans(), st.booleans()), min_size=1, max_size=4), st.data())
def test_recurring_head_is_read_as_the_first_time(
    answers: list[tuple[bytes, bytes, bool, bool]], data: st.DataObject
) -> None:
    recurring = RecurringHeads()
    for head, body, head_only, upgrade in (*answers, *answers, *answers):
        raw = head + body
        at = data.draw(st.integers(0, len(raw)))
        fresh = read([raw], None, head_only=head_only, upgrade=upgrade)
        for parts in ([raw], [raw[:at], raw[at:]]):
            assert read(parts, recurring, head_only=head_only, upgrade=upgrade) == fresh


@given(HEADS, st.data())
def test_head_of_one_different_byte_is_not_taken_from_the_cache(head: bytes, data: st.DataObject) -> None:
    recurring = RecurringHeads()
    for _ in range(2):
        read([head], recurring, head_only=False, upgrade=False)
    at = data.draw(st.integers(0, len(head) - 1))
    other = head[:at] + bytes([data.draw(st.integers(0, 255))]) + head[at + 1 :]
    fresh = read([other], None, head_only=False, upgrade=False)
    assert read([other], recurring, head_only=False, upgrade=False) == fresh


def test_heads_are_forgotten_beyond_the_bound() -> None:
    recurring = RecurringHeads(2)
    heads = [b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: %d" % number for number in range(3)]
    for head in (*heads, *heads):
        read([head + b"\r\n\r\n"], recurring, head_only=False, upgrade=False)
    assert [recurring.find(head, False, False) is not None for head in heads] == [False, True, True]


NAMES = st.sampled_from(
    [
        *(b"host", b"connection", b"x-request-id", b"x-a", b"te", b"content-length", b"transfer-encoding", b"expect"),
        *(b"cookie", b"upgrade", b"x-forwarded-for"),
    ]
)
VALUES = st.sampled_from([b"", b"x-a", b"close", b"5", b"05", b"chunked", b"100-continue", b"a, b"])
ENCODER = HeaderEncoder(Endpoint.parse("http://legacy:81/base", host_header="upstream"))


@given(st.lists(st.tuples(NAMES, VALUES), max_size=8))
def test_recurring_headers_are_encoded_as_the_first_time(headers: list[tuple[bytes, bytes]]) -> None:
    fresh = HeaderEncoder(ENCODER.endpoint).encode(headers)
    assert ENCODER.encode(tuple(headers)) == ENCODER.encode(tuple(headers)) == fresh

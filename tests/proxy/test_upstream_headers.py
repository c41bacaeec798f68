"""Which headers cross, as laws."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from proxy.upstream.headers import HOP_BY_HOP, end_to_end, first, request_headers, request_target

NAMES = st.sampled_from(
    [b"accept", b"cookie", b"x-a", b"connection", b"keep-alive", b"te", b"x-forwarded-for", b"host"]
)
VALUES = st.sampled_from([b"", b"1", b"x-a", b"X-A, close", b"keep-alive"])
HEADERS = st.lists(st.tuples(NAMES, VALUES), max_size=12)


@given(HEADERS)
def test_what_passes_keeps_its_order_and_its_duplicates(headers: list[tuple[bytes, bytes]]) -> None:
    passed = end_to_end(headers)
    rest = iter(headers)
    assert all(header in rest for header in passed)
    named = {token.strip().lower() for name, value in headers if name == b"connection" for token in value.split(b",")}
    dropped = [header for header in headers if header[0] in HOP_BY_HOP or header[0] in named]
    assert sorted(passed + dropped) == sorted(headers)


@given(HEADERS)
def test_passing_twice_is_passing_once(headers: list[tuple[bytes, bytes]]) -> None:
    assert end_to_end(end_to_end(headers)) == end_to_end(headers)


@given(HEADERS)
def test_the_chain_of_addresses_only_grows(headers: list[tuple[bytes, bytes]]) -> None:
    sent = request_headers({"headers": headers, "client": ("10.0.0.9", 1)}, b"id")
    chain = [value for name, value in sent if name == b"x-forwarded-for"]
    given_before = [value for name, value in end_to_end(headers) if name == b"x-forwarded-for"]
    assert chain == [b", ".join([*given_before, b"10.0.0.9"])]


def test_what_a_proxy_in_front_said_stands() -> None:
    headers = [
        (b"x-forwarded-proto", b"https"),
        (b"x-forwarded-host", b"a"),
        (b"host", b"b"),
        (b"x-request-id", b"old"),
    ]
    sent = request_headers({"headers": headers, "client": None}, b"new")
    assert sent == [
        (b"x-forwarded-proto", b"https"),
        (b"x-forwarded-host", b"a"),
        (b"host", b"b"),
        (b"x-forwarded-for", b"unknown"),
        (b"x-request-id", b"new"),
    ]


def test_a_websocket_is_forwarded_as_http() -> None:
    sent = request_headers({"headers": [], "scheme": "wss"}, b"id")
    assert (b"x-forwarded-proto", b"https") in sent


def test_the_target_is_the_servers_where_it_kept_it() -> None:
    assert request_target({"proxy.target": b"/a?", "raw_path": b"/a", "query_string": b""}) == b"/a?"
    assert request_target({"raw_path": b"/a%2F", "query_string": b"q=1"}) == b"/a%2F?q=1"
    assert request_target({"path": "/a", "query_string": b""}) == b"/a"


def test_first_finds_the_first() -> None:
    assert first([(b"a", b"1"), (b"a", b"2")], b"a") == b"1"
    assert first([], b"a") is None

"""Which headers cross, as laws."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from proxy.forwarding import FORWARDING
from proxy.upstream.headers import HOP_BY_HOP, end_to_end, first, request_headers, request_target

NAMES = st.sampled_from(
    [b"accept", b"cookie", b"x-a", b"connection", b"keep-alive", b"te", b"x-forwarded-for", b"host"]
)
VALUES = st.sampled_from([b"", b"1", b"x-a", b"X-A, close", b"keep-alive", b"x-forwarded-for"])
HEADERS = st.lists(st.tuples(NAMES, VALUES), max_size=12)


@given(HEADERS)
def test_what_passes_keeps_its_order_and_its_duplicates(headers: list[tuple[bytes, bytes]]) -> None:
    passed = end_to_end(headers)
    rest = iter(headers)
    assert all(header in rest for header in passed)
    named = {token.strip().lower() for name, value in headers if name == b"connection" for token in value.split(b",")}
    named -= FORWARDING
    dropped = [header for header in headers if header[0] in HOP_BY_HOP or header[0] in named]
    assert sorted(passed + dropped) == sorted(headers)


@given(HEADERS)
def test_passing_twice_is_passing_once(headers: list[tuple[bytes, bytes]]) -> None:
    assert end_to_end(end_to_end(headers)) == end_to_end(headers)


def test_request_gets_the_gateways_id() -> None:
    headers = [(b"x-request-id", b"old"), (b"host", b"b"), (b"connection", b"x-gone"), (b"x-gone", b"1")]
    assert request_headers({"headers": headers}, b"new") == [(b"host", b"b"), (b"x-request-id", b"new")]


def test_the_target_is_the_servers_where_it_kept_it() -> None:
    assert request_target({"proxy.target": b"/a?", "raw_path": b"/a", "query_string": b""}) == b"/a?"
    assert request_target({"raw_path": b"/a%2F", "query_string": b"q=1"}) == b"/a%2F?q=1"
    assert request_target({"path": "/a", "query_string": b""}) == b"/a"


def test_first_finds_the_first() -> None:
    assert first([(b"a", b"1"), (b"a", b"2")], b"a") == b"1"
    assert first([], b"a") is None

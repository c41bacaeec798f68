"""Properties of the headers that are forwarded."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.backends.legacy.headers import (
    HOP_BY_HOP,
    PROTECTED,
    end_to_end,
    list_members,
    request_headers,
    response_headers,
)
from proxy.gateway.scope import first_header, request_target

NAMES = st.sampled_from(
    [b"accept", b"cookie", b"x-a", b"connection", b"keep-alive", b"te", b"x-forwarded-for", b"host"]
)
VALUES = st.sampled_from([b"", b"1", b"host", b"cookie,\t,x-a ,", b"x-a", b"X-A, close", b"keep-alive"])
HEADERS = st.lists(st.tuples(NAMES, VALUES), max_size=12)


@given(HEADERS)
def test_end_to_end_headers_keep_order_and_duplicates(headers: list[tuple[bytes, bytes]]) -> None:
    passed = end_to_end(headers)
    rest = iter(headers)
    assert all(header in rest for header in passed)
    tokens = {token.strip().lower() for name, value in headers if name == b"connection" for token in value.split(b",")}
    named = tokens - PROTECTED
    dropped = [header for header in headers if header[0] in HOP_BY_HOP or header[0] in named]
    assert sorted(passed + dropped) == sorted(headers)


@given(HEADERS)
def test_filtering_headers_twice_equals_once(headers: list[tuple[bytes, bytes]]) -> None:
    assert end_to_end(end_to_end(headers)) == end_to_end(headers)


def test_request_gets_the_gateways_id() -> None:
    headers = [(b"x-request-id", b"old"), (b"host", b"b"), (b"connection", b"x-gone"), (b"x-gone", b"1")]
    assert request_headers({"headers": headers}, b"new") == [(b"host", b"b"), (b"x-request-id", b"new")]


def test_raw_target_of_the_server_is_preferred() -> None:
    assert request_target({"proxy.target": b"/a?", "raw_path": b"/a", "query_string": b""}) == b"/a?"
    assert request_target({"raw_path": b"/a%2F", "query_string": b"q=1"}) == b"/a%2F?q=1"
    assert request_target({"path": "/a", "query_string": b""}) == b"/a"


def test_first_finds_the_first() -> None:
    assert first_header([(b"a", b"1"), (b"a", b"2")], b"a") == b"1"
    assert first_header([], b"a") is None


@pytest.mark.parametrize("name", sorted(PROTECTED))
def test_connection_option_removes_no_framing_or_routing_header(name: bytes) -> None:
    headers = [(name, b"1"), (b"connection", name.upper()), (b"connection", b"close,\t" + name)]
    assert end_to_end(headers) == [(name, b"1")]


def test_several_connection_lines_count_together() -> None:
    headers = [(b"x-a", b""), (b"x-b", b""), (b"x-c", b""), (b"connection", b"x-a"), (b"connection", b",,\tX-C\t, ")]
    assert end_to_end(headers) == [(b"x-b", b"")]


@pytest.mark.parametrize(
    ("value", "members"),
    [(b"", []), (b",", []), (b"a", [b"a"]), (b" A ,\tb\t,,c", [b"a", b"b", b"c"]), (b"a b", [b"a b"])],
)
def test_list_members_are_split_with_quotes_and_blanks(value: bytes, members: list[bytes]) -> None:
    assert list_members(value) == members


def test_response_headers_are_filtered_by_status() -> None:
    headers = [(b"content-length", b"5"), (b"upgrade", b"h2c"), (b"connection", b"upgrade")]
    assert response_headers(200, headers) == [(b"content-length", b"5")]
    assert response_headers(204, headers) == []
    assert response_headers(204, [(b"content-length", b"0")]) == [(b"content-length", b"0")]
    assert response_headers(304, headers) == [(b"content-length", b"5")]
    assert response_headers(426, headers) == [(b"content-length", b"5"), (b"upgrade", b"h2c")]

"""`Sec-WebSocket-Protocol` headers, parsed as by the ws library itself."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handlers.legacy.subprotocols import SubprotocolError, parse
from tests.support.library_oracle import Libraries, Refused
from tests.support.profile import examples

HEADERS = (
    "",
    "a",
    "a, b",
    "a,b",
    "a\t,\tb",
    "a, a",
    "a,",
    ",a",
    "a,,b",
    "a b",
    "a;b",
    "a=b",
    "\xe9",
    '"a"',
    "A, a",
    "a.b!",
)
headers = st.lists(st.sampled_from(["a", "b", "A", ",", ", ", " ", "\t", ";", "\xe9", "graphql-ws"]), max_size=6).map(
    "".join
)


@pytest.fixture(scope="module")
def libraries() -> Iterator[Libraries]:
    with Libraries() as opened:
        yield opened


def parsed(header: str) -> list[str] | None:
    try:
        return parse(header)
    except SubprotocolError:
        return None


def parsed_by_ws(libraries: Libraries, header: str) -> object:
    try:
        return libraries.call("subprotocols", header)
    except Refused:
        return None


@pytest.mark.parametrize("header", HEADERS)
def test_headers_are_parsed_as_by_ws(libraries: Libraries, header: str) -> None:
    assert parsed(header) == parsed_by_ws(libraries, header)


@pytest.mark.seeded
def test_header_is_parsed_as_by_ws(libraries: Libraries) -> None:
    @settings(max_examples=examples(80), deadline=None)
    @given(headers)
    def check(header: str) -> None:
        stripped = header.strip(" \t")  # as a server passes it on
        assert parsed(stripped) == parsed_by_ws(libraries, stripped)

    check()

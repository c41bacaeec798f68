"""Query strings and targets, compared with Node's own `querystring` and `url`."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handlers.legacy.express.query import MAX_PAIRS, parse
from tests.support.library_oracle import Libraries
from tests.support.profile import examples

EXAMPLES = [
    "",
    "a=1",
    "a",
    "a=",
    "=a",
    "=",
    "&",
    "&&a&&",
    "a=1&a=2&a=3",
    "a&a=&a",
    "email[]=a&email[$ne]=b",
    "a=b=c",
    "a+b=c+d%20e",
    "a=%2B+",
    "%61=%62",
    "a=%",
    "a=%4",
    "a=%zz",
    "a=%zz%41",
    "a=%%41",
    "a=%E2%82%AC",
    "a=%e2%82",
    "a=%C3%A9&b=\xc3\xa9",
    "a=\xc3\xa9%zz%41",
    "a=\xc3\xa9%ff",
    "__proto__=1&constructor=2&hasOwnProperty=3&toString=4",
    "__proto__=1&__proto__=2",
    "1=a&0=b",
    "a=1;b=2",
    "?a=1",
    "a=1#b",
    "a=%00",
    "a=%F0%9F%98%80%ED%A0%80",
    "a=%0+0\xe9&%0+0\xe9=b&a=%+41\xe9&a=%+4\xe9",
]


@pytest.mark.parametrize("text", EXAMPLES)
def test_parses_as_querystring(node: Libraries, text: str) -> None:
    assert parse(text) == node.call("query", text)


@settings(max_examples=examples(400), deadline=None)
@given(st.text(st.sampled_from("ab%&=+[]2EC3A9zF0\xe9 ;"), max_size=24))
def test_parses_any_text_as_querystring(node: Libraries, text: str) -> None:
    assert parse(text) == node.call("query", text)


@pytest.mark.parametrize("count", [MAX_PAIRS - 1, MAX_PAIRS, MAX_PAIRS + 1])
@pytest.mark.parametrize("tail", ["", "&", "&a=1"])
@pytest.mark.parametrize("pair", ["{}=x", "&{}"])
def test_stops_where_querystring_stops(node: Libraries, count: int, tail: str, pair: str) -> None:
    text = "&".join(pair.format(number) for number in range(count)) + tail
    assert parse(text) == node.call("query", text)


def test_missing_query_parses_as_empty() -> None:
    assert parse(None) == {}

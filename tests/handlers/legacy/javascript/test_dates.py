"""Dates as V8 reads and writes them, compared with Node (its clock on UTC)."""

from __future__ import annotations

import pytest
from bson.datetime_ms import DatetimeMS
from hypothesis import given, settings
from hypothesis import strategies as st

from handlers.legacy.javascript import JavaScriptRangeError, clip, iso, parse_date, to_string
from handlers.legacy.javascript.dates import DAY, LIMIT, LONGEST_DATE, date_to_string
from handlers.legacy.javascript.inspect import inspect
from tests.support.node_child import Node
from tests.support.profile import examples

judged = settings(max_examples=examples(500), deadline=None)


def in_python(text: str) -> str:
    ms = parse_date(text)
    return "NaN" if ms is None else str(ms)


ODD = """
2020 | 2020-1-1 | 2020-01 | 2020-01-01 | 2020-02-30 | 2020-13-01 | 2020-00-01 | 20200101 | 2020-001 | 2020-W01-1
2020-01-01T10 | 2020-01-01T10:20 | 2020-01-01T10:20:30.1 | 2020-01-01T10:20:30.123456789Z | 2020-01-01t10:20z
2020-01-01T10:20+0530 | 2020-01-01T10:20+05:30 | 2020-01-01T10:20+24:00 | 2020-01-01T10:20-00:00
2020-01-01T24:00 | 2020-01-01T24:00:00.001 | 2020-01-01T23:60 | 2020-01-01T10:20 Z | 2020-01-01Z | 2020-01-01Tx
2020-01-01 10:00 | 2020-01-01 10:00Z | 2020-01-01 10:00 +01 | +012345-01-01 | +12345-01-01 | -000001 | -000000
-000000-01-01 | +275760-09-13 | +275760-09-13T00:00:00.001Z | -271821-04-20 | -271821-04-19 | +2020-01-01
Jan 1 2020 | January 1, 2020 | Janvier 1 2020 | 1 Jan 20 | 1-Jan-2020 | Jan 32 | 32 Jan | Jan | 2020 Jan 32 | x Jan 1
1/2/2020 | 1/2/20 | 13/1/2020 | 1.2.2020 | 1-2-2020 | 1/2 | 1 | 13 | 32 | 49 | 50 | 99 | 100
0 | -1 | 1.5 | 1e3 | 123456789012
Thu, 01 Jan 1970 00:00:00 GMT | Thu Jan 01 1970 00:00:00 GMT+0100 (CET) | 1 1 2000 10:20 PM | 1 1 2000 13:20 PM
1 1 2000 12 am | 1 1 2000 12:00 am | 1 1 2000 0:00 pm | 1 1 2000 10:20:30.5 | 1 1 2000 10:20.5 | 1 1 2000 10:20:30:40
1 1 2000 10::20 | 12:30:1:0.75 2/3/04 | 1 1 2000 10:20 EST | 1 1 2000 10:20 pdt | 1 1 2000 10:20 CEST | 1 1 2000 GMT+530
1 1 2000 10:00 +5:30 | 1 1 2000 10:00 +5:30:15 | 1 1 2000 10:00 +12345 | 1 1 2000 +5 | 1 1 2000 10:00 - | 24:00 1 1 2000
(a(b)c) 1 1 2000 | 1 1 2000 (open | 1 1 2000 ) | x1 | x-1 | x)1 | [1] | today | now | null | undefined | tomorrow
1 1 2000 10:20 +596523:14:07 | 1 1 2000 10:20 +596524: | 1 1 2000 10:20 +1193047:1 | 1 1 2000 10:20 -053020202:
1 1 2000 00000010:20 | 1 2 3 4 | 10:20 | 1 1 2000 10:30am | 1 1 2000 10:30 a.m. | 2020-01-01T10:20:30.Z | 1,2,2000 | 5--
"""
TABLE = [text.strip() for line in ODD.split("\n") for text in line.split("|")]
TABLE += [
    "2020\0-01-01",
    "1 1\0",
    "2020-01-01\n",
    " 2020-01-01",
    "2020\u20281",
    "2020\xa01",
    "Jané 1 2020",
    "1 1 2000 10:20:30\n",
]


def test_unusual_dates_parse_as_in_node(node: Node) -> None:
    assert {text: in_python(text) for text in TABLE} == {text: node.call("date", text) for text in TABLE}


PIECES = [
    *"0123456789:-+./ TZzt(),x\n\0é\u2028\xa0",
    "::",
    "00",
    "000",
    "24",
    "31",
    "59",
    "2020",
    "012345",
    "Jan",
    "MARXX",
]
PIECES += ["+053020202:", "-1193047:", "am", "PM", "UTC", "EST", "pdt", "1234567890", "😀", ".5", "  "]
WHOLE = [text for text in TABLE if text]


@st.composite
def spoilt(draw: st.DrawFn) -> str:
    text = draw(st.sampled_from(WHOLE))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(text)))
        text = text[:at] + draw(st.sampled_from(["", *PIECES])) + text[at + draw(st.integers(0, 1)) :]
    return text


@judged
@given(text=spoilt() | st.lists(st.sampled_from(PIECES), max_size=9).map("".join))
def test_texts_parse_to_dates_as_in_node(node: Node, text: str) -> None:
    assert in_python(text) == node.call("date", text)


@judged
@given(ms=st.integers(-LIMIT - DAY, LIMIT + DAY) | st.integers(-(10**14), 10**14))
def test_dates_print_as_in_node(node: Node, ms: int) -> None:
    assert date_to_string(ms) == to_string(DatetimeMS(ms)) == node.call("string", DatetimeMS(ms))
    assert inspect(DatetimeMS(ms)) == node.call("inspect", DatetimeMS(ms))
    if abs(ms) <= LIMIT:
        assert parse_date(iso(ms)) == ms


@pytest.mark.parametrize("skipped", ["x ", "()", "$'"])
def test_text_beyond_the_limit_is_no_date(skipped: str) -> None:
    date = "(2020) 1 Jan 2020"
    before = skipped * ((LONGEST_DATE - len(date)) // 2)
    assert parse_date(f"{before}{date}") == parse_date(date)
    assert parse_date(f"{before}  {date}") is None


def test_invalid_date_has_no_iso_form() -> None:
    with pytest.raises(JavaScriptRangeError, match="Invalid time value"):
        iso(LIMIT + 1)


def test_number_becomes_a_truncated_date() -> None:
    assert clip(1.9) == 1
    assert clip(-1.9) == -1
    assert clip(float("nan")) is None
    assert clip(LIMIT + 1.0) is None

"""Hypothesis strategies for JavaScript values that the legacy may receive, mostly unusual ones."""

from __future__ import annotations

from bson import Binary, Code, DBRef, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.datetime_ms import DatetimeMS
from hypothesis import strategies as st

from handlers.legacy.javascript import UNDEFINED
from handlers.legacy.javascript.numbers import normal

ID = ObjectId("64b7f0f0f0f0f0f0f0f0f0f0")

_PIECES = (
    *"aZ09_$ .\"'`\\\n\t\b\0\x1b\x7f\x9f\xa0\xad\u2028\ufeff",
    *("${", "é", "漢", "e\u0301", "😀", "👩\u200d👩", "x" * 30, "some words "),
)
LONE = st.sampled_from(["\ud800", "\udc00"])


def joined(text: str) -> str:
    """Return the text with adjacent surrogates joined into characters, as in JavaScript."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


texts = st.lists(st.sampled_from(_PIECES) | LONE, max_size=12).map(lambda parts: joined("".join(parts)))
_INDICES = ("1", "10", "2", "0", "01", "4294967294", "4294967295", "-1")
_NAMES = ("a", "_id", "name", "", "__proto__", "constructor", "toString", "toJSON", "length", "x-y", "é", "$gt", "it's")
names = st.sampled_from([*_INDICES, *_NAMES]) | texts
numbers = st.one_of(
    st.integers(-9, 999),
    st.floats().map(normal),
    st.floats(-1e6, 1e6).map(lambda number: normal(round(number, 2))),
    st.builds(lambda digits, power: normal(float(f"{digits}e{power}")), st.integers(-99, 99), st.integers(-9, 23)),
    st.sampled_from([-0.0, 1e21, 1e-7, 123456789012345680000.0, 5e-324, 2**53, -(2**53), 1e16 + 2]),
)
BSON: list[object] = [
    ID,
    DatetimeMS(0),
    DatetimeMS(1_700_000_000_123),
    DatetimeMS(-62_198_755_200_001),
    DatetimeMS(253_402_300_800_000),
    DatetimeMS(8_640_000_000_000_001),
    Decimal128("1.50"),
    Decimal128("1E+30"),
    Decimal128("-NaN"),
    Decimal128("0.0000001"),
    Int64(7),
    Int64(2**53),
    Int64(2**53 + 1),
    Int64(-(2**63)),
    Timestamp(4_000_000_000, 7),
    Regex("a/b", "im"),
    Regex("[/]\\/\n", "s"),
    Regex(""),
    DBRef("c", ID),
    DBRef("c", 1, "db", x=1),
    MinKey(),
    MaxKey(),
    b"hello",
    b"\xff\xfe",
    Binary(b"x", 128),
    Binary(b"0123456789abcdef", 4),
]
CODES: list[object] = [Code("f()"), Code("f()", {"a": 1})]
scalars = st.one_of(st.none(), st.booleans(), st.just(UNDEFINED), numbers, texts, st.sampled_from(BSON))


def _containers(inner: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    return st.lists(inner, max_size=9) | st.dictionaries(names, inner, max_size=6)


_long_lists = st.integers(95, 105).flatmap(
    lambda size: st.sampled_from([numbers, texts, st.sampled_from(["ab", 1, "漢字", None])]).flatmap(
        lambda items: st.lists(items, min_size=size, max_size=size)
    )
)
values = st.recursive(scalars, _containers, max_leaves=30) | st.lists(numbers, max_size=40) | _long_lists

json_values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(names, inner, max_size=5),
    max_leaves=12,
)

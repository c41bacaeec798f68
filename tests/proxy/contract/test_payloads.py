"""The fast parser of JSON accepts what the standard library's does, with the same values."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.contract.payloads import PayloadError, parse_json

TEXTS = [
    "1e400", "-1E+400", "1e-400", "9" * 310, "9" * 4400, "NaN", "Infinity", "-0", "-0.0", "1.0", "01", "1.", ".5",
    "[1,]", '{"a":1,}', '"\\ud800"', '"\\u0000"', '"\x01"', '"\t"', "\ufeff{}", "[" * 300 + "]" * 300, "", " ", "nul",
    '{"a":1,"a":2}', "1 2", "12345678901234567890.5", "123456789012345678901234567890", '"\U0001f600"', "'a'", "// 1",
    "1" * 250 + "e99", "[0.1e400]", '{"a":-1e+400}', " 1E999", "[1," + "2" * 400 + "]", '["6e1234567890"]',
]  # fmt: skip
NUMBERS = st.from_regex(r"-?(0|[1-9][0-9]{0,260})(\.[0-9]{1,5})?([eE][+-]?[0-9]{1,4})?", fullmatch=True)
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
values = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=10)


def outcome(read: Callable[[str], Any], text: str) -> str:
    """Return what a parser reads; a number beyond the range of a float counts as refused."""
    try:
        return repr(read(text))
    except (PayloadError, ValueError):
        return "refused"


def read_with_library(text: str) -> Any:
    return json.loads(text, parse_constant=finite, parse_float=finite)


def finite(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError
    return number


@pytest.mark.parametrize("text", TEXTS)
def test_unusual_texts_are_read_as_by_the_library(text: str) -> None:
    assert outcome(parse_json, text) == outcome(read_with_library, text)


@given(values, st.booleans())
def test_values_are_read_as_by_the_library(value: Any, ascii_only: bool) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only)
    assert outcome(parse_json, text) == outcome(read_with_library, text)


@given(st.lists(NUMBERS, min_size=1, max_size=3))
def test_numbers_are_read_as_by_the_library(numbers: list[str]) -> None:
    text = f"[{','.join(numbers)}]"
    assert outcome(parse_json, text) == outcome(read_with_library, text)

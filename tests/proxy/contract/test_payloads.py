"""The fast parser of JSON accepts what the standard library's does, with the same values."""

from __future__ import annotations

import json
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


def read(text: str, *, unique_names: bool) -> Any:
    try:
        return parse_json(text, unique_names=unique_names)
    except PayloadError as error:
        return str(error)


@pytest.mark.parametrize("text", TEXTS)
def test_unusual_texts_are_read_alike_by_both_parsers(text: str) -> None:
    slow = read(text, unique_names=True)
    assert slow == "has a name twice in one object" or repr(read(text, unique_names=False)) == repr(slow)


@given(values, st.booleans())
def test_values_are_read_alike_by_both_parsers(value: Any, ascii_only: bool) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only)
    assert repr(read(text, unique_names=False)) == repr(json.loads(text))


@given(st.lists(NUMBERS, min_size=1, max_size=3))
def test_numbers_are_read_alike_by_both_parsers(numbers: list[str]) -> None:
    text = f"[{','.join(numbers)}]"
    assert repr(read(text, unique_names=False)) == repr(read(text, unique_names=True))

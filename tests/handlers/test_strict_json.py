"""JSON of other services: what RFC 8259 allows, of any length."""

from __future__ import annotations

import json
import math

import pytest

from handlers.strict_json import loads


@pytest.mark.parametrize(
    "text", ["NaN", "[Infinity]", '{"a":-Infinity}', "", "{", "01", "'x'", "[1,]", '"\t"', "\ufeff1"]
)
def test_texts_that_are_not_json_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"NaN|Infinity|column|delimiter|Expecting|Extra|BOM"):
        loads(text)


@pytest.mark.parametrize("value", [None, True, 0, -1, 10**399, 1.5, "NaN", "\ud800", {"a": [{}, "b"]}])
def test_json_is_read(value: object) -> None:
    assert loads(json.dumps(value)) == value


def test_integer_of_any_length_is_read() -> None:
    assert loads(f"[{'1' * 5000}, -{'1' * 5000}]") == [math.inf, -math.inf]

"""The bound on a JSON text's values, counted without parsing it."""

from __future__ import annotations

import bisect
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.json_structure import MAX_SURROGATES, StructureCounter, StructureError

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner, max_size=5),
    max_leaves=30,
)


def count(pieces: list[str] | list[bytes]) -> int:
    """Return the lowest limit that admits the text."""
    return bisect.bisect_left(range(10_000), x=True, key=lambda limit: is_admitted(pieces, limit))


def is_admitted(pieces: list[str] | list[bytes], limit: int) -> bool:
    counter = StructureCounter(limit)
    try:
        for piece in pieces:
            counter.feed(piece)
    except StructureError:
        return False
    return True


def marks(value: object) -> int:
    """Return the number of opening brackets and commas in a value's text."""
    if isinstance(value, dict):
        return 1 + max(0, len(value) - 1) + sum(map(marks, value.values()))
    if isinstance(value, list):
        return 1 + max(0, len(value) - 1) + sum(map(marks, value))
    return 0


@given(value=json_values, size=st.integers(1, 7), ascii_only=st.booleans())
def test_count_cut_anywhere_equals_the_values(value: object, size: int, ascii_only: bool) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only)
    data = text.encode("utf-8", "surrogatepass")
    expected = min(marks(value) + 1, len(text)) if marks(value) else count([text])
    in_pieces = [text[at : at + size] for at in range(0, len(text), size)]
    in_bytes = [data[at : at + size] for at in range(0, len(data), size)]
    assert count([text]) == count(in_pieces) == expected
    assert min(count(in_bytes), expected) == expected


@pytest.mark.parametrize(
    "text", ["[" * 50, "[0" + ",0" * 50, '{"a":' * 50, '["\\\\",' * 50, '["\\"",' * 50, "\0" + '"[' * 50]
)
def test_excessive_values_at_any_depth_are_refused(text: str) -> None:
    assert not is_admitted([text], 40)


@pytest.mark.parametrize("text", ['"' + "[{," * 50 + '"', '"\\"' + ",[" * 50 + '"', '"\\\\\\",' + "[" * 50 + '"'])
def test_structure_in_a_string_is_not_counted(text: str) -> None:
    assert is_admitted([text], 40)


def test_excessive_surrogates_are_refused() -> None:
    assert is_admitted(['"' + "\\ud83d" * (MAX_SURROGATES - 100) + '"'], 40)
    assert not is_admitted(['"' + "\\ud83d" * (MAX_SURROGATES + 100) + '"'], 40)

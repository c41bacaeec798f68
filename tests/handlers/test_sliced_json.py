"""JSON parsed in slices has the same value as JSON parsed at once, for any text."""

from __future__ import annotations

import json
import sys
import tracemalloc

import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

from handlers.json_structure import SLICE, StructureError
from handlers.legacy.javascript import JSONSyntaxError, parse, stringify
from handlers.sliced_json import MIN_REMOVED, parse_in_slices, write_in_slices
from tests.support.tracing import untraced

SMALL = 300
"""Characters of a slice, so that small texts have many."""

digits = st.integers(0, 3000).map(lambda size: "1234567890" * (size // 10)) | st.sampled_from(("", "0" * 900))
numbers = st.builds(
    lambda sign, whole, fraction, exponent: f"{sign}{whole.lstrip('0') or 0}{fraction and '.' + fraction}{exponent}",
    st.sampled_from(("", "-")),
    digits,
    digits,
    st.sampled_from(("", "e5", "E-700", "e+" + "0" * 300 + "12", "e-2990", "e2990")),
)
strings = st.builds(
    lambda before, piece, times: '"' + before + piece * times + '"',
    st.sampled_from(("", "plain" * 200)),
    st.sampled_from(("a", "é", "😀", "\\n", "é\\ud83d\\ude00", '\\"', "\\\\", "x\\u0041", "ab\\\\\\u00e9")),
    st.sampled_from((1, 200, 300, 12_000)),
)
texts = st.recursive(
    numbers | strings | st.sampled_from(("true", "null")),
    lambda inner: (
        st.lists(inner, max_size=4).map(lambda members: f"[{','.join(members)}]")
        | st.lists(st.tuples(strings, inner), max_size=3).map(
            lambda members: "{" + ",".join(f"{name} :{' ' * 300}{value}" for name, value in members) + "}"
        )
    ),
    max_leaves=8,
)

damages = st.sampled_from(("", "x", '"', "\\", "\\u12", "\n", "1", "-", "e", ".", "]", "}", ",", "[", "+", "0"))


def in_javascript(text: str) -> object:
    try:
        return repr(parse(text))
    except JSONSyntaxError:
        return "refused"


async def sliced_in_javascript(text: str) -> object:
    try:
        return repr(await parse_in_slices(text, parse, slice_size=SMALL))
    except JSONSyntaxError:
        return "refused"
    except StructureError:  # more surrogates than are read in slices
        reject()


@given(text=texts)
async def test_text_in_slices_has_the_value_of_the_whole(text: str) -> None:
    assert await sliced_in_javascript(text) == in_javascript(text)


@given(text=texts, damage=damages, where=st.floats(0, 1), size=st.integers(0, 3))
async def test_damaged_text_is_refused_as_the_whole_is(text: str, damage: str, where: float, size: int) -> None:
    at = int(where * len(text))
    damaged = text[:at] + damage + text[at + size :]
    assert await sliced_in_javascript(damaged) == in_javascript(damaged)


@given(text=texts, damage=damages, where=st.floats(0, 1))
async def test_error_position_is_that_in_the_whole(text: str, damage: str, where: float) -> None:
    at = int(where * len(text))
    damaged = text[:at] + damage + text[at:]
    expected = actual = None
    try:
        json.loads(damaged, parse_int=float)
    except json.JSONDecodeError as error:
        expected = (error.msg, error.pos)
    try:
        await parse_in_slices(damaged, json.loads, slice_size=SMALL)
    except json.JSONDecodeError as error:
        actual = (error.msg, error.pos)
    except StructureError:  # more surrogates than are read in slices
        reject()
    assert actual == expected


repeated = st.builds(
    lambda before, piece, times, after: before + piece * times + after,
    st.sampled_from(("", "[", "[1,", '{"a":', '["b"', "[-", "\n")),
    st.sampled_from(
        (
            *"x10-+.e:]}\0é\ufeff ",
            "1 ",
            "x ",
            "]1",
            ":1",
            "1:",
            "{}",
            "[]",
            "tru",
            "true ",
            "null\n",
            "NaN",
            "-Infinity",
        )
    ),
    st.sampled_from((1, 2, 31, 33, 255, 257, 400)),
    st.sampled_from(("", "]", ",1]", "}", '"c"', " 2", "é")),
)


@given(text=repeated)
async def test_repeated_tokens_have_the_outcome_of_the_whole(text: str) -> None:
    assert await _outcome(text, slice_size=SMALL // 10) == _outcome_at_once(text)


async def _outcome(text: str, slice_size: int) -> object:
    try:
        return repr(await parse_in_slices(text, json.loads, slice_size=slice_size))
    except json.JSONDecodeError as error:
        return error.msg, error.pos


def _outcome_at_once(text: str) -> object:
    try:
        return repr(json.loads(text, parse_int=_as_number))
    except json.JSONDecodeError as error:
        return error.msg, error.pos


def _as_number(digits: str) -> float:
    return int(digits) if len(digits) < MIN_REMOVED else float(digits)


@pytest.mark.parametrize("piece", ["\0", "x", "é", "1 ", "x ", "]", ":1", "1:", "]1", "true ", "[]]"])
async def test_parser_gets_no_text_after_a_fault(piece: str) -> None:
    lengths = list[int]()

    def parse_counted(text: str) -> object:
        lengths.append(len(text))
        return json.loads(text)

    with pytest.raises(json.JSONDecodeError):
        await parse_in_slices(piece * 1_000_000, parse_counted)
    assert lengths[0] <= SLICE


@pytest.mark.parametrize(
    "text",
    ["[" * 50_000, '{"a":' * 20_000, '"",' * 40_000, '""' * 40_000, "[1" + ",1" * 50_000, '"' + "\\ud83d" * 60_000],
)
async def test_text_of_excessive_values_is_refused(text: str) -> None:
    with pytest.raises(StructureError):
        await parse_in_slices(text, parse)


texts = st.builds(
    lambda piece, times: piece * times,
    st.sampled_from(("a", "é😀", '"', "\\", "\n\x00", "\ud800", "\udc00x")),
    st.sampled_from((1, 200, 1_000)),
)
values = st.recursive(
    texts | st.none() | st.booleans() | st.integers(-(2**31), 2**31),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("ab1", max_size=3), inner, max_size=4),
    max_leaves=20,
)


@given(values)
async def test_value_written_in_slices_equals_one_written_at_once(value: object) -> None:
    assert await write_in_slices(value, stringify, SMALL) == stringify(value).encode()


async def test_written_value_stays_unchanged() -> None:
    value = {"a": ["x" * 1_000, {"b": "y" * 1_000}]}
    await write_in_slices(value, stringify, SMALL)
    assert value == {"a": ["x" * 1_000, {"b": "y" * 1_000}]}


@pytest.mark.parametrize("text", [f'{{"audio":"{"QUJD" * 500_000}"}}', f'["{"é" * 500_000}",1]'])
async def test_long_plain_string_is_copied_once(text: str) -> None:
    tracemalloc.start()
    try:
        with untraced():
            value = await parse_in_slices(text, json.loads)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert value == json.loads(text)
    assert peak < 1.5 * sys.getsizeof(text)

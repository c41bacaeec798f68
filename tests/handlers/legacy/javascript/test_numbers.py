"""Numbers as JavaScript prints and reads them, compared with Node."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handlers.legacy.javascript import number_to_string, string_to_number
from handlers.legacy.javascript.numbers import from_digits, normal
from tests.support.javascript_values import numbers
from tests.support.node_child import Node, describe
from tests.support.profile import examples

judged = settings(max_examples=examples(400), deadline=None)


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    with Node() as child:
        yield child


@judged
@given(number=numbers, radix=st.sampled_from([10, 2, 3, 7, 16, 35, 36]))
def test_radix_output_equals_node(node: Node, number: float, radix: int) -> None:
    assert number_to_string(number, radix) == node.call("radix", number, radix)


@judged
@given(number=st.floats(1, 2), exponent=st.integers(50, 1000), radix=st.sampled_from([3, 7, 10, 36]))
def test_radix_output_of_large_numbers_equals_node(node: Node, number: float, exponent: int, radix: int) -> None:
    large = math.ldexp(number, exponent)
    assert number_to_string(large, radix) == node.call("radix", large, radix)


WORDS = [
    "",
    "1",
    "-1",
    "+1",
    ".5",
    "5.",
    ".",
    "1e5",
    "1E+5",
    "1e",
    "0x1F",
    "0XG",
    "-0x1",
    "0b12",
    "0b11",
    "0o17",
    "0O8",
]
WORDS += [
    "Infinity",
    "-Infinity",
    "+Infinity",
    "infinity",
    "NaN",
    "1_0",
    "1e400",
    "-0",
    "١",
    "1,5",
    "12345678901234567890",
]
WORDS += ["0x" + "f" * 300, "0x20000000000001", "1 2", "true", "1n"]
SPACES = ["", " ", "\n", "\xa0", "\ufeff", "\u2028", "\u3000", "\x1c", "\x85", "\u180e", "\u200b"]


def test_texts_convert_to_numbers_as_in_node(node: Node) -> None:
    texts = [space + word + space for word in WORDS for space in SPACES]
    expected = {text: node.call("number", text) for text in texts}
    assert {text: describe(string_to_number(text)) for text in texts} == expected


def test_integral_numbers_up_to_the_bound_are_ints_but_minus_0() -> None:
    assert isinstance(normal(2.0**53), int)
    assert isinstance(normal(2.0**53 + 2), float)
    assert isinstance(normal(-0.0), float)
    assert isinstance(from_digits("-0"), float)
    assert isinstance(from_digits("9007199254740993"), int)
    assert from_digits("9007199254740993") == 2**53

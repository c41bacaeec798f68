"""Numbers as JavaScript prints and reads them, compared with Node."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handlers.legacy.javascript import number_to_string, string_to_number
from handlers.legacy.javascript.numbers import from_digits, normal
from tests.support.javascript_values import numbers
from tests.support.node_child import Node, describe
from tests.support.profile import examples

judged = settings(max_examples=examples(400), deadline=None)


@judged
@given(number=numbers)
def test_text_of_a_number_equals_nodes(node: Node, number: float) -> None:
    assert number_to_string(number) == node.call("string", number)


@judged
@given(number=st.floats(1, 2), exponent=st.integers(-1000, 1000))
def test_text_of_a_number_of_any_size_equals_nodes(node: Node, number: float, exponent: int) -> None:
    scaled = math.ldexp(number, exponent)
    assert number_to_string(scaled) == node.call("string", scaled)


@pytest.mark.parametrize("digits", ["1", "-1.5", "9.999999999999999"])
def test_text_around_the_first_exponents_equals_nodes(node: Node, digits: str) -> None:
    numbers_around = [float(f"{digits}e{power}") for power in range(-9, 25)]
    assert [number_to_string(each) for each in numbers_around] == [node.call("string", each) for each in numbers_around]


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

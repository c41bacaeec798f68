"""util.inspect, compared with Node."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings

from handlers.legacy.javascript import inspect
from handlers.legacy.javascript.inspect import MAX_CHARACTERS, MAX_SHOWN
from tests.support.javascript_values import BSON, CODES, joined, values
from tests.support.node_child import Node
from tests.support.profile import examples

ODD: list[object] = [
    *["", "it's", 'it\'s "q"', 'it\'s "q" `b`', 'it\'s "q" ${b}', "\ud800\0\x1b\x7f\x9f\\\n", "a\nb", "x" * 200],
    *["a\n" * 50, ("line\n" * 20 + "last"), "x" * 10_000, "x" * 10_001, "x" * 10_002 + "\n", "😀" * 6000],
    *["".join(map(chr, range(0xB0))), "'\"`" + "".join(map(chr, range(0x20))), *map(chr, range(0xD7FF, 0xE001, 97))],
    *[{"a": "a\n" * 50}, {"a": {"b": {"c": {}}}}, {"a": {"b": {"c": {"d": 1}}}}, [[[[]]]], [[[[1]]]], {"a": [[[{}]]]}],
    *[
        {"a": 1, "b-c": 2, "1": 3, "": 4, "__proto__": 5, "é": 6, "$": 7},
        {"k" * 80: 1},
        {"k": "v" * 70},
        {"k": "v" * 71},
    ],
    *[list(range(6)), list(range(7)), list(range(100)), list(range(101)), list(range(102)), [1.5] * 30, [-0.0, 0]],
    *[
        ["aaa", None, 1, None, 1, 1, None],
        ["漢字"] * 7,
        ["e\u0301", "👩\u200d👩", "\xad"] * 3,
        ["x" * 5] * 101,
        [{}] * 8,
    ],
    *[
        [[1, 2, [3, 4, [5, [6]]], {"f": "g"}], 5],
        {"a": [{"b": {"c": 1}}], "d": {"e": 1}},
        {"a": {"b": {"c": {}}}, "d": 1},
    ],
    *[{"constructor": 1, "toString": 2}, {"a": list(range(30))}, {"a": {"b": list(range(200))}}],
]


def test_unusual_values_are_inspected_as_in_node(node: Node) -> None:
    values = ODD + BSON + CODES
    assert [inspect(value) for value in values] == [node.call("inspect", value) for value in values]


@settings(max_examples=examples(100), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(value=values)
def test_values_are_inspected_as_in_node(node: Node, value: object) -> None:
    assert inspect(value) == joined(node.call("inspect", value))


@pytest.mark.parametrize(
    "value",
    [
        {f"{number}\x7f" * 200: 0 for number in range(5_000)},
        {"\x7f" * 10 * MAX_SHOWN: 0},
        {str(number): "\x7f" * MAX_CHARACTERS for number in range(1_000)},
        {"a": [["'\"`" * 3_000] * 100] * 100},
    ],
    ids=["keys", "one key", "values", "arrays"],
)
def test_characters_of_a_large_value_are_limited(value: object) -> None:
    assert len(inspect(value)) < 5 * MAX_SHOWN + 100 * 5_000


def test_value_within_the_limit_is_whole() -> None:
    value = {f"k{number}": "x" * (MAX_SHOWN // 10 - 2) for number in range(10)}
    assert "more character" not in inspect(value)
    assert inspect({**value, "k": "yz"}).endswith("'': ''... 2 more characters\n}")

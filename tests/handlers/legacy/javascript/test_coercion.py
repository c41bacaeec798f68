"""Values as strings and numbers, and the names of their types, compared with Node."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from bson.datetime_ms import DatetimeMS
from hypothesis import HealthCheck, given, settings

from handlers.legacy.javascript import UNDEFINED, JavaScriptTypeError, to_number, to_string, type_of, value_type
from handlers.legacy.javascript.dates import LIMIT
from tests.support.javascript_values import BSON, CODES, joined, values
from tests.support.node_child import Node, Thrown, describe
from tests.support.profile import examples

judged = settings(max_examples=examples(100), deadline=None, suppress_health_check=[HealthCheck.too_slow])


def in_python(convert: Callable[[object], str], value: object) -> str:
    try:
        return joined(convert(value))
    except JavaScriptTypeError as error:
        return f"TypeError: {error}"


def in_node(node: Node, question: str, value: object) -> str:
    try:
        return node.call(question, value)
    except Thrown as thrown:
        return str(thrown)


ODD: list[object] = [
    *BSON,
    *CODES,
    True,
    False,
    None,
    UNDEFINED,
    [],
    [[]],
    [None],
    [1, [2, None]],
    {},
    {"toString": 1},
    {"valueOf": 1},
    ["7"],
    [" 8 "],
    "",
    "\n",
    *map(DatetimeMS, (LIMIT, -LIMIT, LIMIT + 1, -LIMIT - 1)),
]


@pytest.mark.parametrize("value", ODD, ids=repr)
def test_unusual_values_convert_as_in_node(node: Node, value: object) -> None:
    assert in_python(to_string, value) == in_node(node, "string", value)
    assert in_python(lambda given: describe(to_number(given)), value) == in_node(node, "number", value)
    assert type_of(value) == node.call("typeof", value)
    assert value_type(value) == node.call("valueType", value)


@judged
@given(value=values)
def test_values_convert_as_in_node(node: Node, value: object) -> None:
    assert in_python(to_string, value) == in_node(node, "string", value)
    assert in_python(lambda given: describe(to_number(given)), value) == in_node(node, "number", value)


@judged
@given(value=values)
def test_type_names_equal_node_and_mongoose(node: Node, value: object) -> None:
    assert type_of(value) == node.call("typeof", value)
    assert value_type(value) == node.call("valueType", value)

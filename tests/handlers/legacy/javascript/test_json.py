"""JSON as Node reads and writes it, compared with Node itself."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from handlers.legacy.javascript import (
    UNDEFINED,
    JavaScriptRangeError,
    JSONSyntaxError,
    parse,
    quote_each,
    stringify,
)
from handlers.legacy.javascript.json import MAX_DEPTH
from handlers.legacy.javascript.json_parser import Reader
from tests.support.javascript_values import BSON, CODES, joined, json_values, texts, values
from tests.support.node_child import Node, Thrown, describe
from tests.support.profile import examples

judged = settings(max_examples=examples(100), deadline=None, suppress_health_check=[HealthCheck.too_slow])


def in_node(node: Node, text: str) -> str:
    try:
        return node.call("parse", text)
    except Thrown as thrown:
        return str(thrown)


def in_python(text: str) -> str:
    try:
        return describe(parse(text))
    except JSONSyntaxError as fault:
        return f"SyntaxError: {fault.message}"


def by_hand(text: str) -> str:
    try:
        return describe(Reader(text).read())
    except JSONSyntaxError as fault:
        return f"SyntaxError: {fault.message}"


ODD = [
    *[
        "",
        " ",
        "\ufeff{}",
        "\xa01",
        "\v1",
        "\0",
        "null",
        "NaN",
        "Infinity",
        "-Infinity",
        "undefined",
        "[object Object]",
    ],
    *["1e400", "-1e400", "1e-400", "-0", "-0.0", "0.0", "1.0", "1E5", "123456789012345678901234567890", "1" * 5000],
    *["9007199254740992", "9007199254740993", "-9007199254740993", "01", "-", "-a", "1.", "1.a", "1e", "1e+", "1ee5"],
    *[".5", "+1", "0x1", "1_0", "00", "-01", "tru", "truex", "tr\\u", 'tr"', "tr1", "nul", "falsy", "[tru]"],
    *['"a', '"\\x"', '"\\u12g4"', '"\\u12', '"\\', '"\n"', '"\x7f"', '"\u2028"', '"\\ud83d\\ude00"', '"\\ud83d"'],
    *[
        '"\\😀"',
        '"\\é"',
        '"\\u١٢٣٤"',
        "'a'",
        "{",
        "{a",
        '{"a"',
        '{"a":',
        '{"a":1',
        '{"a":1,',
        '{"a":1,}',
        "{,}",
        "{1:2}",
    ],
    *['{"a" 1}', '{"a":1,"b" 2}', '{"a":1,"b""c"}', '{"a":1,"b"}', '{"a":1 "b"}', '{"a":1]', "[1}", "[1,,2]", "[1,]"],
    *["[1 2]", "{}}", "1 2", '"a"b', "😀", '{"a":😀}', "x" * 50, "[1,2,3,4,x,6,7,8,9,0,1,2]", " " * 10 + "x" + " " * 9],
    *['{"a":1,"b":2,"a":3}', '{"b":1,"2":2,"1":3,"01":4}', '{"\\u0031":1,"0":2,"__proto__":{"1":1,"0":2}}'],
    *['{"4294967295":1,"4294967294":2,"9007199254740992":1,"7":1}', '{"-1":1,"1.5":2,"1":3,"":4}'],
]


def test_unusual_json_parses_as_in_node(node: Node) -> None:
    expected = {text: in_node(node, text) for text in ODD}
    assert {text: in_python(text) for text in ODD} == expected
    assert {text: by_hand(text) for text in ODD} == expected


@st.composite
def damaged(draw: st.DrawFn) -> str:
    """Draw JSON with one or two characters removed or inserted, or with its end cut off."""
    text = draw(json_values.map(stringify))
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(text)))
        piece = draw(st.sampled_from([*'"\\{}[],:-.eE+01tn \n\0é\ufeff', "NaN", "true", "\\u12", "\\ud800", "", "😀"]))
        text = text[:at] + piece + draw(st.sampled_from([text[at:], text[at + 1 :], text[at:], ""]))
    return joined(text)


@settings(judged, max_examples=examples(300))
@given(text=damaged())
def test_texts_parse_as_json_as_in_node(node: Node, text: str) -> None:
    expected = in_node(node, text)
    assert in_python(text) == expected
    assert by_hand(text) == expected


@pytest.mark.parametrize("value", [*BSON, *CODES], ids=repr)
def test_bson_types_are_written_as_by_js_bson(node: Node, value: object) -> None:
    assert stringify(value) == node.call("stringify", value)


@judged
@given(value=values)
@example(value={"time": "10:20:30.5", "n": [1.5, 2.0, 1e16]})
@example(value=[2**63, 1e300])
def test_values_are_stringified_as_in_node(node: Node, value: object) -> None:
    expected = node.call("stringify", value)
    assert stringify(value) == ("" if value is UNDEFINED else expected)


@judged
@given(text=texts)
def test_reading_undoes_writing(text: str) -> None:
    assert parse(stringify({"k": [text]})) == {"k": [text]}


def test_undefined_is_dropped_from_objects_and_null_in_arrays() -> None:
    assert stringify({"a": UNDEFINED, "b": [UNDEFINED], "c": {"d": UNDEFINED}}) == '{"b":[null],"c":{}}'


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_reads_any_depth(opening: str, closing: str) -> None:
    depth = 100_000
    value: object = parse(opening * depth + "1" + closing * depth)
    for _ in range(depth):
        assert isinstance(value, dict | list)
        value = value["a"] if isinstance(value, dict) else value[0]
    assert value == 1


def test_finds_a_fault_at_any_depth(node: Node) -> None:
    text = "[" * 5000 + "x"
    assert in_python(text) == in_node(node, text)


def test_orders_keys_at_any_depth() -> None:
    text = '{"a":' * 3000 + '{"2":0,"1":0}' + "}" * 3000
    assert stringify(parse(text)) == text.replace('{"2":0,"1":0}', '{"1":0,"2":0}')


def test_writing_deep_nesting_is_a_range_error(node: Node) -> None:
    deep = parse("[" * 9000 + "]" * 9000)
    with pytest.raises(JavaScriptRangeError, match="Maximum call stack size exceeded"):
        stringify(deep)
    for opening, inner, closing in (("[", "1", "]"), ('{"a":', "1", "}")):
        deepest = opening * MAX_DEPTH + inner + closing * MAX_DEPTH
        assert stringify(parse(deepest)) == deepest
        with pytest.raises(JavaScriptRangeError):
            stringify(parse(opening + deepest + closing))


def test_unsupported_python_type_is_refused() -> None:
    with pytest.raises(TypeError, match="set is not a JavaScript value"):
        stringify([{1, 2}])


@settings(deadline=None)
@given(st.lists(texts, max_size=4))
@example(["\ud800", "é"])
def test_strings_are_quoted_alike_alone_and_nested(strings: list[str]) -> None:
    assert quote_each(strings) == [stringify(each) for each in strings]

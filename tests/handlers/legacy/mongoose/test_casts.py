"""Values that mongoose casts to each type, by example; test_oracle compares many more with the real library."""

from __future__ import annotations

from typing import Any

import pytest
from bson import Binary, Code, Decimal128, Int64, MinKey, ObjectId
from bson.datetime_ms import DatetimeMS

from handlers.legacy.javascript import UNDEFINED, Value
from handlers.legacy.models import PROMPTS
from handlers.legacy.mongoose import Document, casts
from handlers.legacy.mongoose.errors import CastFailureError

HEX = "64b7f0f0f0f0f0f0f0f0f0f0"


def refusal(cast: Any, value: Value) -> str | None:
    """Return the name of the error behind a refusal, or None if the refusal has no reason."""
    with pytest.raises(CastFailureError) as raised:
        cast(value)
    return raised.value.reason.name if raised.value.reason else None


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a", "a"),
        (5, "5"),
        (1e21, "1e+21"),
        (True, "true"),
        ({"_id": "by id"}, "by id"),
        (ObjectId(HEX), HEX),
        (DatetimeMS(0), "Thu Jan 01 1970 00:00:00 GMT+0000 (Coordinated Universal Time)"),
        (Decimal128("1.50"), "1.50"),
    ],
)
def test_strings(value: Value, text: str) -> None:
    assert casts.cast_string(value) == text


def test_trimmed_text_loses_the_white_space_of_javascript() -> None:
    # Python's `strip` removes other characters: these on the inside, and none of the last two.
    inside = "\x1c\x85a b\x1d\x1f"
    prompt = Document.create(PROMPTS, {"prompt_name": f"\ufeff \n{inside}\u2028\ufeff"})
    assert prompt.get("prompt_name") == inside


@pytest.mark.parametrize("value", [[], ["a"], {}, {"_id": 5}, {"_id": ""}, Code("x"), MinKey()])
def test_uncastable_string_is_refused(value: Value) -> None:
    assert refusal(casts.cast_string, value) is None


@pytest.mark.parametrize(
    ("values", "truth"), [((True, "true", 1, 1.0, "1", "yes"), True), ((False, "no", 0, -0.0), False)]
)
def test_booleans(values: tuple[Value, ...], truth: bool) -> None:
    assert {casts.cast_boolean(value) for value in values} == {truth}


@pytest.mark.parametrize("value", ["maybe", 2, [], {}, [True], "TRUE", float("nan"), Int64(2**60)])
def test_uncastable_boolean_is_refused(value: Value) -> None:
    assert refusal(casts.cast_boolean, value) is None


@pytest.mark.parametrize(
    "value", [HEX, HEX.upper(), [HEX], [[HEX]], {"_id": HEX}, {"_id": ObjectId(HEX)}, {"toString": 1, "id": HEX}]
)
def test_ids(value: Value) -> None:
    assert casts.cast_object_id(value) == ObjectId(HEX)


@pytest.mark.parametrize("value", ["", "abc", "123456789012", 5, True, {}, {"id": HEX}, {"_id": {}}, [HEX, HEX]])
def test_uncastable_id_is_refused(value: Value) -> None:
    assert refusal(casts.cast_object_id, value) == "BSONError"


def test_object_without_a_text_casts_to_no_id() -> None:
    assert refusal(casts.cast_object_id, {"toString": 1}) == "BSONError"
    assert refusal(casts.cast_object_id, [{"toString": 1}]) == "TypeError"


@pytest.mark.parametrize(
    ("value", "milliseconds"),
    [
        (DatetimeMS(5), 5),
        (0, 0),
        (1.9, 1),
        (-1.9, -1),
        ("1795383299108", 1795383299108),
        ("2020", 1577836800000),
        ("275761", 275761),
        ("2020-01-01T00:00:00.5Z", 1577836800500),
        ([2020], 1577836800000),
        (MinKey(), None),
    ],
)
def test_dates(value: Value, milliseconds: int | None) -> None:
    if milliseconds is None:
        assert refusal(casts.cast_date, value) == "AssertionError"
    else:
        assert casts.cast_date(value) == DatetimeMS(milliseconds)


def test_empty_text_casts_to_null_date_and_number() -> None:
    assert casts.cast_date("") is None
    assert casts.cast_number("") is None


@pytest.mark.parametrize("value", [True, "yesterday", 8.65e15, float("inf"), {}, [], Binary(b"x"), float("nan")])
def test_uncastable_date_is_refused(value: Value) -> None:
    assert refusal(casts.cast_date, value) == "AssertionError"


def test_object_without_a_text_casts_to_no_date() -> None:
    assert refusal(casts.cast_date, {"toString": 1}) == "TypeError"


@pytest.mark.parametrize(("value", "number"), [("0x10", 16), (True, 1), (1.5, 1.5), (DatetimeMS(7), 7), (" 5 ", 5)])
def test_numbers(value: Value, number: float) -> None:
    assert casts.cast_number(value) == number


@pytest.mark.parametrize(
    ("value", "reason"), [("x", "AssertionError"), ([5], "AssertionError"), ({"toString": 1}, "TypeError")]
)
def test_uncastable_number_is_refused(value: Value, reason: str) -> None:
    assert refusal(casts.cast_number, value) == reason


def test_undefined_is_not_an_object_id() -> None:
    assert casts.is_object_id(UNDEFINED) is False

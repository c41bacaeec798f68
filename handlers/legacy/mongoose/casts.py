"""Casts of mongoose 8 to a string, a boolean, a number, an id and a date (lib/cast/). Pure.

Every cast receives a value that is neither null nor undefined, and returns the stored value, or raises
`CastFailureError` with the class of the underlying JavaScript error.
"""

from __future__ import annotations

import math
import re
from typing import Final

from bson import Code, DBRef, MaxKey, MinKey, ObjectId
from bson.datetime_ms import DatetimeMS

from handlers.legacy.javascript import Double, Value, is_true, parse_date, to_number, to_string, type_of
from handlers.legacy.mongoose.errors import (
    ASSERTION_ERROR,
    BSON_ERROR,
    TYPE_ERROR,
    CastFailureError,
)

TRUE_WORDS: Final[tuple[Value, ...]] = (True, "true", 1, "1", "yes")
FALSE_WORDS: Final[tuple[Value, ...]] = (False, "false", 0, "0", "no")

LAST_DAY: Final = 8_640_000_000_000_000
"""The largest time value of ECMA-262, in milliseconds on either side of 1970."""

HEX_ID: Final = re.compile(r"[0-9a-fA-F]{24}")


def cast_string(value: Value) -> str:
    """Cast a value that has its own `toString`, which arrays and plain objects do not."""
    if isinstance(value, str) and not isinstance(value, Code):
        return value
    if isinstance(value, dict):
        identity = value.get("_id")
        if isinstance(identity, str) and identity:
            return identity
    if isinstance(value, dict | list | Code | DBRef | MinKey | MaxKey):
        raise CastFailureError(None)
    return to_string(value)


def cast_boolean(value: Value) -> bool:
    """Cast `true` and `false`, 1 and 0, as numbers or words, and yes and no."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str | int | float) and type_of(value) != "object":
        if value in TRUE_WORDS:
            return True
        if value in FALSE_WORDS:
            return False
    raise CastFailureError(None)


def cast_number(value: Value) -> Value:
    """Cast a number, or a string or boolean that represents one; an empty string is null."""
    if value == "":
        return None
    if isinstance(value, list):
        raise CastFailureError(ASSERTION_ERROR)
    try:
        number = to_number(value)
    except TypeError as error:
        raise CastFailureError(TYPE_ERROR) from error
    if math.isnan(number):
        raise CastFailureError(ASSERTION_ERROR)
    return float(number) if isinstance(number, Double) else number


def is_object_id(value: Value) -> bool:
    """Return whether mongoose treats a value as an id: an ObjectId, or an object that declares to be one."""
    return isinstance(value, ObjectId) or (isinstance(value, dict) and value.get("_bsontype") == "ObjectId")


def cast_object_id(value: Value) -> Value:
    """Cast an id, an object with an `_id`, or a value whose string is 24 hexadecimal digits."""
    if is_object_id(value):
        return value
    if isinstance(value, dict):
        return _id_of_object(value)
    return parse_object_id(_spelling(value))


def _id_of_object(value: dict[str, Value]) -> Value:
    identity = value.get("_id")
    if is_object_id(identity):
        return identity
    if is_true(identity) and _has_to_string(identity):
        return parse_object_id(_spelling(identity))
    if _has_to_string(value):
        return parse_object_id("[object Object]")
    return _id_of_shape(value)


def _id_of_shape(value: dict[str, Value]) -> ObjectId:
    """Return the id that js-bson's constructor reads from an object without `toString`: its `id`, if present."""
    identity = value.get("id", value)
    if isinstance(identity, str):
        return parse_object_id(identity)
    raise CastFailureError(BSON_ERROR)


def _spelling(value: Value) -> str:
    try:
        return to_string(value)
    except TypeError as error:
        raise CastFailureError(TYPE_ERROR) from error


def _has_to_string(value: Value) -> bool:
    return not (isinstance(value, dict) and "toString" in value)


def parse_object_id(text: str) -> ObjectId:
    """Parse as js-bson 6: 24 hexadecimal digits; twelve characters are no longer accepted."""
    if HEX_ID.fullmatch(text):
        return ObjectId(text)
    raise CastFailureError(BSON_ERROR)


def cast_date(value: Value) -> DatetimeMS | None:
    """Cast a date, milliseconds since 1970 as a number or long string, or a text that V8 parses as a date."""
    if value == "":
        return None
    if isinstance(value, DatetimeMS):
        return _valid(value)
    if isinstance(value, bool):
        raise CastFailureError(ASSERTION_ERROR)
    if isinstance(value, Double) or (isinstance(value, int | float) and type_of(value) == "number"):
        return _date(value)
    if isinstance(value, str):
        return _date_of_text(value)
    return _date_of_object(value)


def _valid(date: DatetimeMS) -> DatetimeMS:
    if -LAST_DAY <= int(date) <= LAST_DAY:
        return date
    raise CastFailureError(ASSERTION_ERROR)


def _date_of_text(text: str) -> DatetimeMS:
    number = to_number(text)
    if not math.isnan(number) and (number >= 275761 or number < -271820):
        return _date(number)
    parsed = parse_date(text)
    if parsed is None:
        raise CastFailureError(ASSERTION_ERROR)
    return DatetimeMS(parsed)


def _date_of_object(value: Value) -> DatetimeMS:
    """Cast as `new Date(value.valueOf())`, through the object's string."""
    parsed = parse_date(_spelling(value))
    if parsed is None:
        raise CastFailureError(ASSERTION_ERROR)
    return DatetimeMS(parsed)


def _date(number: float) -> DatetimeMS:
    if not math.isfinite(number) or abs(number) > LAST_DAY:
        raise CastFailureError(ASSERTION_ERROR)
    return DatetimeMS(math.trunc(number))

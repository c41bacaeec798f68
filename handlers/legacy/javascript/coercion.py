"""JavaScript's conversions of a value to a string or a number: `String(value)`, `Number(value)`."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from typing import Final

from bson import Code, Decimal128, Int64, ObjectId, Regex, Timestamp
from bson.datetime_ms import DatetimeMS

from handlers.legacy.javascript.dates import LIMIT, date_to_string
from handlers.legacy.javascript.json import as_json
from handlers.legacy.javascript.numbers import normal, number_to_string, string_to_number
from handlers.legacy.javascript.values import UNDEFINED, JavaScriptTypeError, Value, is_long, is_uuid, type_of

MAX_DEPTH: Final = 3_200
"""Arrays within each other whose text V8's default stack holds: 3,190 to 3,219, depending on the caller."""
_SLASH: Final = re.compile(r"(\\[\s\S]|\[(?:\\[\s\S]?|[^\]\\])*+(?:\]|\Z))|/")
_LINE_BREAKS: Final = {"\n": "\\n", "\r": "\\r", "\u2028": "\\u2028", "\u2029": "\\u2029"}
_LINE_BREAK: Final = re.compile(r"(\\[^\n\r\u2028\u2029])|\\?([\n\r\u2028\u2029])")
_FLAGS: Final = ((re.DOTALL, "g"), (re.IGNORECASE, "i"), (re.MULTILINE, "m"))


def is_true(value: Value) -> bool:
    """Return JavaScript's truth value: objects are true, empty ones too, and NaN is false."""
    if value is None or value is UNDEFINED:
        return False
    return type_of(value) == "object" or (bool(value) and value == value)


def to_string(value: object) -> str:
    """Return `String(value)`; raises JavaScriptTypeError for an object with its own `toString`."""
    if isinstance(value, str) and not isinstance(value, Code):
        return value
    if value is None or value is UNDEFINED:
        return "null" if value is None else "undefined"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float) and not is_long(value):
        return number_to_string(value)
    if isinstance(value, list | tuple):
        return ",".join(_texts_of(value))
    if isinstance(value, dict):
        return _object_to_string(value)
    return _bson_to_string(value)


def _texts_of(array: Sequence[object]) -> Iterator[str]:
    """Yield the texts of all items, of arrays within as well. Raises RecursionError below `MAX_DEPTH` of them."""
    open_arrays = [iter(array)]
    while open_arrays:
        for item in open_arrays[-1]:
            if isinstance(item, list | tuple) and item:
                if len(open_arrays) > MAX_DEPTH:
                    raise RecursionError
                open_arrays.append(iter(item))
                break
            yield "" if item is None or item is UNDEFINED else to_string(item)
        else:
            open_arrays.pop()


def _object_to_string(value: dict[str, object]) -> str:
    """Convert an object from JSON, whose own `toString` is never a function and only hides the inherited one."""
    if "toString" in value:
        raise JavaScriptTypeError("Cannot convert object to primitive value")
    return "[object Object]"


def _bson_to_string(value: object) -> str:
    if isinstance(value, DatetimeMS):
        return date_to_string(int(value))
    if isinstance(value, ObjectId | Decimal128 | Int64):
        return str(value)
    if isinstance(value, bytes):
        return str(as_json(value)) if is_uuid(value) else value.decode("utf-8", "replace")
    if isinstance(value, Regex):
        return regex_to_string(value)
    if isinstance(value, Timestamp):
        return str(value.time << 32 | value.inc)
    return "[object Object]"


def regex_to_string(value: Regex[str]) -> str:
    """Return `/pattern/flags` as of js-bson's RegExp: `s` for `g`."""
    return f"/{regex_source(value)}/" + "".join(letter for flag, letter in _FLAGS if value.flags & flag)


def regex_source(value: Regex[str]) -> str:
    """Return the `source` of a RegExp: slashes and line breaks escaped, and never empty."""
    pattern = _SLASH.sub(lambda match: match[1] or "\\/", value.pattern) or "(?:)"
    return _LINE_BREAK.sub(lambda match: match[1] or _LINE_BREAKS[match[2]], pattern)


def to_number(value: object) -> int | float:
    """Return `Number(value)`, NaN if it is not a number; raises JavaScriptTypeError as `to_string`."""
    if value is None or value is False:
        return 0
    if value is True:
        return 1
    if value is UNDEFINED:
        return math.nan
    if isinstance(value, int | float) and not is_long(value):
        return value if isinstance(value, int) else normal(value)
    if isinstance(value, DatetimeMS):
        return int(value) if abs(int(value)) <= LIMIT else math.nan
    return string_to_number(to_string(value))

"""Objects with a field `constructor`, which mongoose's clone takes for their class (lib/helpers/clone.js). Pure.

Such an object is cloned as an instance of the class that the field names: an object named `RegExp` becomes a regular
expression, and one named `Date` cannot be cloned. Of other classes, an object that declares to be an ObjectId becomes
one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from bson import ObjectId, Regex

from common.white_space import WHITESPACE, trim
from handlers.legacy.javascript import UNDEFINED, JavaScriptTypeError, Undefined, Value, is_true, to_number, to_string
from handlers.legacy.mongoose.errors import MongooseError

_FUNCTION: Final = re.compile(rf"function[{WHITESPACE}]*([^({WHITESPACE}]+)")
_FLAGS: Final = re.compile(r"(?!.*(.).*\1)(?!.*u.*v)(?!.*v.*u)[dgimsuvy]*")
_STORED_FLAGS: Final = {"i": re.IGNORECASE, "m": re.MULTILINE, "g": re.DOTALL}
_MOST_FLAGS: Final = 8
_LONGEST_SOURCE: Final = 4_096
"""The largest source, in characters; V8's limit is far greater."""
_LONGEST_CHECKED: Final = 1_000
_PECULIAR: Final = re.compile(r"\[\^?\]|\[.*\[|--|&&|~~|\|\|")
"""Character sets that JavaScript and Python read differently."""
_REFUSED: Final = (
    *("missing ), unterminated subpattern", "unbalanced parenthesis", "unterminated character set"),
    *("nothing to repeat", "bad escape (end of pattern)"),
)
_HEX_ID: Final = re.compile(r"[0-9a-fA-F]{24}")


def clone_of_class(value: Mapping[str, Value]) -> Value:
    """Return the clone of an object of a class of its own; `UNDEFINED` for one whose fields are to be cloned.

    An object of an unknown class is its own clone. Raises `JavaScriptTypeError` or `MongooseError` where cloning fails.
    """
    if "constructor" not in value:
        return UNDEFINED
    constructor = value["constructor"]
    name = _name_of(constructor) if is_true(constructor) else None
    if name in ("Object", "Date", "RegExp"):
        return UNDEFINED if name == "Object" else _instance(str(name), value)
    kind = value.get("_bsontype")
    if kind == "ObjectId":
        return _object_id(value.get("id", UNDEFINED))
    if kind == "Decimal128":
        raise _undecodable_decimal(value)
    return UNDEFINED if "valueOf" in value or not is_true(constructor) else dict(value)


def _name_of(constructor: Value) -> Value:
    """Return the name of a class: that of a `name` field, or as in the source of a function."""
    if isinstance(constructor, dict):
        if is_true(constructor.get("name")):
            return constructor["name"]
        if "toString" in constructor:
            raise JavaScriptTypeError("fn.toString is not a function")
        return None
    match = _FUNCTION.match(trim(to_string(constructor)))
    return match[1] if match else None


def _instance(name: str, value: Mapping[str, Value]) -> Regex[str]:
    """Return `new RegExp(value.source, value.flags)`; raises for a date, whose class is not a constructor."""
    if name == "Date":
        if "toString" in value:
            raise JavaScriptTypeError("Cannot convert object to primitive value")
        raise JavaScriptTypeError("objConstructor is not a constructor")
    source, flags = ("" if part is UNDEFINED else to_string(part) for part in _parts_of(value))
    if len(flags) > _MOST_FLAGS or not _FLAGS.fullmatch(flags):
        raise MongooseError(f"Invalid flags supplied to RegExp constructor '{flags}'")
    _check_source(source, flags)
    return Regex(source, sum(flag for letter, flag in _STORED_FLAGS.items() if letter in flags))


def _check_source(source: str, flags: str) -> None:
    """Raise `MongooseError` for unbalanced parentheses and the like, on which Python and JavaScript agree."""
    if len(source) > _LONGEST_SOURCE:
        raise MongooseError("Regular expression too large")
    if len(source) > _LONGEST_CHECKED or _PECULIAR.search(source):
        return
    try:
        re.compile(source)
    except re.error as error:
        if error.msg.startswith(_REFUSED):
            raise MongooseError(f"Invalid regular expression: /{source}/{flags}") from error
    except (OverflowError, RecursionError):  # limits of Python alone
        return


def _parts_of(value: Mapping[str, Value]) -> tuple[Value, Value]:
    return value.get("source", UNDEFINED), value.get("flags", UNDEFINED)


def _object_id(identity: Value) -> ObjectId:
    """Return `new ObjectId(identity)` of js-bson: of 24 digits, or a new one, created at `identity` if a number."""
    if isinstance(identity, dict) and "id" in identity:
        identity = identity["id"]
        if not isinstance(identity, str):
            raise MongooseError("Argument passed in must have an id that is of type string or Buffer")
    if identity is None or isinstance(identity, Undefined):
        return ObjectId()
    if isinstance(identity, int | float) and not isinstance(identity, bool):
        return _created_at(to_number(identity))
    if not isinstance(identity, str):
        raise MongooseError("Argument passed in does not match the accepted types")
    if not _HEX_ID.fullmatch(identity):
        raise MongooseError("input must be a 24 character hex string, 12 byte Uint8Array, or an integer")
    return ObjectId(identity)


def _created_at(seconds: float) -> ObjectId:
    """Return a new id of a time in seconds since 1970, of which 32 bits are stored."""
    whole = int(seconds) % 2**32 if abs(seconds) != float("inf") else 0
    return ObjectId(whole.to_bytes(4, "big") + ObjectId().binary[4:])


def _undecodable_decimal(value: Mapping[str, Value]) -> Exception:
    if "toString" in value:
        return JavaScriptTypeError("obj.toString is not a function")
    return MongooseError('"[object Object]" is not a valid Decimal128 string')

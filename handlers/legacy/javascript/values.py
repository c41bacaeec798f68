"""JavaScript values in Python: plain Python types where the semantics agree, and a type for undefined.

Numbers are `int` if integral and at most 2**53 in size, `float` otherwise (negative zero is a float); objects are
dicts, arrays lists; dates are `DatetimeMS`, and other BSON types are pymongo's.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from typing import Final, NamedTuple, TypeAlias, TypeVar

from bson import Binary, Code, DBRef, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.datetime_ms import DatetimeMS


class Undefined(enum.Enum):
    """JavaScript's `undefined`, distinct from `null` (None): an absent field."""

    VALUE = "undefined"

    def __bool__(self) -> bool:
        return False

    def __repr__(self) -> str:
        return "UNDEFINED"


UNDEFINED: Final = Undefined.VALUE

BsonValue: TypeAlias = (
    ObjectId | DatetimeMS | Decimal128 | Binary | bytes | Regex[str] | Timestamp | Code | DBRef | MinKey | MaxKey
)
Value: TypeAlias = "Undefined | bool | int | float | str | list[Value] | dict[str, Value] | BsonValue | None"

SAFE: Final = 2**53
"""The largest 64-bit integer that js-bson reads as a number."""

_INDEX = re.compile(r"0|[1-9][0-9]{0,9}")
_V = TypeVar("_V")


class Double(float):
    """js-bson's `Double`: an object, whose `valueOf` is its number."""


class Reference(NamedTuple):
    """The parts of js-bson's `DBRef`; `database` is None if there is none."""

    collection: str
    oid: object
    database: str | None
    fields: dict[str, object]


def reference_of(value: DBRef) -> Reference:
    """Return the parts of a reference: js-bson splits a collection `a.b` into a database and a collection."""
    database, dot, collection = value.collection.partition(".")
    fields = {name: item for name, item in value.as_doc().items() if name not in ("$ref", "$id", "$db")}
    if dot and "." not in collection:
        return Reference(collection, value.id, database, fields)
    return Reference(value.collection, value.id, value.database, fields)


class JavaScriptTypeError(TypeError):
    """A TypeError of the language itself, with V8's message."""


class JavaScriptRangeError(ValueError):
    """A RangeError of the language itself, with V8's message."""


def is_index(key: str) -> bool:
    """Return whether a property name is an array index (0 .. 2**32 - 2), which objects list first."""
    return _INDEX.fullmatch(key) is not None and int(key) < 2**32 - 1


def own_keys(value: Mapping[str, object]) -> list[str]:
    """Return property names in an object's order: indices ascending, then the rest as inserted."""
    indices = [key for key in value if key[:1].isdigit() and is_index(key)]
    if not indices:
        return list(value)
    taken = set(indices)
    return sorted(indices, key=int) + [key for key in value if key not in taken]


def ordered(value: dict[str, _V]) -> dict[str, _V]:
    """Return an object with its keys in JavaScript's order; itself if they already are."""
    keys = own_keys(value)
    return value if keys == list(value) else {key: value[key] for key in keys}


def is_long(value: object) -> bool:
    """Return whether js-bson reads this 64-bit integer as a `Long`, not as a number."""
    return isinstance(value, Int64) and abs(value) > SAFE


def is_uuid(value: object) -> bool:
    """Return whether js-bson reads this binary as a `UUID`."""
    return isinstance(value, Binary) and value.subtype == 4 and len(value) == 16


def type_of(value: object) -> str:
    """Return the result of the `typeof` operator."""
    if isinstance(value, Undefined):
        return "undefined"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float) and not (is_long(value) or isinstance(value, Double)):
        return "number"
    return "string" if isinstance(value, str) and not isinstance(value, Code) else "object"


def class_of(value: object) -> str:
    """Return the value's `constructor.name`."""
    kind = type_of(value)
    if kind != "object":
        return kind.capitalize()
    for types, name in _CLASSES:
        if isinstance(value, types):
            return name
    return "UUID" if is_uuid(value) else "Binary" if isinstance(value, bytes) else type(value).__name__


_CLASSES: Final[tuple[tuple[type | tuple[type, ...], str], ...]] = (
    (dict, "Object"),
    ((list, tuple), "Array"),
    (DatetimeMS, "Date"),
    (Int64, "Long"),
    (Regex, "RegExp"),
)


def value_type(value: object) -> str:
    """Return a value's type as named by mongoose's CastError: `string`, `Object`, `null`, `ObjectId` …."""
    if value is None or value is UNDEFINED:
        return "null" if value is None else "undefined"
    kind = type_of(value)
    if kind != "object" or (isinstance(value, dict) and "constructor" in value):
        return kind
    return class_of(value)

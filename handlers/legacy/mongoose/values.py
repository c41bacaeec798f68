"""Operations on the values of a document: copying, minimizing, comparing, storing."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Final, cast

from bson import Binary, Code, DBRef, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.datetime_ms import DatetimeMS

from handlers.legacy.javascript import (
    UNDEFINED,
    Double,
    JavaScriptTypeError,
    Value,
    is_true,
    own_keys,
    to_number,
    to_string,
    type_of,
)
from handlers.legacy.javascript.coercion import regex_source
from handlers.legacy.javascript.values import is_long, is_uuid, reference_of
from handlers.legacy.mongoose.errors import MongooseError
from handlers.legacy.mongoose.inherited import INHERITED
from handlers.legacy.mongoose.object_classes import clone_of_class
from handlers.surrogates import well_formed

FORBIDDEN: Final = frozenset({"__proto__", "constructor", "prototype"})
"""Names that mongoose never copies."""

_SCALARS: Final = frozenset({str, int, float, bool, type(None), ObjectId, DatetimeMS})
INTERNALS: Final = "$__"
"""The field of a document's internal state, by which mongoose distinguishes documents from plain objects."""

_CLASS_MARKS: Final = ("isMongooseBuffer", "$isMongooseMap")
MARKS: Final = frozenset({INTERNALS, *_CLASS_MARKS})
"""The fields by which mongoose recognises its own documents, buffers and maps."""

NO_DOCUMENT: Final = "obj.toObject is not a function"
"""The message of mongoose's clone for an object that it mistakes for its own document."""
UNSUPPORTED_BSON: Final = "Unsupported BSON version, bson types must be from bson 6.x.x"
"""The message of js-bson for an object that declares to be one of its types."""
_SPREAD: Final = frozenset({"_doc", "__index", "__parentArray"})
_SPECIAL: Final = FORBIDDEN | {"_bsontype", *MARKS}
_INT32: Final = 2**31


class Embedded:
    """A document within another one."""

    def get(self, name: str) -> Value:
        """Return a field's value, undefined if absent."""
        raise NotImplementedError

    def to_json(self) -> Value:
        """Return the fields as an answer shows them."""
        raise NotImplementedError

    def inspected(self) -> Value:
        """Return the fields as a message shows them."""
        return self.to_json()


class SpreadDocument(Embedded):
    """A stored object in place of an id that mongoose mistakes for its own document, and shows as the `_doc` in it.

    Raises `JavaScriptTypeError` for an object without a `_doc`, or whose internal state is not an object. Mongoose does
    not read the `_doc` of an object whose internal state says that it was populated, until it shows it.
    """

    __slots__ = ("_fields", "_shown")

    def __init__(self, fields: Mapping[str, Value]) -> None:
        internals, shown = fields[INTERNALS], fields.get("_doc")
        if shown is None and not self._is_populated(internals):
            kind = "null" if "_doc" in fields else "undefined"
            raise JavaScriptTypeError(f"Cannot read properties of {kind} (reading '_id')")
        if not isinstance(internals, dict | list):
            spelled = f"{type_of(internals)} '{to_string(internals)}'"
            raise JavaScriptTypeError(f"Cannot create property 'wasPopulated' on {spelled}")
        self._fields, self._shown = fields, shown

    def get(self, name: str) -> Value:
        """Return a field of the `_doc`."""
        return self._shown.get(name, UNDEFINED) if isinstance(self._shown, dict) else UNDEFINED

    def to_json(self) -> Value:
        """Return the `_doc`; raises `JavaScriptTypeError` without one."""
        if self._shown is None:
            raise JavaScriptTypeError(NO_DOCUMENT)
        return _code_to_json(self._shown)

    def inspected(self) -> Value:
        """Return the stored object, in whose internal state mongoose has written that it is populated."""
        internals = self._fields[INTERNALS]
        if not isinstance(internals, dict) or self._is_populated(internals):
            return dict(self._fields)
        return {**self._fields, INTERNALS: {**internals, "wasPopulated": {"value": self.get("_id")}}}

    @staticmethod
    def _is_populated(internals: Value) -> bool:
        return isinstance(internals, dict) and is_true(internals.get("wasPopulated", UNDEFINED))


def own_fields(value: Value) -> dict[str, Value] | None:
    """Return the fields of js-bson's object for a value that mongoose treats as a plain object."""
    if isinstance(value, dict):
        return value
    if isinstance(value, Timestamp):
        return _halves(value.time << 32 | value.inc, unsigned=True)
    if isinstance(value, Int64) and type_of(value) == "object":
        return _halves(int(value), unsigned=False)
    if isinstance(value, bytes) and not is_uuid(value):
        buffer: Value = {"type": "Buffer", "data": list(value)}
        kind = value.subtype if isinstance(value, Binary) else 0
        return {"sub_type": kind, "buffer": buffer, "position": len(value)}
    if isinstance(value, Code):
        return {"code": str(value), "scope": dict(value.scope) if value.scope is not None else None}
    if isinstance(value, DBRef):
        return _parts(value)
    return {} if isinstance(value, MinKey | MaxKey) else None


def _parts(reference: DBRef) -> dict[str, Value]:
    collection, oid, database, fields = reference_of(reference)
    parts = {"collection": collection, "oid": oid, "db": UNDEFINED if database is None else database, "fields": fields}
    return cast("dict[str, Value]", parts)


def _halves(number: int, *, unsigned: bool) -> dict[str, Value]:
    low, high = ((half + 2**31) % 2**32 - 2**31 for half in (number, number >> 32))
    return {"low": low, "high": high, "unsigned": unsigned}


def minimize(value: Value, *, in_array: bool = False) -> Value:
    """Clone as mongoose does: without undefined, empty objects (except in arrays) and forbidden names."""
    if isinstance(value, list):
        return [minimize(item, in_array=True) for item in value]
    reference: object = value
    if isinstance(reference, Embedded):
        return reference.to_json()
    if isinstance(value, Code):
        return _code_to_json(value)
    if not isinstance(value, dict):
        return value
    if _is_double(value):
        return float(to_number(value.get("value", UNDEFINED)))
    instance = _clone_of_kind(value)
    if instance is not UNDEFINED:
        return _code_to_json(instance)
    small = copy_fields(value)
    return small if small or in_array else UNDEFINED


def _code_to_json(value: Value) -> Value:
    """Return the `toJSON` of code, and of code in its scope, which the encoder would write as text."""
    if isinstance(value, Code):
        fields: dict[str, Value] = {"code": str(value)}
        return fields if value.scope is None else fields | {"scope": _code_to_json(dict(value.scope))}
    if isinstance(value, list):
        return [_code_to_json(item) for item in value]
    return {key: _code_to_json(item) for key, item in value.items()} if isinstance(value, dict) else value


def _is_double(value: Mapping[str, Value]) -> bool:
    """Return whether an object declares to be js-bson's `Double`, which mongoose's clone makes it."""
    return value.get("_bsontype") == "Double"


def is_document(value: Mapping[str, Value]) -> bool:
    """Return whether mongoose treats an object as its own document, buffer or map, by a field that these have."""
    return value.get(INTERNALS) is not None or any(is_true(value.get(mark)) for mark in _CLASS_MARKS)


def has_only_primitives(fields: Mapping[str, Value]) -> bool:
    """Return whether no field is an object, so that mongoose copies a document's fields without checking its class."""
    plain = ObjectId | DatetimeMS | Decimal128 | None
    return all(isinstance(value, plain) or type_of(value) != "object" for value in fields.values())


def document_in(value: Mapping[str, Value]) -> Value:
    """Return the part of such an object that mongoose clones: the `_doc` of a spread document; raises for others."""
    if value.get(INTERNALS) is not None and value.get("_doc") is not None:
        return value["_doc"]
    raise JavaScriptTypeError(NO_DOCUMENT)


def _clone_of_kind(value: Mapping[str, Value]) -> Value:
    """Return the clone of a document or of an object of another class; `UNDEFINED` for one whose fields are cloned."""
    return document_in(value) if is_document(value) else clone_of_class(value)


def unspread(value: Value) -> Value:
    """Return the value to set on a path: for a spread document (`{...document}`), its fields and the further ones."""
    if not isinstance(value, dict) or value.get(INTERNALS) is None or value.get("_doc") is None:
        return value
    further = {key: item for key, item in value.items() if not key.startswith("$") and key not in _SPREAD}
    return {**_spread(value["_doc"]), **further}


def _spread(value: Value) -> dict[str, Value]:
    """Return `{...value}`."""
    if isinstance(value, dict):
        return value
    items: list[Value] = value if isinstance(value, list) else list(value) if isinstance(value, str) else []
    return {str(index): item for index, item in enumerate(items)}


def is_out_of_order(name: str) -> bool:
    """Return whether a field of this name may be shown at another position than given, or never."""
    return name[:1] <= "9" or name in FORBIDDEN


def is_minimal_shape(names: Collection[str], kinds: Collection[type]) -> bool:
    """Return whether `minimize` leaves objects with these names and types unchanged."""
    return bool(names) and _SCALARS.issuperset(kinds) and _SPECIAL.isdisjoint(names)


def copy_fields(fields: Mapping[str, Value]) -> dict[str, Value]:
    """Return a document's fields, each minimized, in JavaScript's order."""
    copied: dict[str, Value] = {}
    for key, value in fields.items():
        if is_out_of_order(key):
            return _copy_in_order(fields)
        small = value if type(value) in _SCALARS else minimize(value)
        if small is not UNDEFINED:
            copied[key] = small
    return copied


def _copy_in_order(fields: Mapping[str, Value]) -> dict[str, Value]:
    copied = ((key, minimize(fields[key])) for key in own_keys(fields) if key not in FORBIDDEN)
    return {key: value for key, value in copied if value is not UNDEFINED}


def strip(value: Value) -> Value:
    """Return the value of a field unknown to the schema, without forbidden names.

    An object below it with the name of an inherited method is lost, because mongoose reads it into the method.
    """
    if not isinstance(value, dict):
        return value
    members = (key for key, item in value.items() if not (key in INHERITED and isinstance(item, dict)))
    return {key: strip(value[key]) for key in members if key not in FORBIDDEN}


def clone(value: Value) -> Value:
    """Return an update's copy of a value, without forbidden names."""
    if isinstance(value, list):
        return [clone(item) for item in value]
    if not isinstance(value, dict):
        return value
    if _is_double(value):
        return Double(to_number(value.get("value", UNDEFINED)))
    instance = _clone_of_kind(value)
    if instance is not UNDEFINED:
        return instance
    return {key: clone(value[key]) for key in own_keys(value) if key not in FORBIDDEN}


def prune(value: Value) -> Value:
    """Return an object without empty objects below it, though not within arrays, as in a save's update."""
    if not isinstance(value, dict):
        return value
    pruned = ((key, prune(item)) for key, item in value.items())
    remaining: dict[str, Value] = {key: item for key, item in pruned if item is not UNDEFINED}
    return remaining if remaining else UNDEFINED


def same(left: Value, right: Value) -> bool:
    """Compare as deepEqual of mongoose: dates by time, ids by digits, objects by their fields in order."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, dict) and isinstance(right, dict):
        return own_keys(left) == own_keys(right) and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, DatetimeMS) or isinstance(right, DatetimeMS):
        return isinstance(left, DatetimeMS) and isinstance(right, DatetimeMS) and int(left) == int(right)
    return left == right


def to_bson(value: Value) -> object:
    """Return a value as the Node driver stores it.

    Small integers become int32, all other numbers doubles, undefined null, and lone surrogates U+FFFD. Raises
    `MongooseError` for an object that declares to be a BSON type.
    """
    if isinstance(value, str):
        return value if isinstance(value, Code) else well_formed(value)
    if value is None or isinstance(value, bool) or is_long(value):
        return value
    if isinstance(value, int):
        return int(value) if -_INT32 <= value < _INT32 else float(value)
    if isinstance(value, dict):
        if value.get("_bsontype") not in (None, UNDEFINED):
            raise MongooseError(UNSUPPORTED_BSON)
        return {well_formed(key): to_bson(value[key]) for key in own_keys(value)}
    if isinstance(value, list):
        return [to_bson(item) for item in value]
    if isinstance(value, Regex):
        return _rewritten(value)
    return None if value is UNDEFINED else value


def _rewritten(pattern: Regex[str]) -> Regex[str]:
    """Return a regular expression as it is stored again once js-bson has read it: with RegExp's source and flags."""
    return Regex(regex_source(pattern), pattern.flags & (re.IGNORECASE | re.MULTILINE | re.DOTALL))


def is_operator(key: str) -> bool:
    """Return whether a key is a query operator: a leading dollar, and not part of a DBRef."""
    return key.startswith("$") and key not in ("$ref", "$id", "$db")

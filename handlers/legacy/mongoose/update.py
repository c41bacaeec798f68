"""Updates, cast as mongoose casts them before sending (lib/helpers/query/castUpdate.js).

Plain fields become `$set`, operators beside them are executed, and unknown fields are dropped. Values pass through
their path's setters and cast; validators do not run. The result may be empty.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from bson import ObjectId, Regex
from bson.datetime_ms import DatetimeMS

from handlers.legacy.javascript import (
    UNDEFINED,
    Double,
    JavaScriptTypeError,
    Value,
    inspect,
    is_true,
    own_keys,
    to_number,
    type_of,
)
from handlers.legacy.mongoose import casts
from handlers.legacy.mongoose.errors import (
    Json,
    MongooseError,
    UnexplainedCastError,
)
from handlers.legacy.mongoose.inherited import INHERITED
from handlers.legacy.mongoose.modified_paths import check_modified_paths
from handlers.legacy.mongoose.path_types import IdListPath, MixedPath, StringPath
from handlers.legacy.mongoose.paths import Path, cast_operand
from handlers.legacy.mongoose.schema import Schema
from handlers.legacy.mongoose.values import FORBIDDEN, clone, to_bson

_ITEM: Final = re.compile(r"[0-9]+|\$(?:\[[^\]]*\])?")
"""An item of an array in a dotted name: its index, or a positional operator of MongoDB."""

OPERATORS: Final = frozenset(
    (
        *("$currentDate", "$inc", "$min", "$max", "$mul", "$rename", "$set", "$setOnInsert", "$unset"),
        *("$addToSet", "$pop", "$pull", "$push", "$pullAll", "$bit"),
    )
)
ADDING: Final = frozenset({"$push", "$addToSet"})
OVERWRITING: Final = frozenset({"$set", "$setOnInsert"})
_INSTANCES: Final = Double | Regex | ObjectId
"""Objects without fields that a clone makes of objects that declare or name their class."""
STORING: Final = ADDING | OVERWRITING
NUMERIC: Final = frozenset({"$pop", "$inc"})


class _InheritedPath(Path):
    """A method that every object inherits, which mongoose's lookup by name returns in place of a path."""

    def for_query(self, operator: str | None, value: Value) -> Value:
        """Raise: the method has no casts."""
        raise JavaScriptTypeError("schema.castForQuery is not a function")


_READ_ONLY: Final = frozenset({"length", "name"})
"""Properties of every function."""
_INHERITED: Final[Mapping[str, Path]] = {name: _InheritedPath(name) for name in INHERITED}


def cast_update(schema: Schema, update: Mapping[str, Value]) -> dict[str, object]:
    """Return the update as `findOneAndUpdate` sends it; raises `CastError` or `MongooseError`.

    An operator whose fields are an array stays an array, which MongoDB refuses.
    """
    operations = _gather(update)
    for operator in reversed(list(operations)):
        operand = operations[operator]
        if not isinstance(operand, dict | list | _INSTANCES):
            received = type_of(operand)
            raise MongooseError(f"Invalid atomic update value for {operator}. Expected an object, received {received}")
        fields = _as_object(operand)
        _Walk(schema, operator).fields(fields, "")
        is_array = isinstance(update.get(operator), list)
        operations[operator] = [] if is_array and fields else fields
    return {name: to_bson(fields) for name, fields in operations.items() if fields != {}}


def _gather(update: Mapping[str, Value]) -> Json:
    """Move fields that are not operators into `$set`, in the order of mongoose's backward walk."""
    update = _as_object(clone(dict(update)))
    names = [name for name in own_keys(update) if not (name in FORBIDDEN or _is_merged(name, update[name]))]
    gathered: Json = {}
    plain = [name for name in reversed(names) if name not in OPERATORS]
    if plain:
        given = update.get("$set")
        if is_true(given) and not isinstance(given, dict | list):
            raise JavaScriptTypeError(f"Cannot create property '{plain[0]}' on {inspect(given)}")
        fields = clone(given)
        if isinstance(fields, _INSTANCES):  # which MongoDB refuses
            raise MongooseError("Modifiers operate on fields but we found another type instead.")
        gathered["$set"] = {**_as_object(fields), **{name: clone(update[name]) for name in plain}}
    for name in names:
        if name in OPERATORS and not (name == "$set" and plain):
            gathered[name] = clone(update[name])
    return gathered


def _is_merged(name: str, value: Value) -> bool:
    """Return whether mongoose merges an object into a method of the same name, so that the update loses it.

    Raises `JavaScriptTypeError` for members that cannot be merged.
    """
    if name not in _INHERITED or not isinstance(value, dict):
        return False
    if is_true(value.get("valueOf", UNDEFINED)):
        raise JavaScriptTypeError("val.valueOf is not a function")
    if any(value[member] != {} for member in _READ_ONLY & value.keys()):
        raise JavaScriptTypeError(f"Cannot assign to read only property of function '{name}'")
    return True


def _as_object(value: Value) -> Json:
    if isinstance(value, dict):
        return value
    return {str(index): item for index, item in enumerate(value)} if isinstance(value, list) else {}


class _Walk:
    """Casts one operator's fields from last to first."""

    def __init__(self, schema: Schema, operator: str) -> None:
        self.schema = schema
        self.operator = operator

    def fields(self, fields: Json, prefix: str) -> bool:
        """Cast in place and drop unknown fields; return whether anything is left to write."""
        any_left = is_checked = False
        for name in reversed(own_keys(fields)):
            if not is_checked and find_path(self.schema, prefix + name) is None:
                check_modified_paths(fields)
                is_checked = True
            any_left = self._field(fields, name, prefix) or any_left
        return any_left

    def _field(self, fields: Json, name: str, prefix: str) -> bool:
        value = fields[name]
        if isinstance(value, dict) and "constructor" not in value:
            return self._object(fields, name, value, prefix)
        return self._plain(fields, name, value, prefix)

    def _object(self, fields: Json, name: str, value: Json, prefix: str) -> bool:
        path = find_path(self.schema, prefix + name)
        if isinstance(path, IdListPath) and self.operator in STORING and "$each" in value:
            fields[name] = self._each(path, value)
            return True
        if self.operator == "$rename":
            return self._put(fields, name, _rename(prefix + name).for_query(None, value))
        if self.operator == "$currentDate" or (self.operator in STORING and path is not None):
            return self._put(fields, name, self._value(path, value, name, prefix + name))
        if path is None:
            del fields[name]
            return False
        _require_schema(path, prefix + name)
        return self.fields(value, f"{prefix}{name}.") or not value

    def _each(self, path: IdListPath, value: Json) -> Json:
        each: Json = {"$each": self._value(path, value["$each"], "", path.name)}
        if value.get("$slice") is not None and "$slice" in value:
            each["$slice"] = _int32(value["$slice"])
        if value.get("$sort"):
            each["$sort"] = value["$sort"]
        if value.get("$position") is not None and "$position" in value:
            each["$position"] = casts.cast_number(value["$position"])
        return each

    def _plain(self, fields: Json, name: str, value: Value, prefix: str) -> bool:
        full = prefix[:-1] if name in ("$each", "$or", "$and", "$in") else prefix + name
        if name and not full:
            raise JavaScriptTypeError("Cannot read properties of undefined (reading 'split')")
        path = find_path(self.schema, full)
        if path is None:
            del fields[name]
            return False
        _require_schema(path, full)
        if self.operator == "$rename":
            return self._renamed(fields, name, value, prefix)
        cast = self._value(path, value, name, prefix + name)
        if prefix and "." in name:
            del fields[name]
            _set_below(fields, name.split("."), cast)
            return False
        if isinstance(cast, list) and self.operator in ADDING and name != "$each" and isinstance(path, IdListPath):
            cast = {"$each": cast}
        return self._put(fields, name, cast)

    def _renamed(self, fields: Json, name: str, value: Value, prefix: str) -> bool:
        if value is None or value is UNDEFINED:
            raise UnexplainedCastError("String", value, f"{prefix}{name}.$rename")
        fields[name] = _rename(prefix + name).for_query(None, value)
        return False

    def _put(self, fields: Json, name: str, value: Value) -> bool:
        if value is UNDEFINED:
            del fields[name]
            return False
        fields[name] = value
        return True

    def _value(self, path: Path | None, value: Value, name: str, full: str) -> Value:
        if path is None:
            return cast_operand("number", casts.cast_number, full, value) if self.operator in NUMERIC else value
        if self.operator in ADDING and isinstance(path, IdListPath) and isinstance(value, dict | list):
            return _list_of_ids(path, value) if isinstance(value, list) else _one_id(path, value)
        if self.operator == "$unset":
            return value
        if self.operator in NUMERIC:
            return self._counted(path, value)
        if self.operator == "$currentDate":
            kind = value.get("$type", UNDEFINED) if isinstance(value, dict) else UNDEFINED
            if value is None:
                raise JavaScriptTypeError("Cannot read properties of null (reading '$type')")
            return {"$type": kind} if isinstance(value, dict | list | _INSTANCES) else is_true(value)
        if name in OPERATORS:
            return path.for_query(name, value)
        if self.operator in OVERWRITING and isinstance(path, IdListPath) and value is not None:
            return _list_of_ids(path, value)
        if self.operator in OVERWRITING and isinstance(path, MixedPath):
            return path.apply(value)
        return path.for_query(None, value)

    def _counted(self, path: Path, value: Value) -> Value:
        if value is None or value is UNDEFINED:
            raise UnexplainedCastError("number", value, path.name)
        return (
            path.for_query(None, value)
            if self.operator == "$inc"
            else cast_operand("number", casts.cast_number, path.name, value)
        )


def _list_of_ids(path: IdListPath, value: Value) -> Value:
    """Cast an array of ids; raises `CastError` for a regular expression in it, which only a stored one may contain."""
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, Regex):
            path.item.for_query(None, item)
    return path.apply(value)


def _one_id(path: IdListPath, value: Value) -> Value:
    """Cast an object to one id of an array; raises `CastError` as of an array of one."""
    cast = _list_of_ids(path, [value])
    return cast[0] if isinstance(cast, list) else cast


def _rename(full: str) -> StringPath:
    return StringPath(f"{full}.$rename")


def _int32(value: Value) -> int:
    number = to_number(value)
    whole = int(number) if number == number and abs(number) != float("inf") else 0
    return (whole + 2**31) % 2**32 - 2**31


def find_path(schema: Schema, name: str) -> Path | None:
    """Return the path of a dotted name: that of its first part, or that of an item of an array of ids."""
    path = schema.find(name)
    if path is not None:
        return path
    parts = name.split(".")
    parent = schema.find(parts[0]) or _INHERITED.get(parts[0])
    if isinstance(parent, IdListPath) and _ITEM.fullmatch(parts[1]):
        return parent.item
    return parent


def _require_schema(path: Path, name: str) -> None:
    """Raise for a name below an inherited method, which has no schema of its own."""
    if isinstance(path, _InheritedPath) and path.name != name:
        raise JavaScriptTypeError("Cannot read properties of undefined (reading 'strict')")


def _set_below(fields: Json, parts: list[str], value: Value) -> None:
    """Set a dotted key within an operator's object as mongoose does: objects within objects.

    A member of an id or a date is not stored. Forbidden names are skipped.
    """
    *names, last = parts
    for name in names:
        if name in FORBIDDEN:
            continue
        if fields.get(name) is None:
            fields[name] = {}
        below = fields[name]
        if isinstance(below, ObjectId | DatetimeMS):
            return
        if not isinstance(below, dict):
            raise JavaScriptTypeError(f"Cannot create property '{last}' on {type_of(below)} {inspect(below)}")
        fields = below
    if last not in FORBIDDEN:
        fields[last] = value

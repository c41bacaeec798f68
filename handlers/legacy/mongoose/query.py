"""Filters, cast as mongoose casts them before sending (lib/cast.js).

`strictQuery` and `sanitizeFilter` are off, as by default: unknown fields are passed on, and operators within a value
are executed. Fields are cast from last to first, which determines the error that is raised.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from handlers.legacy.javascript import UNDEFINED, Value, is_true, own_keys
from handlers.legacy.mongoose.errors import CastError, Json, UnexplainedCastError
from handlers.legacy.mongoose.path_types import IdListPath
from handlers.legacy.mongoose.paths import Path
from handlers.legacy.mongoose.schema import Schema
from handlers.legacy.mongoose.values import Embedded, is_operator, to_bson

LOGICAL: Final = ("$or", "$and", "$nor")


def cast_filter(schema: Schema, filter_: Mapping[str, Value]) -> dict[str, object]:
    """Return the filter as it is sent to MongoDB.

    Raises `CastError` naming the model, as queries do, or `MongooseError` for an operator of another type.
    """
    try:
        cast = _cast(schema, filter_)
    except CastError as error:
        error.name_model(schema.model)
        raise
    return {key: to_bson(value) for key, value in cast.items()}


def by_id(value: Value) -> Json:
    """Return the filter of `findById`: undefined is null."""
    return {"_id": None if value is UNDEFINED else value}


def _cast(schema: Schema, filter_: Mapping[str, Value]) -> Json:
    cast: Json = {}
    names = own_keys(filter_)
    for name in reversed(names):
        value = filter_[name]
        path = schema.find(name)
        if name in LOGICAL:
            cast[name] = _cast_branches(schema, name, value)
        elif path is None or value is None or value is UNDEFINED:
            cast[name] = value
        else:
            cast[name] = _cast_path(path, value)
    return {name: cast[name] for name in names if cast[name] != [] or name not in LOGICAL}


def _cast_branches(schema: Schema, name: str, value: Value) -> Value:
    if not isinstance(value, list):
        raise UnexplainedCastError("Array", value, name)
    branches: list[Value] = []
    for position in range(len(value) - 1, -1, -1):
        branch = value[position]
        if not isinstance(branch, dict):
            raise UnexplainedCastError("Object", branch, f"{name}.{position}")
        branches.append(_cast(schema, branch))
    return branches[::-1]


def _cast_path(path: Path, value: Value) -> Value:
    reference: object = value
    if isinstance(reference, Embedded):
        return _cast_document(path, reference)
    if isinstance(value, dict):
        return _cast_operators(path, value) if any(map(is_operator, value)) else path.for_query(None, value)
    if isinstance(value, list) and not isinstance(path, IdListPath):
        return {"$in": [path.for_query(None, item) for item in value]}
    return path.for_query(None, value)


def _cast_document(path: Path, document: Embedded) -> Value:
    """Cast a document in place of an id, which older documents contain, to its id."""
    try:
        return path.for_query(None, document.to_json())
    except CastError as error:
        error.value_type = "model"
        raise


def _cast_operators(path: Path, value: Json) -> Json:
    cast = dict(value)
    for operator in reversed(own_keys(value)):
        operand = value[operator]
        if operator == "$elemMatch":
            if isinstance(path, IdListPath) and operand:
                cast[operator] = path.for_query(operator, operand)
        elif operator == "$not" and not is_true(operand):
            continue
        elif operator == "$not" and isinstance(operand, dict):
            cast[operator] = _cast_negation(path, operand)
        else:
            cast[operator] = path.for_query(operator, operand)
    return cast


def _cast_negation(path: Path, operand: Json) -> Value:
    names = own_keys(operand)
    if names and is_operator(names[0]):
        return {name: path.for_query(name, operand[name]) for name in names}
    return path.for_query("$not", operand)

"""The paths of an update, which mongoose lists to look for array filters as soon as it meets an unknown one. Pure.

It looks in lib/helpers/update/updatedPathsByArrayFilter.js, and refuses what it cannot list.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

from handlers.legacy.javascript import JavaScriptTypeError, Value
from handlers.legacy.mongoose.errors import MongooseError
from handlers.legacy.mongoose.values import is_document

_FILTER: Final = re.compile(r"\$\[[^\]]+\]")
_LONGEST: Final = 100
"""Characters of a path, from its first array filter on, that are examined, so that long names take no time."""
_UNLISTED: Final = ("ObjectId", "Decimal128")
"""The BSON types whose members are not paths."""


def check_modified_paths(fields: Mapping[str, Value]) -> None:
    """Raise for an object with a mark of mongoose's own documents, and for an array filter that a path repeats.

    The errors are `JavaScriptTypeError` and `MongooseError`. Names that begin with a dollar are not part of a path.
    """
    for name, value in fields.items():
        _check(value, "") if name.startswith("$") else _check_member(name, value, "")


def _check(value: Value, path: str) -> None:
    """Check the members of an object or array; `path` is its path from the first array filter on."""
    members: Iterable[tuple[str, Value]] = ()
    if isinstance(value, dict):
        members = value.items()
    elif isinstance(value, list):
        members = ((str(index), item) for index, item in enumerate(value))
    for name, item in members:
        _check_member(name, item, path)


def _check_member(name: str, value: Value, path: str) -> None:
    start = 0 if path else max(name.find("$["), 0) if "$[" in name else len(name)
    path = f"{path}.{name}" if path else name[start : start + _LONGEST]
    if len(path) <= _LONGEST:
        _check_filters(path)
    if isinstance(value, dict):
        if is_document(value):
            raise JavaScriptTypeError("val.toObject is not a function")
        if value.get("_bsontype") in _UNLISTED:
            return
    _check(value, path[:_LONGEST])


def _check_filters(path: str) -> None:
    for filter_ in _FILTER.findall(path[: path.rfind("]") + 1]):
        if path.find(filter_) != path.rfind(filter_):
            raise MongooseError(f"Path '{path}' contains the same array filter multiple times")

"""Operations on documents that MongoDB has returned: order, grouping, equality. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from operator import eq, itemgetter
from typing import Any, Final

from bson import ObjectId
from bson.datetime_ms import DatetimeMS

_DATES: Final = frozenset({DatetimeMS})


def break_ties(documents: list[dict[str, Any]], sort: Sequence[tuple[str, int]]) -> list[dict[str, Any]]:
    """Return sorted documents with ties ordered by `$recordId`, which is removed."""
    numbers = [document.pop("$recordId") for document in documents]
    values = list(zip(*(_column(documents, name) for name, _ in reversed(sort)), strict=True))  # the first has ties
    if not any(map(eq, values, values[1:])):
        return documents
    ordered: list[dict[str, Any]] = []
    for _, equal in itertools.groupby(zip(values, numbers, documents, strict=True), itemgetter(0)):
        ordered += [document for _, _, document in sorted(equal, key=itemgetter(1))]
    return ordered


def _column(documents: Sequence[dict[str, Any]], name: str) -> list[Any]:
    """Return the values of a field, with dates as integers, which compare faster."""
    values: list[Any] = [document.get(name) for document in documents]
    return list(map(int, values)) if _DATES.issuperset(map(type, values)) else values


def group_by_field(documents: Sequence[dict[str, Any]], field: str) -> dict[bytes, list[dict[str, Any]]]:
    """Return the documents by the ids that a field equals or, as an array, contains; in their order.

    Keys are the bytes of ids: an ObjectId is hashed and compared in Python code.
    """
    if field == "_id":
        return {document["_id"].binary: [document] for document in documents}
    groups: dict[bytes, list[dict[str, Any]]] = {}
    for document in documents:
        value = document.get(field)
        if type(value) is ObjectId:
            groups.setdefault(value.binary, []).append(document)
        elif isinstance(value, list):
            for key in dict.fromkeys(item.binary for item in value if isinstance(item, ObjectId)):
                groups.setdefault(key, []).append(document)
    return groups


def equals(value: object, wanted: object) -> bool:
    """Return whether a MongoDB equality query matches a field's value, or an element of it if it is an array."""
    candidates = (value, *value) if isinstance(value, list) else (value,)
    return any(type(item) is type(wanted) and item == wanted for item in candidates)

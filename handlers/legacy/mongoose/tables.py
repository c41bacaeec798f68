"""Stored documents as the JSON of answers, by column: most are answered exactly as they are stored.

    tables = arrange(CONSULTATIONS, stored)         # documents of one shape form one table
    tables[0].fill("clinician", texts)              # JSON texts in place of a column's values
    write(tables)                                   # the documents' texts, in their order

A shape is a document's field names and the types of their values, in order. Work that is the same for all documents
of a shape is done once; documents that mongoose would store differently are read by `Document` first.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, TypeAlias

from bson import ObjectId
from bson.datetime_ms import DatetimeMS

from handlers.legacy.javascript import JsonText, Value, quote_each, stringify, stringify_each
from handlers.legacy.javascript.dates import iso_or_none
from handlers.legacy.mongoose.document import Document
from handlers.legacy.mongoose.schema import Schema, is_settled_value
from handlers.legacy.mongoose.values import copy_fields, is_minimal, is_out_of_order, minimize

NULL: Final = "null"

Fields: TypeAlias = Mapping[str, Value]
Shape: TypeAlias = tuple[tuple[str, ...], tuple[type, ...]]


class Table:
    """The documents of one shape: `kinds` has each field's type, `positions` each document's index in the input."""

    __slots__ = ("_columns", "kinds", "positions")

    def __init__(self, shape: Shape, positions: Sequence[int], documents: Iterable[Fields]) -> None:
        names, kinds = shape
        self.positions = positions
        self.kinds = dict(zip(names, kinds, strict=True))
        self._columns: dict[str, Sequence[Value]] = dict(
            zip(names, zip(*[fields.values() for fields in documents], strict=True), strict=True)
        )

    def column(self, name: str) -> Sequence[Value]:
        """Return the values of a field, all of one type; empty if the documents have no such field."""
        return self._columns.get(name, ())

    def fill(self, name: str, texts: Sequence[str]) -> None:
        """Replace a field's values with JSON texts."""
        self._columns[name] = texts
        self.kinds[name] = JsonText

    def write(self) -> Iterable[str]:
        """Return the documents' texts."""
        template = _template(tuple(self.kinds), tuple(self.kinds.values()))
        if template is not None:
            with contextlib.suppress(_NothingLeftError):
                columns = map(_write_column, self.kinds.values(), self._columns.values())
                return map(template.__mod__, zip(*columns, strict=True))
        return map(write_object, self._documents())

    def _documents(self) -> Iterable[Fields]:
        columns = [
            list(map(JsonText, values)) if self.kinds[name] is JsonText else values
            for name, values in self._columns.items()
        ]
        rows = zip(*columns, strict=True) if columns else [()] * len(self.positions)
        return (dict(zip(self.kinds, row, strict=True)) for row in rows)


def arrange(schema: Schema, stored: Sequence[Fields], selected: Sequence[str] = ()) -> list[Table]:
    """Return tables of a model's stored documents; `selected` names the fields of an inclusive projection."""
    documents = list(stored)
    groups = _group(documents)
    odd = [
        position
        for shape, positions in groups.items()
        for position in _find_odd(schema, shape, documents, positions, selected)
    ]
    if odd:
        for position in odd:
            documents[position] = Document.read(schema, documents[position], selected).fields
        groups = _group(documents)
    return [
        Table(shape, positions, [documents[position] for position in positions]) for shape, positions in groups.items()
    ]


def _group(documents: Iterable[Fields]) -> dict[Shape, list[int]]:
    groups: dict[Shape, list[int]] = {}
    last: Shape | None = None
    positions: list[int] = []
    for position, fields in enumerate(documents):
        shape = (tuple(fields), tuple(map(type, fields.values())))
        if shape != last:  # which costs less than its hash
            last, positions = shape, groups.setdefault(shape, [])
        positions.append(position)
    return groups


def _find_odd(
    schema: Schema, shape: Shape, documents: Sequence[Fields], positions: Sequence[int], selected: Sequence[str]
) -> Sequence[int]:
    deciding = schema.deciding_fields(*shape, tuple(selected))
    if deciding is None:
        return positions
    return [position for name in deciding for position in positions if not is_settled_value(documents[position][name])]


def write(tables: Sequence[Table]) -> list[str]:
    """Return the JSON texts of all documents, in their input order."""
    if len(tables) == 1:  # the positions are in order
        return list(tables[0].write())
    texts = [NULL] * sum(len(table.positions) for table in tables)
    for table in tables:
        for position, text in zip(table.positions, table.write(), strict=True):
            texts[position] = text
    return texts


def write_array(texts: Iterable[str]) -> JsonText:
    """Return the text of an array of JSON texts."""
    return JsonText(f"[{','.join(texts)}]")


def write_object(fields: Fields) -> JsonText:
    """Return the text of an object, whose fields may be JSON texts; empty objects within it are omitted."""
    members = [f"{stringify(name)}:{_write_value(value)}" for name, value in copy_fields(fields).items()]
    return JsonText("{" + ",".join(members) + "}")


def _write_value(value: Value) -> str:
    return value if isinstance(value, JsonText) else stringify(value)


class _NothingLeftError(Exception):
    """An object that is omitted as empty, so that the template does not fit."""


def _write_dates(values: Iterable[DatetimeMS]) -> list[str]:
    return ["null" if text is None else f'"{text}"' for text in map(iso_or_none, map(int, values))]


def _write_list(value: list[Value]) -> str:
    return stringify(minimize(value)) if value else "[]"


def _write_mixed(value: dict[str, Value]) -> str:
    text = stringify(value if is_minimal(value) else minimize(value))
    if not text:
        raise _NothingLeftError
    return text


_WORDS: Final = {True: "true", False: "false", None: "null"}
_AS_TEXT: Final[Mapping[type, Callable[[Any], str]]] = {
    str: stringify,
    bool: _WORDS.__getitem__,
    type(None): _WORDS.__getitem__,
    list: _write_list,
    dict: _write_mixed,
}
_AS_IT_IS: Final[Mapping[type, str]] = {ObjectId: '"%s"', int: "%s", JsonText: "%s"}


def _write_column(kind: type, values: Sequence[Any]) -> Iterable[object]:
    if kind is str:
        return quote_each(values)
    if kind is DatetimeMS:
        return _write_dates(values)
    if kind is dict and all(map(is_minimal, values)):
        return stringify_each(values)
    writer = _AS_TEXT.get(kind)
    return values if writer is None else list(map(writer, values))


@lru_cache(maxsize=1024)
def _template(names: tuple[str, ...], kinds: tuple[type, ...]) -> str | None:
    """Return the common text of one shape; None if there is none."""
    members: list[str] = []
    for name, kind in zip(names, kinds, strict=True):
        if is_out_of_order(name) or not (kind is DatetimeMS or kind in _AS_TEXT or kind in _AS_IT_IS):
            return None
        members.append(stringify(name).replace("%", "%%") + ":" + _AS_IT_IS.get(kind, "%s"))
    return "{" + ",".join(members) + "}" if members else None

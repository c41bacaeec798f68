"""Write stored documents as the JSON of answers, column by column: most are returned exactly as stored.

    tables = arrange(CONSULTATIONS, stored)         # documents of one shape form one table
    tables[0].fill("clinician", texts)              # JSON texts in place of a column's values
    write(tables)                                   # the documents' texts, in their order

A shape is a document's field names and the types of their values, in order. Work that is the same for all documents
of a shape is done once; documents that mongoose would store differently are read by `Document` first.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any, Final, TypeAlias, TypeVar, cast

from bson import ObjectId
from bson.datetime_ms import DatetimeMS

from handlers.legacy.javascript import JsonText, Value, quote_each, stringify
from handlers.legacy.javascript.dates import iso_or_none
from handlers.legacy.mongoose.document import Document
from handlers.legacy.mongoose.moments import now
from handlers.legacy.mongoose.schema import Schema, is_settled_value
from handlers.legacy.mongoose.values import (
    MARKS,
    copy_fields,
    document_in,
    has_only_primitives,
    is_document,
    is_minimal_shape,
    is_out_of_order,
    minimize,
)

K = TypeVar("K", bound=Hashable)

NULL: Final = "null"
_ONLY_IDS: Final = frozenset({ObjectId})

Fields: TypeAlias = Mapping[str, Value]
Shape: TypeAlias = tuple[tuple[str, ...], tuple[type, ...]]


class IsoDate(str):
    """The type of a column of dates whose texts are written, without quotes."""

    __slots__ = ()


class Table:
    """The documents of one shape: `kinds` has each field's type, `positions` each document's index in the input."""

    __slots__ = ("_columns", "kinds", "positions")

    def __init__(self, shape: Shape, positions: Sequence[int], columns: Iterable[Sequence[Value]]) -> None:
        names, kinds = shape
        self.positions = positions
        self.kinds = dict(zip(names, kinds, strict=True))
        self._columns: dict[str, Sequence[Value]] = dict(zip(names, columns, strict=True))

    @property
    def shape(self) -> Shape:
        """Return the fields' names, and their types."""
        return tuple(self.kinds), tuple(self.kinds.values())

    def column(self, name: str) -> Sequence[Value]:
        """Return the values of a field, all of one type; empty if the documents have no such field."""
        return self._columns.get(name, ())

    def settle(self, name: str) -> bool:
        """Return whether the dates or arrays of a field are all read unchanged; write such dates immediately.

        Read unchanged are dates in JavaScript's range, and arrays of ids only.
        """
        values = cast("Sequence[Any]", self._columns[name])
        if self.kinds[name] is list:
            return _ONLY_IDS.issuperset(map(type, chain.from_iterable(values)))
        texts = list(map(iso_or_none, map(int, values)))
        if None in texts:
            return False
        self.fill(name, cast("list[str]", texts), IsoDate)
        return True

    def fill(self, name: str, texts: Sequence[str], kind: type[JsonText | IsoDate] = JsonText) -> None:
        """Replace a field's values with JSON texts, or with the texts of dates."""
        self._columns[name] = texts
        self.kinds[name] = kind

    def write(self, *, alone: bool = False) -> Iterable[str]:
        """Return the documents' texts; `alone` for documents that neither are populated nor have populated paths."""
        template = _template(*self.shape)
        if template is not None:
            with contextlib.suppress(_NothingLeftError):
                columns = map(_write_column, self.kinds.values(), self._columns.values())
                return map(template.__mod__, zip(*columns, strict=True))
        return (_write_document(fields, alone=alone) for fields in self._documents())

    def _documents(self) -> Iterable[Fields]:
        columns = [
            list(map(JsonText, values)) if self.kinds[name] is JsonText else values
            for name, values in self._columns.items()
        ]
        rows = zip(*columns, strict=True) if columns else [()] * len(self.positions)
        return (dict(zip(self.kinds, row, strict=True)) for row in rows)


def arrange(
    schema: Schema, stored: Sequence[Fields], selected: Sequence[str] = (), at: DatetimeMS | None = None
) -> list[Table]:
    """Return the tables of a model's stored documents, which one query returns at the time `at`, by default now.

    `selected` names the fields of an inclusive projection.
    """
    documents = list(stored)
    tables = _tables_of(documents)
    odd = [position for table in tables for position in _find_odd(schema, table, selected)]
    if odd:
        moment = now() if at is None else at
        for position in odd:
            documents[position] = Document.read(schema, documents[position], selected, moment).fields
        tables = _tables_of(documents)
    return tables


def _tables_of(documents: Sequence[Fields]) -> list[Table]:
    """Return the tables of all shapes. For speed, the work per document is done by functions written in C."""
    return [
        table
        for names, positions in _group(list(map(tuple, documents))).items()
        for table in _divide(names, positions, _columns_of(documents, positions))
    ]


def _columns_of(documents: Sequence[Fields], positions: Sequence[int]) -> list[tuple[Value, ...]]:
    return list(zip(*[documents[position].values() for position in positions], strict=True))


def _divide(names: tuple[str, ...], positions: Sequence[int], columns: Sequence[tuple[Value, ...]]) -> Iterable[Table]:
    """Return the tables of documents with the same names: a single one if each column has one type."""
    types = [set(map(type, column)) for column in columns]
    if all(len(each) == 1 for each in types):
        return (Table((names, tuple(kind for (kind,) in types)), positions, columns),)
    rows = list(zip(*[map(type, column) for column in columns], strict=True))
    return [
        Table((names, kinds), [positions[index] for index in chosen], _choose(columns, chosen))
        for kinds, chosen in _group(rows).items()
    ]


def _choose(columns: Sequence[tuple[Value, ...]], chosen: Sequence[int]) -> Iterable[tuple[Value, ...]]:
    return [tuple([column[index] for index in chosen]) for column in columns]


def _group(keys: Sequence[K]) -> dict[K, Sequence[int]]:
    """Return the positions of each key."""
    if keys and keys.count(keys[0]) == len(keys):
        return {keys[0]: range(len(keys))}
    groups: dict[K, list[int]] = {}
    for position, key in enumerate(keys):
        groups.setdefault(key, []).append(position)
    return {**groups}


def _find_odd(schema: Schema, table: Table, selected: Sequence[str]) -> Sequence[int]:
    deciding = schema.deciding_fields(*table.shape, tuple(selected))
    if deciding is None:
        return table.positions
    return [
        position
        for name in deciding
        if not table.settle(name)
        for position, value in zip(table.positions, table.column(name), strict=True)
        if not is_settled_value(value)
    ]


def write(tables: Sequence[Table], *, alone: bool = False) -> list[str]:
    """Return the JSON texts of all documents, in their input order; for `alone` see `Table.write`."""
    if len(tables) == 1:  # the positions are in order
        return list(tables[0].write(alone=alone))
    texts = [NULL] * sum(len(table.positions) for table in tables)
    for table in tables:
        for position, text in zip(table.positions, table.write(alone=alone), strict=True):
            texts[position] = text
    return texts


def write_array(texts: Iterable[str]) -> JsonText:
    """Return the text of an array of JSON texts."""
    return JsonText(f"[{','.join(texts)}]")


def write_object(fields: Fields) -> JsonText:
    """Return the text of an object, whose fields may be JSON texts; empty objects within it are omitted."""
    members = [f"{stringify(name)}:{_write_value(value)}" for name, value in copy_fields(fields).items()]
    return JsonText("{" + ",".join(members) + "}")


def _write_document(fields: Fields, *, alone: bool) -> JsonText:
    """Return the text of a document; raises `JavaScriptTypeError` for a field by which mongoose mistakes it."""
    if is_document(fields) and not (alone and has_only_primitives(fields)):
        document_in(fields)
    return write_object(fields)


def _write_value(value: Value) -> str:
    return value if isinstance(value, JsonText) else stringify(value)


class _NothingLeftError(Exception):
    """An object that is omitted as empty, so that the template does not fit."""


def _write_dates(values: Iterable[DatetimeMS]) -> list[str]:
    return ["null" if text is None else f'"{text}"' for text in map(iso_or_none, map(int, values))]


def _write_list(value: list[Value]) -> str:
    return stringify(minimize(value)) if value else "[]"


def _write_objects(values: Sequence[dict[str, Value]]) -> list[str]:
    """Return the texts of objects; objects of one flat shape are written by column, like documents."""
    texts = [""] * len(values)
    for table in _tables_of(values):
        written = table.write() if _is_flat(*table.shape) else map(_write_mixed, [values[at] for at in table.positions])
        for position, text in zip(table.positions, written, strict=True):
            texts[position] = text
    return texts


@lru_cache(maxsize=1024)
def _is_flat(names: tuple[str, ...], kinds: tuple[type, ...]) -> bool:
    """Return whether objects of a shape have a template, and `minimize` does not change them."""
    return is_minimal_shape(names, kinds) and _template(names, kinds) is not None


def _write_mixed(value: dict[str, Value]) -> str:
    text = stringify(minimize(value))
    if not text:
        raise _NothingLeftError
    return text


_WORDS: Final = {True: "true", False: "false", None: "null"}
_AS_TEXT: Final[Mapping[type, Callable[[Any], str]]] = {
    str: stringify,
    bool: _WORDS.__getitem__,
    type(None): _WORDS.__getitem__,
    list: _write_list,
}
_AS_IT_IS: Final[Mapping[type, str]] = {ObjectId: '"%s"', IsoDate: '"%s"', int: "%s", JsonText: "%s"}


def _write_column(kind: type, values: Sequence[Any]) -> Iterable[object]:
    if kind is str:
        return quote_each(values)
    if kind is DatetimeMS:
        return _write_dates(values)
    if kind is dict:
        return _write_objects(values)
    writer = _AS_TEXT.get(kind)
    return values if writer is None else list(map(writer, values))


@lru_cache(maxsize=1024)
def _template(names: tuple[str, ...], kinds: tuple[type, ...]) -> str | None:
    """Return the common text of one shape; None if there is none."""
    members: list[str] = []
    for name, kind in zip(names, kinds, strict=True):
        if (
            is_out_of_order(name)
            or name in MARKS
            or not (kind in (dict, DatetimeMS) or kind in _AS_TEXT or kind in _AS_IT_IS)
        ):
            return None
        members.append(stringify(name).replace("%", "%%") + ":" + _AS_IT_IS.get(kind, "%s"))
    return "{" + ",".join(members) + "}" if members else None

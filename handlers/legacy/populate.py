"""mongoose's population: ids replaced by the documents that they refer to (lib/helpers/populate/).

    texts = await populate(CONSULTATIONS, stored, [Populate("clinician", ("username", "email"))], fetch)

Dangling single references become null, dangling ones in arrays are removed, an absent or null path is unchanged. A
regular expression in place of an id is a `CastError`. A document is read once for each model and set of fields, however
many documents refer to it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final, TypeAlias, cast

from bson import ObjectId, Regex
from bson.datetime_ms import DatetimeMS

from handlers.legacy.javascript import Value
from handlers.legacy.mongoose import (
    NULL,
    IdListPath,
    IdPath,
    Path,
    Schema,
    Table,
    after,
    arrange,
    by_id,
    cast_filter,
    identity_of,
    now,
    write,
    write_array,
)

Fields: TypeAlias = Mapping[str, Value]
Fetch: TypeAlias = Callable[[str, Sequence[bytes], Sequence[str]], Awaitable[Mapping[bytes, Fields]]]
"""Reads the stored documents of a model by the bytes of their ids, with only some fields if given."""

_ONLY_IDS: Final = frozenset({ObjectId})


@dataclass(frozen=True)
class Populate:
    """`{path, select, populate}`: a path to populate, the fields to read, and the paths to populate below."""

    path: str
    select: tuple[str, ...] = ()
    populate: tuple[Populate, ...] = ()


async def populate(
    schema: Schema,
    stored: Sequence[Fields],
    plan: Sequence[Populate],
    fetch: Fetch,
    selected: Sequence[str] = (),
    at: DatetimeMS | None = None,
) -> list[str]:
    """Return stored documents as the JSON of answers, with the plan's paths populated concurrently.

    They were read at the time `at`, by default now, and the populated ones later.
    """
    read_at = now() if at is None else at
    tables = arrange(schema, stored, selected, read_at)
    if tables:
        await asyncio.gather(*(_fill_in(schema, tables, step, fetch, read_at) for step in plan))
    return write(tables)


async def _fill_in(schema: Schema, tables: Sequence[Table], step: Populate, fetch: Fetch, read_at: DatetimeMS) -> None:
    path = schema.paths[step.path]
    if not isinstance(path, IdPath | IdListPath):
        raise TypeError(f"{step.path} is not a reference")
    referring = [
        (table, [identity.binary for identity in _ids_in(table, path)]) for table in tables if step.path in table.kinds
    ]
    wanted = dict.fromkeys(chain.from_iterable(keys for _, keys in referring))
    texts = await _read_texts(Schema.known[path.ref], list(wanted), step, fetch, read_at) if wanted else {}
    for table, keys in referring:
        if table.kinds[step.path] is ObjectId:
            table.fill(step.path, [texts.get(key, NULL) for key in keys])
        else:
            table.fill(step.path, [_text_for(value, texts) for value in table.column(step.path)])


async def _read_texts(
    schema: Schema, wanted: Sequence[bytes], step: Populate, fetch: Fetch, read_at: DatetimeMS
) -> dict[bytes, str]:
    """Return the texts of the existing documents by the bytes of their ids, which hash faster than ids."""
    stored = await fetch(schema.model, wanted, step.select)
    texts = await populate(schema, list(stored.values()), step.populate, fetch, step.select, after(read_at))
    return dict(zip(stored, texts, strict=True))


def _ids_in(table: Table, path: IdPath | IdListPath) -> Iterable[ObjectId]:
    """Return the ids in a column; raises `CastError` for a regular expression in place of one."""
    column, kind = table.column(path.name), table.kinds[path.name]
    if kind is ObjectId:
        return cast("Sequence[ObjectId]", column)
    if kind is list:
        items = list(chain.from_iterable(cast("Sequence[list[Value]]", column)))
        if _ONLY_IDS.issuperset(map(type, items)):
            return cast("list[ObjectId]", items)
    for value in column:
        check_reference(path, value)
    return _ids_among(column)


def check_reference(path: Path, value: Value) -> None:
    """Raise the error of population for a value that is read unchanged, but is not an id.

    That is a regular expression, or an object that declares to be an id.
    """
    if isinstance(path, IdListPath):
        path.refuse_references(value)
    elif isinstance(path, IdPath) and isinstance(value, Regex):
        cast_filter(Schema.known[path.ref], by_id(value))
    elif isinstance(path, IdPath) and isinstance(value, dict):
        cast_filter(Schema.known[path.ref], by_id(value["_bsontype"]))


def _ids_among(values: Iterable[Value]) -> Iterator[ObjectId]:
    for value in values:
        if isinstance(value, list):
            yield from _ids_among(value)
        elif isinstance(identity := identity_of(value), ObjectId):
            yield identity


def _text_for(value: Value, texts: Mapping[bytes, str]) -> str:
    known = [texts[each.binary] for each in _ids_among((value,)) if each.binary in texts]
    if isinstance(value, list):
        return write_array(known)
    return known[0] if known else NULL

"""mongoose's population: ids replaced by what they refer to (lib/helpers/populate/); the caller reads.

    texts = await show(CONSULTATIONS, stored, [Populate("clinician", ("username", "email"))], fetch)

Dangling single references become null, dangling ones in arrays vanish, a path that is absent or null stays
as it is. What is read comes once per model and fields, whatever number of documents refers to it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TypeAlias, cast

from bson import ObjectId

from handlers.legacy.javascript import JsonText, Value
from handlers.legacy.mongoose import NULL, IdListPath, IdPath, Schema, Table, arrange, identity_of, write, write_array

Fields: TypeAlias = Mapping[str, Value]
Fetch: TypeAlias = Callable[[str, Sequence[ObjectId], Sequence[str]], Awaitable[Sequence[Fields]]]
"""Reads the stored documents of a model by their ids, with some fields alone where given."""


@dataclass(frozen=True)
class Populate:
    """`{path, select, populate}`: a path to fill in, the fields to read, and what to fill in below."""

    path: str
    select: tuple[str, ...] = ()
    populate: tuple[Populate, ...] = ()


async def populate(
    schema: Schema, stored: Sequence[Fields], plan: Sequence[Populate], fetch: Fetch, selected: Sequence[str] = ()
) -> list[JsonText]:
    """Stored documents as the JSON of answers, with the plan's paths filled in, all of them at the same time."""
    tables = arrange(schema, stored, selected)
    if tables:
        await asyncio.gather(*(_fill_in(schema, tables, step, fetch) for step in plan))
    return write(tables)


async def _fill_in(schema: Schema, tables: Sequence[Table], step: Populate, fetch: Fetch) -> None:
    path = schema.paths[step.path]
    if not isinstance(path, IdPath | IdListPath):
        raise TypeError(f"{step.path} refers to nothing")
    referring = [table for table in tables if step.path in table.kinds]
    wanted = dict.fromkeys(chain.from_iterable(_ids_in(table, step.path) for table in referring))
    found = await _find(Schema.known[path.ref], list(wanted), step, fetch) if wanted else {}
    for table in referring:
        table.fill(step.path, _texts_for(table, step.path, found))


async def _find(schema: Schema, wanted: Sequence[ObjectId], step: Populate, fetch: Fetch) -> dict[ObjectId, JsonText]:
    stored = await fetch(schema.model, wanted, step.select)
    texts = await populate(schema, stored, step.populate, fetch, step.select)
    return {cast(ObjectId, fields["_id"]): text for fields, text in zip(stored, texts, strict=True)}


def _ids_in(table: Table, name: str) -> Iterable[ObjectId]:
    column = table.column(name)
    return cast("Sequence[ObjectId]", column) if table.kinds[name] is ObjectId else _ids_among(column)


def _ids_among(values: Iterable[Value]) -> Iterator[ObjectId]:
    for value in values:
        if isinstance(value, list):
            yield from _ids_among(value)
        elif isinstance(identity := identity_of(value), ObjectId):
            yield identity


def _texts_for(table: Table, name: str, found: Mapping[ObjectId, JsonText]) -> list[JsonText]:
    column = table.column(name)
    if table.kinds[name] is ObjectId:
        return [found.get(cast(ObjectId, identity), NULL) for identity in column]
    return [_text_for(value, found) for value in column]


def _text_for(value: Value, found: Mapping[ObjectId, JsonText]) -> JsonText:
    if isinstance(value, list):
        return write_array([found[each] for each in _ids_among(value) if each in found])
    return next((found[each] for each in _ids_among((value,)) if each in found), NULL)

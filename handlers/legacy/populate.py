"""mongoose's population: ids replaced by the documents that they refer to (lib/helpers/populate/).

    texts = await populate(CONSULTATIONS, stored, [Populate("clinician", ("username", "email"))], fetch)

Dangling single references become null, dangling ones in arrays are removed, an absent or null path is unchanged.
Each document is read once per model and fields, however many documents refer to it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final, TypeAlias, cast

from bson import ObjectId

from handlers.legacy.javascript import Value
from handlers.legacy.mongoose import NULL, IdListPath, IdPath, Schema, Table, arrange, identity_of, write, write_array

Fields: TypeAlias = Mapping[str, Value]
Fetch: TypeAlias = Callable[[str, Sequence[ObjectId], Sequence[str]], Awaitable[Sequence[Fields]]]
"""Reads the stored documents of a model by their ids, with only some fields where given."""

_ONLY_IDS: Final = frozenset({ObjectId})


@dataclass(frozen=True)
class Populate:
    """`{path, select, populate}`: a path to populate, the fields to read, and the paths to populate below."""

    path: str
    select: tuple[str, ...] = ()
    populate: tuple[Populate, ...] = ()


async def populate(
    schema: Schema, stored: Sequence[Fields], plan: Sequence[Populate], fetch: Fetch, selected: Sequence[str] = ()
) -> list[str]:
    """Return stored documents as the JSON of answers, with the plan's paths populated concurrently."""
    tables = arrange(schema, stored, selected)
    if tables:
        await asyncio.gather(*(_fill_in(schema, tables, step, fetch) for step in plan))
    return write(tables)


async def _fill_in(schema: Schema, tables: Sequence[Table], step: Populate, fetch: Fetch) -> None:
    path = schema.paths[step.path]
    if not isinstance(path, IdPath | IdListPath):
        raise TypeError(f"{step.path} is not a reference")
    referring = [table for table in tables if step.path in table.kinds]
    wanted = dict.fromkeys(chain.from_iterable(_ids_in(table, step.path) for table in referring))
    texts = await _read_texts(Schema.known[path.ref], list(wanted), step, fetch) if wanted else {}
    for table in referring:
        table.fill(step.path, _texts_for(table, step.path, texts))


async def _read_texts(schema: Schema, wanted: Sequence[ObjectId], step: Populate, fetch: Fetch) -> dict[ObjectId, str]:
    stored = await fetch(schema.model, wanted, step.select)
    texts = await populate(schema, stored, step.populate, fetch, step.select)
    return {cast(ObjectId, fields["_id"]): text for fields, text in zip(stored, texts, strict=True)}


def _ids_in(table: Table, name: str) -> Iterable[ObjectId]:
    column = table.column(name)
    if table.kinds[name] is ObjectId:
        return cast("Sequence[ObjectId]", column)
    if table.kinds[name] is list:
        items = list(chain.from_iterable(cast("Sequence[list[Value]]", column)))
        if _ONLY_IDS.issuperset(map(type, items)):
            return cast("list[ObjectId]", items)
    return _ids_among(column)


def _ids_among(values: Iterable[Value]) -> Iterator[ObjectId]:
    for value in values:
        if isinstance(value, list):
            yield from _ids_among(value)
        elif isinstance(identity := identity_of(value), ObjectId):
            yield identity


def _texts_for(table: Table, name: str, texts: Mapping[ObjectId, str]) -> list[str]:
    column = table.column(name)
    if table.kinds[name] is ObjectId:
        return [texts.get(cast(ObjectId, identity), NULL) for identity in column]
    return ["[]" if value == [] else _text_for(value, texts) for value in column]


def _text_for(value: Value, texts: Mapping[ObjectId, str]) -> str:
    if isinstance(value, list):
        return write_array([texts[each] for each in _ids_among(value) if each in texts])
    return next((texts[each] for each in _ids_among((value,)) if each in texts), NULL)

"""mongoose's population: ids replaced by what they refer to (lib/helpers/populate/); the caller reads.

    await populate(consultations, [Populate("clinician", ("username", "email"))], fetch)

Dangling single references become null, dangling ones in arrays vanish, a path that is absent or null stays
as it is. What is read comes once per model and fields, whatever number of documents refers to it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from bson import ObjectId

from handlers.legacy.javascript import Value
from handlers.legacy.mongoose import Document, Id, Ids, Schema, identity_of

Fetch: TypeAlias = Callable[[str, Sequence[ObjectId], Sequence[str]], Awaitable[Sequence[Mapping[str, Value]]]]
"""Reads the stored documents of a model by their ids, with some fields alone where given."""


@dataclass(frozen=True)
class Populate:
    """`{path, select, populate}`: a path to fill in, the fields to read, and what to fill in below."""

    path: str
    select: tuple[str, ...] = ()
    populate: tuple[Populate, ...] = ()


async def populate(documents: Sequence[Document], plan: Sequence[Populate], fetch: Fetch) -> None:
    """Fills in the plan's paths of documents of one model, all paths at the same time."""
    if documents:
        await asyncio.gather(*(_fill_path(documents, step, fetch) for step in plan))


async def _fill_path(documents: Sequence[Document], step: Populate, fetch: Fetch) -> None:
    path = documents[0].schema.paths[step.path]
    if not isinstance(path, Id | Ids):
        raise TypeError(f"{step.path} refers to nothing")
    wanted = {identity: None for document in documents for identity in _ids_in(document.get(step.path))}
    found = await _read(Schema.known[path.ref], list(wanted), step, fetch) if wanted else {}
    for document in documents:
        _assign(document, step.path, found)


async def _read(schema: Schema, wanted: Sequence[ObjectId], step: Populate, fetch: Fetch) -> dict[object, Document]:
    stored = await fetch(schema.model, wanted, step.select)
    read = [Document.read(schema, each, step.select) for each in stored]
    await populate(read, step.populate, fetch)
    return {document.get("_id"): document for document in read}


def _ids_in(value: Value) -> list[ObjectId]:
    values = value if isinstance(value, list) else [value]
    return [each for each in map(identity_of, values) if isinstance(each, ObjectId)]


def _assign(document: Document, path: str, found: Mapping[object, Document]) -> None:
    value = document.get(path)
    if isinstance(value, list):
        document.populated[path] = [found[each] for each in _ids_in(value) if each in found]
    elif value is not None and path in document.fields:
        document.populated[path] = found.get(identity_of(value))

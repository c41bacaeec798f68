"""The behaviour of mongoose 8.18.2 with its default options, without a database: casts, documents, filters, updates.

    prompt = Document.create(PROMPTS, {"prompt_name": …})    # `new Prompt({…})`
    prompt.validate()                                        # raises ValidationError
    await store.prompts.insert(prompt.to_insert())           # the insert of `save()`
    prompt.to_json()                                         # the JSON of `res.json(prompt)`

    filter = cast_filter(PROMPTS, {"_id": …, "clinician": …})        # raises CastError
    update = cast_update(PROMPTS, {"prompt_text": …})                # the update of `findOneAndUpdate`
    prompt = Document.read(PROMPTS, stored)                          # a query's result

    note.set("body", …); note.validate()
    changes = note.changes()                                 # the update of `save()`, or None
    await store.notes.update_one(changes.where, changes.update); note.saved(changes)

Values are those of handlers.legacy.javascript, `UNDEFINED` included; values for MongoDB are as the Node driver would
store them (int32 or double, dates, no lone surrogates). Verified against the real library.
"""

from handlers.legacy.mongoose.document import Changes, Document, identity_of
from handlers.legacy.mongoose.errors import (
    CastError,
    DocumentNotFoundError,
    MongooseError,
    ValidationError,
    ValidatorError,
    VersionError,
)
from handlers.legacy.mongoose.moments import after, now
from handlers.legacy.mongoose.path_types import (
    BooleanPath,
    DatePath,
    IdListPath,
    IdPath,
    MixedPath,
    NumberPath,
    StringPath,
)
from handlers.legacy.mongoose.paths import Path
from handlers.legacy.mongoose.query import by_id, cast_filter
from handlers.legacy.mongoose.schema import Schema
from handlers.legacy.mongoose.tables import NULL, Table, arrange, write, write_array, write_object
from handlers.legacy.mongoose.update import cast_update
from handlers.legacy.mongoose.values import to_bson

__all__ = [
    "NULL",
    "BooleanPath",
    "CastError",
    "Changes",
    "DatePath",
    "Document",
    "DocumentNotFoundError",
    "IdListPath",
    "IdPath",
    "MixedPath",
    "MongooseError",
    "NumberPath",
    "Path",
    "Schema",
    "StringPath",
    "Table",
    "ValidationError",
    "ValidatorError",
    "VersionError",
    "after",
    "arrange",
    "by_id",
    "cast_filter",
    "cast_update",
    "identity_of",
    "now",
    "to_bson",
    "write",
    "write_array",
    "write_object",
]

"""What mongoose 8.18.2 does at its defaults, without any database: casts, documents, filters, updates.

    prompt = Document.create(PROMPTS, {"prompt_name": …})    # `new Prompt({…})`
    prompt.validate()                                        # raises ValidationError
    await store.prompts.insert(prompt.to_insert())           # what `save()` sends
    prompt.to_json()                                         # what `res.json(prompt)` shows

    filter = cast_filter(PROMPTS, {"_id": …, "clinician": …})        # raises CastError
    update = cast_update(PROMPTS, {"prompt_text": …})                # `findOneAndUpdate`'s update
    prompt = Document.read(PROMPTS, stored)                          # what a query returns

    note.set("body", …); note.validate()
    changes = note.changes()                                 # what `save()` sends, or None
    await store.notes.update_one(changes.where, changes.update); note.saved(changes)

Values are those of handlers.legacy.javascript, `UNDEFINED` included; what goes to MongoDB comes out as the
Node driver would store it (int32 or double, dates, no lone surrogates). Verified against the real library.
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
from handlers.legacy.mongoose.query import by_id, cast_filter
from handlers.legacy.mongoose.schema import (
    BooleanPath,
    DatePath,
    IdListPath,
    IdPath,
    MixedPath,
    NumberPath,
    Path,
    Schema,
    StringPath,
)
from handlers.legacy.mongoose.tables import NULL, Table, arrange, write, write_array, write_object
from handlers.legacy.mongoose.update import cast_update
from handlers.legacy.mongoose.values import is_true, to_bson

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
    "arrange",
    "by_id",
    "cast_filter",
    "cast_update",
    "identity_of",
    "is_true",
    "to_bson",
    "write",
    "write_array",
    "write_object",
]

"""mongoose's Document with its default options: the form of a document between the store and an answer.

`Document.create` is `new Model(values)`, `Document.read` a query's result for a stored document. Both hold the
fields in mongoose's order, the errors so far, and the update for a save. Reading is tolerant: a stored value that its
path cannot cast is dropped, and becomes an error only if the document is saved.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final, cast

from bson.datetime_ms import DatetimeMS

from handlers.legacy.javascript import UNDEFINED, JavaScriptTypeError, Value, is_true, own_keys
from handlers.legacy.mongoose.casts import is_object_id
from handlers.legacy.mongoose.errors import (
    UNNAMED,
    CastError,
    DocumentNotFoundError,
    Json,
    MongooseError,
    ValidationError,
    ValidatorError,
    VersionError,
)
from handlers.legacy.mongoose.inherited import INHERITED
from handlers.legacy.mongoose.moments import now
from handlers.legacy.mongoose.path_types import IdListPath, IdPath
from handlers.legacy.mongoose.paths import Path
from handlers.legacy.mongoose.schema import Schema
from handlers.legacy.mongoose.values import (
    FORBIDDEN,
    INTERNALS,
    Embedded,
    SpreadDocument,
    copy_fields,
    document_in,
    has_only_primitives,
    is_document,
    own_fields,
    prune,
    same,
    strip,
    to_bson,
    unspread,
)

VERSION: Final = "__v"
NONE, COUNT, MATCH = 0, 1, 2
"""Effects of a change on the version: none, an increment, or an increment that requires the version read."""


@dataclass(frozen=True)
class Changes:
    """The filter and update of `save()` for a document that was read, and the resulting version."""

    where: dict[str, object]
    update: dict[str, object]
    version: float | None = None


class Document(Embedded):
    """The fields of one document and their changes.

    `pushed`: the items appended to arrays that were not `replaced` as a whole. `reported`: see `ValidationError`.
    `is_embedded`: whether it was read in place of an id.
    """

    __slots__ = ("_states", "errors", "fields", "is_embedded", "pushed", "replaced", "reported", "schema")

    def __init__(self, schema: Schema, fields: Json | None = None) -> None:
        self.schema = schema
        self.is_embedded = False
        self.fields: Json = {} if fields is None else fields
        self.errors: dict[str, MongooseError] = {}
        self.reported: dict[str, MongooseError] = {}
        self.pushed: dict[str, list[Value]] = {}
        self.replaced: set[str] = set()
        self._states: dict[str, str] | None = None

    @property
    def states(self) -> dict[str, str]:
        """Return the state of each path, in mongoose's order.

        A path was read (`init`), set (`modify`), set by default (`default`) or is required and absent (`require`).
        """
        if self._states is None:
            self._states = dict.fromkeys(self.schema.required, "require")
            for name in self.fields:
                if name in self.schema.paths:
                    self._move(name, "init")
        return self._states

    @classmethod
    def create(cls, schema: Schema, values: Mapping[str, Value], at: DatetimeMS | None = None) -> Document:
        """Create as `new Model(values)`: early defaults, the values in the schema's order, then the other defaults.

        Dates that are set by default are equal: `at`, or the current time.
        """
        document = cls(schema)
        document._default(early=True, at=at)
        for name in schema.paths:
            if name in values and not (values[name] is UNDEFINED and name in document.fields):
                document.set(name, values[name], is_new=True)
        document.fields = {name: document.fields[name] for name in schema.paths if name in document.fields}
        document._default(early=False, at=at)
        return document

    @classmethod
    def read(
        cls,
        schema: Schema,
        stored: Mapping[str, Value],
        selected: Collection[str] = (),
        at: DatetimeMS | None = None,
    ) -> Document:
        """Return a stored document as from a query at the time `at`, by default the current one.

        `selected` names the fields of an inclusive projection.
        """
        if schema.is_settled(stored, selected):
            return cls(schema, dict(stored))
        document = cls(schema)
        chosen, moment = frozenset(selected), now() if at is None else at
        document._default(early=True, at=moment, selected=chosen, skip="_id")
        for name in own_keys(stored):
            if name not in FORBIDDEN:
                document._init(name, stored[name], moment)
        document._default(early=False, at=moment, selected=chosen)
        return document

    def _default(
        self, *, early: bool, at: DatetimeMS | None, selected: frozenset[str] = frozenset(), skip: str = ""
    ) -> None:
        moment = at
        for name, path in self.schema.paths.items():
            if name == skip or path.early is not early or self.get(name) is not UNDEFINED:
                continue
            if selected and name not in selected:
                continue
            value = path.get_default()
            if isinstance(value, DatetimeMS):
                value = moment = value if moment is None else moment
            if value is not UNDEFINED:
                self.fields[name] = value
                self._move(name, "default")

    def _init(self, name: str, value: Value, at: DatetimeMS) -> None:
        path = self.schema.find(name)
        if path is None:
            self._init_unknown(name, value)
            return
        self.fields.pop(name, None)
        if isinstance(path, IdListPath) and value is not None and not isinstance(value, list):
            self._move(name, "modify")
        try:
            self.fields[name] = path.nullish(None) if value is None else path.init(_embed(path, value, at))
        except CastError as error:
            self._invalidate(error.path, ValidatorError(error.message, "cast", error.path, error.value))
        except _UnreadableError as error:
            self._invalidate(UNNAMED, ValidatorError(str(error), "cast", UNNAMED, UNDEFINED))
        if self.states.get(name) != "modify":
            self._move(name, "init")

    def _init_unknown(self, name: str, value: Value) -> None:
        """Read a field without a path. For the name of an inherited method, mongoose uses the method as the path."""
        if name not in INHERITED:
            self.fields[name] = strip(value)
            return
        if value is None:
            raise JavaScriptTypeError("schemaType._castNullish is not a function")
        self._invalidate(UNNAMED, ValidatorError("schemaType.cast is not a function", "cast", UNNAMED, UNDEFINED))
        if "modify" not in self.states.values():  # else mongoose finds the method among the names of set paths
            self._move(name, "init")

    def _move(self, name: str, state: str) -> None:
        if self.states.get(name) != state:
            self.states.pop(name, None)
            self.states[name] = state

    def _invalidate(self, name: str, error: MongooseError) -> None:
        if name not in self.errors:
            self.errors[name] = error
            self.reported = dict(self.errors)

    def get(self, name: str) -> Value:
        """Return a field's value, undefined if absent."""
        return self.fields.get(name, UNDEFINED)

    def set(self, name: str, value: Value, *, is_new: bool = False) -> None:
        """Set as `document.name = value`: cast, or recorded as an error for the save to raise."""
        path = self.schema.paths[name]
        if isinstance(path, IdListPath):
            for below in [error for error in self.errors if error.startswith(f"{name}.")]:
                del self.errors[below]
        try:
            cast = path.apply(unspread(value))
        except CastError as error:
            self._invalidate(error.path, error)
            return
        self.errors.pop(name, None)
        if is_new or self._is_changed(name, cast):
            self._move(name, "modify")
            self.replaced.add(name)
        self.fields[name] = cast

    def _is_changed(self, name: str, value: Value) -> bool:
        if self.states.get(name) == "modify":
            return True
        if self.states.get(name) == "default":
            return value is not UNDEFINED
        return not same(value, self.get(name))

    def push(self, name: str, value: Value) -> None:
        """Push as `document.name.push(value)` on an array of ids; raises `CastError`."""
        path = self.schema.paths[name]
        array = self.get(name)
        if array is None or array is UNDEFINED:
            kind = "null" if array is None else "undefined"
            raise JavaScriptTypeError(f"Cannot read properties of {kind} (reading 'push')")
        if not isinstance(path, IdListPath) or not isinstance(array, list):
            raise TypeError(f"{name} is not an array of ids")
        item = path.item.apply(value)
        self.fields[name] = [*array, item]
        self._move(name, "modify")
        if name not in self.replaced:
            self.pushed.setdefault(name, []).append(item)

    def validate(self) -> None:
        """Validate as every save does; raises `ValidationError` with all errors in mongoose's order."""
        if not INHERITED.isdisjoint(self.states):
            raise JavaScriptTypeError("Cannot read properties of undefined (reading 'length')")
        for name in self._validated():
            if name not in self.errors:
                refusal = self.schema.paths[name].validate(identity_of(self.get(name)))
                if refusal is not None:
                    self._invalidate(name, refusal)
        if self.errors:
            raise ValidationError(self.schema.model, self.errors, self.reported)

    def _validated(self) -> list[str]:
        """Return the paths to validate: required, read, set and defaulted ones, in this order."""
        names = (name for state in ("require", "init", "modify", "default") for name in self._in_state(state))
        return [name for name in names if name in self.schema.paths and self.schema.paths[name].validated]

    def _in_state(self, state: str) -> list[str]:
        return [name for name, current in self.states.items() if current == state]

    def to_insert(self) -> dict[str, object]:
        """Return the document to insert, with its version, which the document has from then on."""
        if self.schema.versioned:
            self.fields[VERSION] = 0
        self.saved(None)
        return {name: to_bson(value) for name, value in copy_fields(self.fields).items()}

    def to_json(self) -> Json:
        """Return the JSON of `res.json(document)`; empty objects are omitted.

        Raises `JavaScriptTypeError` for a field by which mongoose mistakes the document for a buffer or map of its own.
        """
        if is_document(self.fields) and (self.is_embedded or not has_only_primitives(self.fields)):
            document_in(self.fields)
        return copy_fields(self.fields)

    def changes(self) -> Changes | None:
        """Return the changes of a read document that a save writes; None if nothing was changed or set by default."""
        update: dict[str, Json] = {}
        dirty = [*self._in_state("modify"), *(n for n in self._in_state("default") if self._is_given(n))]
        versioning = max((self._write(update, name) for name in dirty), default=NONE)
        where: Json = {"_id": self.get("_id")}
        version = self._count(where, update, versioning) if self.schema.versioned else None
        if not update:
            return None
        sent = {operator: to_bson(fields) for operator, fields in update.items()}
        return Changes({name: to_bson(value) for name, value in where.items()}, sent, version)

    def _is_given(self, name: str) -> bool:
        return name != "_id" and self.get(name) is not UNDEFINED and self.get(name) is not None

    def _write(self, update: dict[str, Json], name: str) -> int:
        if name in self.pushed:
            update.setdefault("$push", {})[name] = {"$each": list(self.pushed[name])}
            return COUNT
        value = prune(_depopulate(self.get(name)))
        if value is UNDEFINED:
            update.setdefault("$unset", {})[name] = 1
        else:
            update.setdefault("$set", {})[name] = value
        return MATCH if isinstance(value, list) else NONE

    def _count(self, where: Json, update: dict[str, Json], versioning: int) -> float | None:
        if versioning == NONE:
            return None
        version = self.get(VERSION)
        if versioning == MATCH and version is not UNDEFINED and version is not None:
            where[VERSION] = version
        update.setdefault("$inc", {})[VERSION] = 1
        return version + 1 if isinstance(version, int | float) else 1

    def conflict(self, changes: Changes) -> MongooseError:
        """Return the error of a save whose changes matched no document."""
        if changes.version is None:
            where: Value = {"_id": self.get("_id")}
            return DocumentNotFoundError(where, self.schema.model)
        version = self.get(VERSION)
        dirty = [*self._in_state("modify"), *self._in_state("default")]
        return VersionError(self.get("_id"), version if is_true(version) else 0, dirty)

    def saved(self, changes: Changes | None) -> None:
        """Record that the changes were written: set the new version and reset the changed state."""
        if changes is not None and changes.version is not None:
            self.fields[VERSION] = changes.version
        clean = {name: state for name, state in self.states.items() if state not in ("modify", "default")}
        self._states = clean | dict.fromkeys(self.schema.required, "require")
        self.pushed.clear()
        self.replaced.clear()
        self.errors.clear()


class _UnreadableError(Exception):
    """A stored object in place of an id that cannot be read; the message is the TypeError's."""


def _embed(path: Path, value: Value, at: DatetimeMS) -> Value:
    """Read a stored object in place of an id, at the time `at`, as a document of the model that the path refers to.

    Raises `_UnreadableError`, or `CastError` for an object in an array.
    """
    if isinstance(path, IdPath) and path.ref and (fields := own_fields(value)) is not None:
        try:
            return cast("Value", _read_embedded(Schema.known[path.ref], fields, at))
        except JavaScriptTypeError as error:
            raise _UnreadableError(str(error)) from error
    if not isinstance(path, IdListPath):
        return value
    return _embed_each(path, value if isinstance(value, list) else [value], at)


def _read_embedded(schema: Schema, fields: Json, at: DatetimeMS) -> Embedded | Json:
    """Return a document; unchanged, an object that declares to be an id; raises `JavaScriptTypeError`."""
    if is_object_id(fields):
        return fields
    if fields.get(INTERNALS) is not None:
        return SpreadDocument(fields)
    document = Document.read(schema, fields, at=at)
    document.is_embedded = True
    return document


def _embed_each(path: IdListPath, items: list[Value], at: DatetimeMS) -> Value:
    """Read the objects of an array up to the first item that cannot be cast, whose error ends mongoose's cast."""
    embedded = list(items)
    for position, item in enumerate(items):
        try:
            embedded[position] = _embed(path.item, item, at)
        except _UnreadableError as error:
            _require_shown(embedded[:position])
            raise path.unreadable(embedded, position) from error
        try:
            path.item.init(embedded[position])
        except CastError:
            _require_shown(embedded[:position])
            break
    return embedded


def _require_shown(items: list[Value]) -> None:
    """Raise `_UnreadableError` for a document that the message of the array's `CastError` cannot show."""
    for item in items:
        shown: object = item
        if isinstance(shown, Document):
            try:
                shown.to_json()
            except JavaScriptTypeError as error:
                raise _UnreadableError(str(error)) from error


def _depopulate(value: Value) -> Value:
    """Return an array as a save writes it, with ids in place of documents."""
    return [identity_of(item) for item in value] if isinstance(value, list) else value


def identity_of(value: Value) -> Value:
    """Return the id of a reference, which may be a document in its place."""
    reference: object = value
    return reference.get("_id") if isinstance(reference, Embedded) else value

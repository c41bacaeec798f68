"""A document between its store and its answer: mongoose's Document, as far as the default options go.

`Document.create` is `new Model(values)`, `Document.read` what a query makes of a stored document. Both hold
the fields in the order mongoose keeps them, the errors met so far, and what a save would write. Reading
forgives: a stored value that its path cannot take vanishes, and is only an error if the document is saved.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final, cast

from bson.datetime_ms import DatetimeMS

from handlers.legacy.javascript import UNDEFINED, JavaScriptTypeError, Value, own_keys
from handlers.legacy.mongoose.errors import (
    CastError,
    DocumentNotFoundError,
    Json,
    MongooseError,
    ValidationError,
    ValidatorError,
    VersionError,
)
from handlers.legacy.mongoose.schema import IdListPath, IdPath, Path, Schema
from handlers.legacy.mongoose.values import (
    FORBIDDEN,
    Embedded,
    copy_fields,
    is_true,
    own_fields,
    prune,
    same,
    strip,
    to_bson,
)

VERSION: Final = "__v"
KEEP, COUNT, MATCH = 0, 1, 2
"""What a change means for the version: nothing, one more, or one more and only if it is still the same."""


@dataclass(frozen=True)
class Changes:
    """What `save()` sends for a document that was read: a filter, an update, and the version it counts to."""

    where: dict[str, object]
    update: dict[str, object]
    version: int | None = None


class Document(Embedded):
    """The fields of one document and what has happened to them.

    `pushed` holds what was appended to arrays that were not `replaced` as a whole, `told` the errors that a
    message would name (see `ValidationError`).
    """

    __slots__ = ("_states", "errors", "fields", "pushed", "replaced", "schema", "told")

    def __init__(self, schema: Schema, fields: Json | None = None) -> None:
        self.schema = schema
        self.fields: Json = {} if fields is None else fields
        self.errors: dict[str, MongooseError] = {}
        self.told: dict[str, MongooseError] = {}
        self.pushed: dict[str, list[Value]] = {}
        self.replaced: set[str] = set()
        self._states: dict[str, str] | None = None

    @property
    def states(self) -> dict[str, str]:
        """Whether each path was read (`init`), given (`modify`), filled in (`default`) or is still wanted
        (`require`), in mongoose's order."""
        if self._states is None:
            self._states = dict.fromkeys(self.schema.required, "require")
            for name in self.fields:
                if name in self.schema.paths:
                    self._move(name, "init")
        return self._states

    @classmethod
    def create(cls, schema: Schema, values: Mapping[str, Value]) -> Document:
        """`new Model(values)`: early defaults, then the values in the schema's order, then other defaults."""
        document = cls(schema)
        document._default(early=True)
        for name in schema.paths:
            if name in values and not (values[name] is UNDEFINED and name in document.fields):
                document.set(name, values[name], is_new=True)
        document.fields = {name: document.fields[name] for name in schema.paths if name in document.fields}
        document._default(early=False)
        return document

    @classmethod
    def read(cls, schema: Schema, stored: Mapping[str, Value], selected: Collection[str] = ()) -> Document:
        """A stored document as a query returns it; `selected` names the fields of an inclusive projection."""
        if schema.is_settled(stored, selected):
            return cls(schema, dict(stored))
        document = cls(schema)
        chosen = frozenset(selected)
        document._default(early=True, selected=chosen, skip="_id")
        for name in own_keys(stored):
            if name not in FORBIDDEN:
                document._init(name, stored[name])
        document._default(early=False, selected=chosen)
        return document

    def _default(self, *, early: bool, selected: frozenset[str] = frozenset(), skip: str = "") -> None:
        moment: Value = UNDEFINED
        for name, path in self.schema.paths.items():
            if name == skip or path.early is not early or self.get(name) is not UNDEFINED:
                continue
            if selected and name not in selected:
                continue
            value = path.get_default()
            if isinstance(value, DatetimeMS):
                value = moment = value if moment is UNDEFINED else moment
            if value is not UNDEFINED:
                self.fields[name] = value
                self._move(name, "default")

    def _init(self, name: str, value: Value) -> None:
        path = self.schema.find(name)
        if path is None:
            self.fields[name] = strip(value)
            return
        self.fields.pop(name, None)
        if isinstance(path, IdListPath) and value is not None and not isinstance(value, list):
            self._move(name, "modify")
        try:
            self.fields[name] = path.nullish(None) if value is None else path.init(_embed(path, value))
        except CastError as error:
            self._invalidate(error.path, ValidatorError(error.message, "cast", error.path, error.value))
        if self.states.get(name) != "modify":
            self._move(name, "init")

    def _move(self, name: str, state: str) -> None:
        if self.states.get(name) != state:
            self.states.pop(name, None)
            self.states[name] = state

    def _invalidate(self, name: str, error: MongooseError) -> None:
        if name not in self.errors:
            self.errors[name] = error
            self.told = dict(self.errors)

    def get(self, name: str) -> Value:
        """A field's value, undefined where there is none."""
        return self.fields.get(name, UNDEFINED)

    def set(self, name: str, value: Value, *, is_new: bool = False) -> None:
        """`document.name = value`: cast, or noted as an error for the save to raise."""
        path = self.schema.paths[name]
        if isinstance(path, IdListPath):
            for below in [error for error in self.errors if error.startswith(f"{name}.")]:
                del self.errors[below]
        try:
            cast = path.apply(value)
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
        """`document.name.push(value)` for an array that holds ids; raises `CastError`."""
        path = self.schema.paths[name]
        array = self.get(name)
        if array is None or array is UNDEFINED:
            what = "null" if array is None else "undefined"
            raise JavaScriptTypeError(f"Cannot read properties of {what} (reading 'push')")
        if not isinstance(path, IdListPath) or not isinstance(array, list):
            raise TypeError(f"{name} is no array of ids")
        item = path.item.apply(value)
        self.fields[name] = [*array, item]
        self._move(name, "modify")
        if name not in self.replaced:
            self.pushed.setdefault(name, []).append(item)

    def validate(self) -> None:
        """What every save begins with; raises `ValidationError` with all errors in mongoose's order."""
        for name in self._validated():
            if name not in self.errors:
                refusal = self.schema.paths[name].validate(identity_of(self.get(name)))
                if refusal is not None:
                    self._invalidate(name, refusal)
        if self.errors:
            raise ValidationError(self.schema.model, self.errors, self.told)

    def _validated(self) -> list[str]:
        """The paths to validate: those wanted, read, given and defaulted, in this order."""
        names = (name for state in ("require", "init", "modify", "default") for name in self._in_state(state))
        return [name for name in names if name in self.schema.paths and self.schema.paths[name].validated]

    def _in_state(self, state: str) -> list[str]:
        return [name for name, held in self.states.items() if held == state]

    def to_insert(self) -> dict[str, object]:
        """The document as it is first stored, its version in it; from then on it shows that too."""
        if self.schema.versioned:
            self.fields[VERSION] = 0
        self.saved(None)
        return {name: to_bson(value) for name, value in copy_fields(self.fields).items()}

    def to_json(self) -> Json:
        """What `res.json(document)` shows; empty objects are left out."""
        return copy_fields(self.fields)

    def changes(self) -> Changes | None:
        """What saving this read document would write; nothing where nothing was changed or defaulted."""
        update: dict[str, Json] = {}
        dirty = [*self._in_state("modify"), *(n for n in self._in_state("default") if self._is_given(n))]
        versioning = max((self._write(update, name) for name in dirty), default=KEEP)
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
        return MATCH if isinstance(value, list) else KEEP

    def _count(self, where: Json, update: dict[str, Json], versioning: int) -> int | None:
        if versioning == KEEP:
            return None
        version = self.get(VERSION)
        if versioning == MATCH and version is not UNDEFINED and version is not None:
            where[VERSION] = version
        update.setdefault("$inc", {})[VERSION] = 1
        return int(version) + 1 if isinstance(version, int | float) else 1

    def conflict(self, changes: Changes) -> MongooseError:
        """What a save raises whose changes found no document any more."""
        if changes.version is None:
            where: Value = {"_id": self.get("_id")}
            return DocumentNotFoundError(where, self.schema.model)
        version = self.get(VERSION)
        dirty = [*self._in_state("modify"), *self._in_state("default")]
        return VersionError(self.get("_id"), version if is_true(version) else 0, dirty)

    def saved(self, changes: Changes | None) -> None:
        """Notes that the changes were written: the version counts on, and nothing is dirty any more."""
        if changes is not None and changes.version is not None:
            self.fields[VERSION] = changes.version
        clean = {name: state for name, state in self.states.items() if state not in ("modify", "default")}
        self._states = clean | dict.fromkeys(self.schema.required, "require")
        self.pushed.clear()
        self.replaced.clear()
        self.errors.clear()


def _embed(path: Path, value: Value) -> Value:
    """A stored object where an id belongs is read as a document of the model that the path refers to."""
    if isinstance(path, IdPath) and path.ref and (fields := own_fields(value)) is not None:
        return cast("Value", Document.read(Schema.known[path.ref], fields))
    if isinstance(path, IdListPath):
        return [_embed(path.item, item) for item in (value if isinstance(value, list) else [value])]
    return value


def _depopulate(value: Value) -> Value:
    """What a save writes of an array in which documents stand for ids."""
    return [identity_of(item) for item in value] if isinstance(value, list) else value


def identity_of(value: Value) -> Value:
    """The id that a reference stands for, be it one or a document read in its place."""
    held: object = value
    return held.get("_id") if isinstance(held, Document) else value

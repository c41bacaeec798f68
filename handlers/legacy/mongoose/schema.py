"""Schemas: the paths of a model, and each type's treatment of a value (lib/schemaType.js, lib/schema/).

A path applies its setters and its cast to written values (`apply`), only its cast to read values (`init`), and has
its own rules for query operators (`for_query`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import ClassVar, Final, TypeAlias

from bson import ObjectId, Regex
from bson.datetime_ms import DatetimeMS

from handlers.legacy.javascript import UNDEFINED, Value, inspect, to_string
from handlers.legacy.mongoose import casts
from handlers.legacy.mongoose.errors import (
    UNNAMED,
    CastError,
    CastFailureError,
    MongooseError,
    Reason,
    UnexplainedCastError,
    ValidatorError,
)
from handlers.legacy.mongoose.values import Embedded, is_out_of_order, is_true
from handlers.white_space import trim

REQUIRED: Final = "Path `{PATH}` is required."
NOT_IN_ENUM: Final = "`{VALUE}` is not a valid enum value for path `{PATH}`."

Default: TypeAlias = Callable[[], Value]


class Missing:
    """The default of a path without one."""


NO_DEFAULT: Final = Missing()

_ONLY_IDS: Final = frozenset({ObjectId})


def holds_ids(array: object) -> bool:
    """Return whether an array contains only ids."""
    return isinstance(array, list) and _ONLY_IDS.issuperset(map(type, array))


@dataclass(frozen=True)
class Path:
    """One path of a schema, with the behaviour of its type.

    `default` is a plain value, or a function, which runs after given values are set unless `early`.
    """

    name: str
    required: bool = False
    default: Value | Default | Missing = NO_DEFAULT
    early: bool = True
    ref: str = ""
    kind: ClassVar[str] = ""
    plain: ClassVar[type | None] = None
    """The type of valid stored values, which are read without a cast."""
    comparable: ClassVar[bool] = False
    unknown_operator: ClassVar[str] = ""

    def cast(self, value: Value) -> Value:
        """Cast a value that is neither null nor undefined; raises `CastFailureError`."""
        raise NotImplementedError

    def set(self, value: Value) -> Value:
        """Apply the setters (trim, lowercase), before the cast."""
        return value

    def nullish(self, value: Value) -> Value:
        """Return the value for null or undefined."""
        return value

    def init(self, value: Value) -> Value:
        """Return a stored value as it is read, without setters; raises `CastError`."""
        if value is None or value is UNDEFINED:
            return self.nullish(value)
        try:
            return self.cast(value)
        except CastFailureError as failure:
            raise self.cast_error(value, failure.reason) from failure

    def apply(self, value: Value) -> Value:
        """Apply setters and cast to a given value; raises `CastError`."""
        return self.init(self.set(value))

    def cast_error(self, value: Value, reason: Reason | None) -> CastError:
        """Return the cast error for a value of this path."""
        return CastError(self.kind, value, self.name, reason)

    def get_default(self) -> Value:
        """Return the cast default of a new document; undefined if there is none."""
        if isinstance(self.default, Missing):
            return UNDEFINED
        return self.apply(self.default() if callable(self.default) else self.default)

    def is_settled(self, kind: type) -> bool:
        """Return whether every stored value of a type is read unchanged."""
        return kind is type(None) or kind is self.plain

    def is_present(self, value: Value) -> bool:
        """Return whether a value satisfies `required`."""
        return value is not None and value is not UNDEFINED

    def validate(self, value: Value) -> ValidatorError | None:
        """Return the error of the first validator that refuses."""
        if self.required and not self.is_present(value):
            return ValidatorError(REQUIRED, "required", self.name, value)
        return None

    @property
    def validated(self) -> bool:
        """Return whether the path has any validator."""
        return self.required

    def for_query(self, operator: str | None, value: Value) -> Value:
        """Cast a filter's value, or the operand of an operator; raises `MongooseError`."""
        if operator is None:
            return self.apply(value)
        if operator in ("$eq", "$ne"):
            return self.for_query(None, value)
        if operator in ("$in", "$nin"):
            return self._each(value, pass_empty=True)
        if operator == "$all":
            return self._each(value)
        if operator == "$exists":
            return _cast_exists(self.name, value)
        if operator == "$type":
            return _check_type(value)
        if operator in ("$gt", "$gte", "$lt", "$lte") and self.comparable:
            return self.init(value)
        return self.odd_operator(operator, value)

    def odd_operator(self, operator: str, value: Value) -> Value:
        """Cast the operand of an operator that this type does not define."""
        raise MongooseError(f"Can't use {operator}{self.unknown_operator}")

    def _each(self, value: Value, *, pass_empty: bool = False) -> Value:
        if not isinstance(value, list):
            return [self.for_query(None, value)]
        return [item if pass_empty and item == [] else self.for_query(None, item) for item in value]


def _cast_exists(path: str, value: Value) -> Value:
    if value is None or value is UNDEFINED:
        return value
    try:
        return casts.cast_boolean(value)
    except CastFailureError as failure:
        raise UnexplainedCastError("boolean", value, path) from failure


def _check_type(value: Value) -> Value:
    def is_name(item: Value) -> bool:
        return isinstance(item, str | int | float) and not isinstance(item, bool)

    if isinstance(value, list):
        if all(map(is_name, value)):
            return value
        raise MongooseError("$type array values must be strings or numbers")
    if is_name(value):
        return value
    raise MongooseError("$type parameter must be number, string, or array of numbers and strings")


@dataclass(frozen=True)
class StringPath(Path):
    """Text, trimmed or in lower case before the cast, limited to `enum` where given."""

    trim: bool = False
    lowercase: bool = False
    enum: tuple[str, ...] = ()
    plain: ClassVar[type | None] = str
    kind: ClassVar[str] = "string"
    unknown_operator: ClassVar[str] = " with String."

    def cast(self, value: Value) -> Value:
        return casts.cast_string(value)

    def set(self, value: Value) -> Value:
        if not (self.trim or self.lowercase):
            return value
        text = self.init(value)
        if isinstance(text, str):
            text = trim(text) if self.trim else text
            text = text.lower() if self.lowercase else text
        return text

    def is_present(self, value: Value) -> bool:
        return isinstance(value, str) and value != ""

    @property
    def validated(self) -> bool:
        return self.required or bool(self.enum)

    def validate(self, value: Value) -> ValidatorError | None:
        if (refusal := super().validate(value)) is not None:
            return refusal
        if self.enum and value is not None and value is not UNDEFINED and value not in self.enum:
            return ValidatorError(NOT_IN_ENUM, "enum", self.name, value)
        return None

    def for_query(self, operator: str | None, value: Value) -> Value:
        if operator in ("$gt", "$gte", "$lt", "$lte", "$not"):
            return self.for_query(None, value)
        if operator in ("$regex", "$options"):
            return self.init(value)
        return super().for_query(operator, value)


@dataclass(frozen=True)
class BooleanPath(Path):
    """A boolean, also cast from numbers and words."""

    plain: ClassVar[type | None] = bool
    kind: ClassVar[str] = "Boolean"

    def cast(self, value: Value) -> Value:
        return casts.cast_boolean(value)

    def cast_error(self, value: Value, reason: Reason | None) -> CastError:
        return CastError(self.kind, value, self.name, origin=UnexplainedCastError("boolean", value, UNNAMED))

    def is_present(self, value: Value) -> bool:
        return isinstance(value, bool)

    def odd_operator(self, operator: str, value: Value) -> Value:
        return self.apply(value)


@dataclass(frozen=True)
class NumberPath(Path):
    """A number; only the version key is one."""

    plain: ClassVar[type | None] = int
    kind: ClassVar[str] = "Number"
    comparable: ClassVar[bool] = True
    unknown_operator: ClassVar[str] = " with Number."

    def cast(self, value: Value) -> Value:
        if isinstance(value, dict) and "_id" in value:
            value = value["_id"]
        return casts.cast_number(value) if value is not None else None

    def is_present(self, value: Value) -> bool:
        return isinstance(value, int | float)


@dataclass(frozen=True)
class IdPath(Path):
    """An ObjectId, of a document of the model `ref` where given."""

    plain: ClassVar[type | None] = ObjectId
    kind: ClassVar[str] = "ObjectId"
    comparable: ClassVar[bool] = True

    def cast(self, value: Value) -> Value:
        return value if isinstance(value, Embedded) else casts.cast_object_id(value)

    def init(self, value: Value) -> Value:
        return value if self.ref and isinstance(value, Regex) else super().init(value)

    def is_present(self, value: Value) -> bool:
        return casts.is_object_id(value)


@dataclass(frozen=True)
class DatePath(Path):
    """A date, in milliseconds."""

    plain: ClassVar[type | None] = DatetimeMS
    kind: ClassVar[str] = "date"
    comparable: ClassVar[bool] = True
    unknown_operator: ClassVar[str] = " with Date."

    def cast(self, value: Value) -> Value:
        return casts.cast_date(value)

    def is_present(self, value: Value) -> bool:
        return isinstance(value, DatetimeMS)


@dataclass(frozen=True)
class MixedPath(Path):
    """Any value, unchanged."""

    kind: ClassVar[str] = "Mixed"

    def is_settled(self, kind: type) -> bool:
        return True

    def cast(self, value: Value) -> Value:
        return value

    def for_query(self, operator: str | None, value: Value) -> Value:
        return value


@dataclass(frozen=True)
class IdListPath(Path):
    """An array of ids; any other value becomes an array of one item."""

    default: Value | Default | Missing = field(default=list)
    plain: ClassVar[type | None] = list
    kind: ClassVar[str] = "Array"
    unknown_operator: ClassVar[str] = " with Array."

    @cached_property
    def item(self) -> IdPath:
        """Return the path of an array item."""
        return IdPath(self.name, ref=self.ref)

    def cast(self, value: Value) -> Value:
        items: list[Value] = list(value) if isinstance(value, list) else [value]
        for position, item in enumerate(items):
            try:
                items[position] = self.item.apply(item)
            except CastError as error:
                shown = _inspect_array(items)
                raise CastError(f"[{error.kind}]", shown, f"{self.name}.{position}", origin=error) from error
        return items

    def for_query(self, operator: str | None, value: Value) -> Value:
        if operator in (None, "$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$not", "$regex"):
            if isinstance(value, list):
                return [self._one(item) for item in value]
            return self.item.for_query(None, value)
        if operator == "$size":
            return _cast_size(self.name, value)
        if operator == "$options":
            return to_string(value)
        if operator == "$all":
            return self.for_query(None, value if isinstance(value, list) else [value])
        if operator == "$elemMatch":
            return self._element(value)
        if operator in ("$in", "$nin", "$exists", "$type"):
            return super().for_query(operator, value)
        raise MongooseError(f"Can't use {operator} with Array.")

    def _one(self, item: Value) -> Value:
        if isinstance(item, dict) and is_true(item.get("$elemMatch")):
            return item
        return self.item.for_query(None, item)

    def _element(self, value: Value) -> Value:
        if not isinstance(value, dict):
            return value
        return {
            key: self.for_query(key, item) if is_operator(key) and item is not None else item
            for key, item in value.items()
        }


def _inspect_array(items: list[Value]) -> str:
    """Inspect as Node inspects mongoose's arrays, which are proxies: one that begins with null counts as revoked."""
    shown: list[Value] = [item.to_json() if isinstance(item, Embedded) else item for item in items]
    return inspect(shown) if shown[0] is not None else "<Revoked Proxy>"


def _cast_size(path: str, value: Value) -> Value:
    if value is None or value is UNDEFINED:
        return value
    try:
        return casts.cast_number(value)
    except CastFailureError as failure:
        raise UnexplainedCastError("number", value, path) from failure


def is_operator(key: str) -> bool:
    """Return whether a key is a query operator: a leading dollar, and not part of a DBRef."""
    return key.startswith("$") and key not in ("$ref", "$id", "$db")


class Schema:
    """A model's name and its paths, in the order in which documents are written.

    `_id` and, unless `versioned` is off, `__v` follow the given paths, as mongoose adds them.
    """

    known: ClassVar[dict[str, Schema]] = {}
    """The schemas by model name, which references use."""

    def __init__(self, model: str, paths: Iterable[Path], *, versioned: bool = True) -> None:
        self.model = model
        self.known[model] = self
        self.versioned = versioned
        added = (IdPath("_id", default=ObjectId), *((NumberPath("__v"),) if versioned else ()))
        self.paths: Mapping[str, Path] = {path.name: path for path in (*paths, *added)}
        self.arrays_of = lru_cache(maxsize=1024)(self._arrays_of)

    @cached_property
    def required(self) -> tuple[str, ...]:
        """Return the required paths, last first, as mongoose collects them."""
        return tuple(name for name in reversed(list(self.paths)) if self.paths[name].required)

    def is_settled(self, stored: Mapping[str, Value], selected: Collection[str] = ()) -> bool:
        """Return whether a stored document is read unchanged: all types are valid, and no default is missing."""
        arrays = self.arrays_of(tuple(stored), tuple(map(type, stored.values())), tuple(selected))
        return arrays is not None and all(holds_ids(stored[name]) for name in arrays)

    def _arrays_of(
        self, names: tuple[str, ...], types: tuple[type, ...], selected: tuple[str, ...]
    ) -> tuple[str, ...] | None:
        """Return the arrays whose items decide whether documents of this shape are settled; None if none is settled."""
        for name in self._defaulted:
            if name not in names and (not selected or name in selected):
                return None
        arrays = []
        for name, kind in zip(names, types, strict=True):
            path = self.paths.get(name)
            if path is None:
                if is_out_of_order(name) or kind is dict:
                    return None
            elif not path.is_settled(kind):
                return None
            elif isinstance(path, IdListPath) and kind is list:
                arrays.append(name)
        return tuple(arrays)

    @cached_property
    def _defaulted(self) -> tuple[str, ...]:
        return tuple(n for n, path in self.paths.items() if n != "_id" and not isinstance(path.default, Missing))

    def find(self, name: str) -> Path | None:
        """Return the path of exactly this name."""
        return self.paths.get(name)

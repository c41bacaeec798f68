"""The types of paths: each casts, validates and queries its values in its own way (lib/schema/)."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar, Final

from bson import ObjectId, Regex
from bson.datetime_ms import DatetimeMS

from common.white_space import trim
from handlers.legacy.javascript import UNDEFINED, Value, inspect, is_true, to_string
from handlers.legacy.mongoose import casts
from handlers.legacy.mongoose.errors import (
    BSON_ERROR,
    TYPE_ERROR,
    UNNAMED,
    CastError,
    MongooseError,
    Reason,
    UnexplainedCastError,
    ValidatorError,
)
from handlers.legacy.mongoose.inherited import METHODS
from handlers.legacy.mongoose.paths import Default, Missing, Path, cast_operand
from handlers.legacy.mongoose.values import UNSUPPORTED_BSON, Embedded, is_operator

NOT_IN_ENUM: Final = "`{VALUE}` is not a valid enum value for path `{PATH}`."


@dataclass(frozen=True)
class StringPath(Path):
    """Text, trimmed or in lower case before the cast, limited to `enum` if given."""

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
        if operator is None and _is_regular_expression(value):
            return value
        if operator in ("$regex", "$options"):
            return self.init(value)
        return super().for_query(operator, value)


def _is_regular_expression(value: Value) -> bool:
    """Return whether a query accepts a value in place of a text: a RegExp, or an object that declares to be one."""
    return isinstance(value, Regex) or (isinstance(value, dict) and value.get("_bsontype") == "BSONRegExp")


@dataclass(frozen=True)
class BooleanPath(Path):
    """A boolean, also cast from numbers and words."""

    plain: ClassVar[type | None] = bool
    kind: ClassVar[str] = "Boolean"

    def cast(self, value: Value) -> Value:
        return casts.cast_boolean(value)

    def cast_error(self, value: Value, reason: Reason | None) -> CastError:
        return CastError(self.kind, value, self.name, origin=UnexplainedCastError("boolean", value, UNNAMED))

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
        return casts.cast_number(value) if value is not None else None

    def init(self, value: Value) -> Value:
        if isinstance(value, dict) and value.get("_id", UNDEFINED) is not UNDEFINED:
            value = value["_id"]
        return super().init(value)


@dataclass(frozen=True)
class IdPath(Path):
    """An ObjectId, of a document of the model `ref` if given."""

    plain: ClassVar[type | None] = ObjectId
    kind: ClassVar[str] = "ObjectId"
    comparable: ClassVar[bool] = True

    def cast(self, value: Value) -> Value:
        return value if isinstance(value, Embedded) else casts.cast_object_id(value)

    def init(self, value: Value) -> Value:
        return value if self.ref and isinstance(value, Regex) else super().init(value)

    def for_query(self, operator: str | None, value: Value) -> Value:
        if operator is None and isinstance(value, Regex):
            raise self.cast_error(value, BSON_ERROR)
        return super().for_query(operator, value)

    def is_present(self, value: Value) -> bool:
        return casts.is_object_id(value) or (bool(self.ref) and isinstance(value, Regex))


@dataclass(frozen=True)
class DatePath(Path):
    """A date, in milliseconds."""

    plain: ClassVar[type | None] = DatetimeMS
    kind: ClassVar[str] = "date"
    comparable: ClassVar[bool] = True
    unknown_operator: ClassVar[str] = " with Date."

    def cast(self, value: Value) -> Value:
        return casts.cast_date(value)


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
                raise self._item_error(items, position, error) from error
        return items

    def refuse_references(self, value: Value) -> None:
        """Raise the error of population for the first item that is read unchanged, but is not an id.

        It is a `CastError` for a regular expression.
        """
        items = value if isinstance(value, list) else []
        for position, item in enumerate(items):
            if isinstance(item, Regex):
                raise self._item_error(items, position, self.item.cast_error(item, None))
            if isinstance(item, dict):
                raise MongooseError(UNSUPPORTED_BSON)

    def unreadable(self, items: list[Value], position: int) -> CastError:
        """Return the error of an array that contains a document whose reading raises a TypeError."""
        return CastError("[undefined]", _inspect_array(items), f"{self.name}.{position}", TYPE_ERROR)

    def _item_error(self, items: list[Value], position: int, error: CastError) -> CastError:
        return CastError(f"[{error.kind}]", _inspect_array(items), f"{self.name}.{position}", origin=error)

    def for_query(self, operator: str | None, value: Value) -> Value:
        if operator in (None, "$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$not", "$regex"):
            if isinstance(value, list):
                return [self._one(item) for item in value]
            return self.item.for_query(None, value)
        if operator == "$size":
            return cast_operand("number", casts.cast_number, self.name, value)
        if operator == "$options":
            return to_string(value)
        if operator == "$all":
            return self.for_query(None, value if isinstance(value, list) else [value])
        if operator == "$elemMatch":
            return self._element(value)
        if operator in ("$in", "$nin", "$exists", "$type", *METHODS):
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
    """Inspect an array of mongoose's as Node does: it is a proxy, shown as revoked if it begins with null."""
    shown: list[Value] = [item.inspected() if isinstance(item, Embedded) else item for item in items]
    return inspect(shown) if shown[0] is not None else "<Revoked Proxy>"

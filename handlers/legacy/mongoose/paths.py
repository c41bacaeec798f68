"""The base of a schema's paths: casts, defaults, validators, operands of query operators (lib/schemaType.js).

A path applies its setters and its cast to written values (`apply`), only its cast to read values (`init`), and has its
own rules for query operators (`for_query`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Final, TypeAlias

from handlers.legacy.javascript import UNDEFINED, Value
from handlers.legacy.mongoose import casts
from handlers.legacy.mongoose.errors import (
    CastError,
    CastFailureError,
    MongooseError,
    Reason,
    UnexplainedCastError,
    ValidatorError,
)
from handlers.legacy.mongoose.inherited import METHODS

REQUIRED: Final = "Path `{PATH}` is required."

Default: TypeAlias = Callable[[], Value]


class Missing:
    """The default of a path without one."""


NO_DEFAULT: Final = Missing()


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
    """The type of stored values that are read without a cast."""
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
            return cast_operand("boolean", casts.cast_boolean, self.name, value)
        if operator == "$type":
            return _check_type(value)
        if operator in ("$gt", "$gte", "$lt", "$lte") and self.comparable:
            return self.init(value)
        inherited = METHODS.get(operator)
        return self.odd_operator(operator, value) if inherited is None else inherited(value)

    def odd_operator(self, operator: str, value: Value) -> Value:
        """Cast the operand of an operator that this type does not define."""
        raise MongooseError(f"Can't use {operator}{self.unknown_operator}")

    def _each(self, value: Value, *, pass_empty: bool = False) -> Value:
        if not isinstance(value, list):
            return [self.for_query(None, value)]
        return [item if pass_empty and item == [] else self.for_query(None, item) for item in value]


def cast_operand(kind: str, cast: Callable[[Value], Value], path: str, value: Value) -> Value:
    """Cast an operand whose type is not the path's; null is unchanged. Raises `UnexplainedCastError`."""
    if value is None or value is UNDEFINED:
        return value
    try:
        return cast(value)
    except CastFailureError as failure:
        raise UnexplainedCastError(kind, value, path) from failure


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

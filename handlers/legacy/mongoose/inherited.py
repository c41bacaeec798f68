"""The methods that every JavaScript object inherits, and that mongoose's lookups by name find. Pure.

For a stored field named `toString`, `schema.path(name)` returns the method, which cannot cast the field's value.
`schemaType.$conditionalHandlers[name]` returns it as the handler of an operator: for a member with such a name beside
an operator (`{"$gt": "", "toString": 1}`), the method is called on the path's type, and its result is the operand.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from handlers.legacy.javascript import UNDEFINED, JavaScriptTypeError, Value, to_string

OWN_PROPERTIES: Final = frozenset(
    (
        *("path", "instance", "validators", "getters", "setters", "_presplitPath", "options", "_index"),
        *("defaultValue", "$isRequired", "isRequired", "requiredValidator", "originalRequiredValue"),
    )
)
"""Properties of mongoose's path types, of all types together; some types have only a part of them."""


def _to_object(value: Value) -> Value:
    """Return `Object(value)` as it is stored: a text as an object of its units, another scalar as an empty one."""
    if isinstance(value, dict | list):
        return value
    if isinstance(value, str):
        units = value.encode("utf-16-le", "surrogatepass")
        characters = (units[at : at + 2].decode("utf-16-le", "surrogatepass") for at in range(0, len(units), 2))
        return {str(index): character for index, character in enumerate(characters)}
    return {}


def _is_own(value: Value) -> Value:
    return to_string(value) in OWN_PROPERTIES


def _find_accessor(value: Value) -> Value:
    to_string(value)
    return UNDEFINED


def _refuse(message: str) -> Callable[[Value], Value]:
    def refuse(_: Value) -> Value:
        raise JavaScriptTypeError(message)

    return refuse


METHODS: Final[Mapping[str, Callable[[Value], Value]]] = {
    "constructor": _to_object,
    "toString": lambda _: "[object Object]",
    "toLocaleString": lambda _: "[object Object]",
    "valueOf": lambda _: {},  # the path's type itself, which MongoDB refuses as well
    "hasOwnProperty": _is_own,
    "propertyIsEnumerable": _is_own,
    "isPrototypeOf": lambda _: False,
    "__lookupGetter__": _find_accessor,
    "__lookupSetter__": _find_accessor,
    "__defineGetter__": _refuse("Object.prototype.__defineGetter__: Expecting function"),
    "__defineSetter__": _refuse("Object.prototype.__defineSetter__: Expecting function"),
    "__proto__": _refuse("handler.call is not a function"),
}
"""The operand that each method returns for a value; raises `JavaScriptTypeError` if the method throws."""

INHERITED: Final = frozenset(METHODS)
"""The names of these methods."""

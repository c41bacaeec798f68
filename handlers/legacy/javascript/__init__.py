"""JavaScript's value semantics, as in Node 20, where the legacy's answers depend on them."""

from handlers.legacy.javascript.coercion import is_true, to_number, to_string
from handlers.legacy.javascript.dates import clip, date_to_string, iso, parse_date
from handlers.legacy.javascript.inspect import inspect
from handlers.legacy.javascript.json import JsonText, parse, quote_each, stringify
from handlers.legacy.javascript.json_parser import JSONSyntaxError
from handlers.legacy.javascript.numbers import number_to_string, string_to_number
from handlers.legacy.javascript.values import (
    UNDEFINED,
    Double,
    JavaScriptRangeError,
    JavaScriptTypeError,
    Undefined,
    Value,
    own_keys,
    type_of,
    value_type,
)

__all__ = [
    "UNDEFINED",
    "Double",
    "JSONSyntaxError",
    "JavaScriptRangeError",
    "JavaScriptTypeError",
    "JsonText",
    "Undefined",
    "Value",
    "clip",
    "date_to_string",
    "inspect",
    "is_true",
    "iso",
    "number_to_string",
    "own_keys",
    "parse",
    "parse_date",
    "quote_each",
    "string_to_number",
    "stringify",
    "to_number",
    "to_string",
    "type_of",
    "value_type",
]

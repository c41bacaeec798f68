"""JSON.parse and JSON.stringify, exactly as in Node 20, with the speed of Python's C parser and encoder.

Both take the fast path first, and then search the text for the few constructs that Python treats differently. Only
texts with such a construct take the slow path, in Python code.
"""

from __future__ import annotations

import base64
import json
import math
import re
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from json import encoder
from typing import Final, NoReturn

from bson import Code, DBRef, Decimal128, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.datetime_ms import DatetimeMS

from handlers.legacy.javascript.dates import iso_or_none
from handlers.legacy.javascript.json_parser import JSONSyntaxError, Reader
from handlers.legacy.javascript.numbers import from_digits, normal, number_to_string
from handlers.legacy.javascript.values import (
    UNDEFINED,
    JavaScriptRangeError,
    Value,
    is_long,
    is_uuid,
    ordered,
    own_keys,
    reference_of,
)

MAX_DEPTH: Final = 4184
"""Maximum nesting depth of JSON.stringify before its stack overflows, measured on Node 20."""

_CROWDED: Final = 100_000
"""Number of candidate characters from which traversing the value is faster than searching the text."""
_LONG: Final = 10**15

_INDEX_KEYS = re.compile(r'"(?:[0-9]|\\u003[0-9]){1,10}+"[ \t\n\r]*+:')
_ODD = tuple(  # each begins with one fixed character, which makes the search fast
    re.compile(pattern).search
    for pattern in (
        r'"(?::-?(?:[0-9]+[.e]|[0-9]{16})|[0-9]{1,10}+":)',
        r",-?(?:[0-9]+[.e]|[0-9]{16})",
        r"\[-?(?:[0-9]+[.e]|[0-9]{16})",
    )
)
"""Patterns that the fast encoder may encode incorrectly: floats, long integers, and index keys, which sort first."""


def parse(text: str) -> Value:
    """Parse as JSON.parse; raises JSONSyntaxError with V8's message. The depth is unlimited."""
    try:
        value: Value = _read(text)
        return _in_order(value) if _may_have_index_keys(text) else value
    except RecursionError:
        return Reader(text).read()
    except ValueError as fault:
        raise JSONSyntaxError(text) from fault


def _may_have_index_keys(text: str) -> bool:
    """Return whether an object may need reordering; True, without a slow search, for a text with many quotes."""
    return (len(text) > _CROWDED and text.count('"') > _CROWDED) or _INDEX_KEYS.search(text) is not None


def _refuse(word: str) -> NoReturn:
    raise ValueError(word)


_read = json.JSONDecoder(
    parse_int=from_digits, parse_float=lambda text: normal(float(text)), parse_constant=_refuse
).decode


def _in_order(value: Value) -> Value:
    if isinstance(value, dict):
        return ordered({key: _in_order(member) for key, member in value.items()})
    if isinstance(value, list):
        return [_in_order(member) for member in value]
    return value


def stringify(value: object) -> str:
    """Return JSON.stringify of one value, with the `toJSON` of dates and of js-bson's types.

    A top-level UNDEFINED, for which JavaScript returns no string, gives "". Nesting deeper than V8's stack raises
    JavaScriptRangeError.
    """
    if type(value) is str:
        text = _quote(value)
    elif isinstance(value, dict | list):
        try:
            text = "".join(_write_plain(value))
        except (_OddError, ValueError, RecursionError):
            text = _write(value)
        else:
            if _is_odd(text, value):
                text = _write(value)
    else:
        text = "" if value is UNDEFINED else _write(value)
    return text if text.isascii() else _spell_surrogates(text)


def quote_each(values: Iterable[str]) -> list[str]:
    """Return `stringify` of each string."""
    texts = list(map(_quote, values))
    return texts if "".join(texts).isascii() else list(map(_spell_surrogates, texts))


def _is_odd(text: str, value: object) -> bool:
    """Return whether the fast encoder's `text` of a value may be wrong."""
    if len(text) > _CROWDED:
        odd = _holds_odd_values(value, _CROWDED // 10)  # faster if few long strings make up the text
        if odd is None and sum(map(text.count, '",[')) > _CROWDED:
            odd = _holds_odd_values(value)
        if odd is not None:
            return odd
    return any(is_odd(text) for is_odd in _ODD)


def _holds_odd_values(value: object, limit: float = math.inf) -> bool | None:
    """Return whether the fast encoder may be wrong, by traversing the value; None beyond `limit` values."""
    waiting, visited = [value], 0
    while waiting:
        member = waiting.pop()
        visited += 1
        if visited > limit:
            return None
        if isinstance(member, dict):
            if any(key[:1].isdigit() for key in member):
                return True
            waiting += member.values()
        elif isinstance(member, list):
            waiting += member
        elif isinstance(member, float) or (isinstance(member, int) and abs(member) >= _LONG):
            return True
    return False


class JsonText(str):
    """JSON text that represents its value."""

    __slots__ = ()


class _OddError(Exception):
    """A value that the fast encoder cannot write."""


def _plain(value: object) -> object:
    """Convert the types that the fast encoder does not know."""
    if isinstance(value, ObjectId):
        return str(value)
    if isinstance(value, DatetimeMS):
        return iso_or_none(int(value))
    raise _OddError


def _make_plain_writer() -> Callable[[object], Iterable[str]]:
    """Return Python's C encoder, created once; json.JSONEncoder creates one per call."""
    make = getattr(encoder, "c_make_encoder", None)
    if make is None:  # not CPython
        return json.JSONEncoder(
            ensure_ascii=False, check_circular=False, allow_nan=False, separators=(",", ":"), default=_plain
        ).iterencode
    write: Callable[[object, int], Iterable[str]] = make(None, _plain, _quote, None, ":", ",", False, False, False)
    return lambda value: write(value, 0)


_quote: Callable[[str], str] = encoder.encode_basestring
_write_plain = _make_plain_writer()


def _spell_surrogates(text: str) -> str:
    """Escape lone surrogates; Python has already joined pairs."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode()
    return text


def _write(value: object) -> str:
    """Encode in Python code: prefix and member in turn, with open containers on a stack."""
    parts: list[str] = []
    waiting: list[tuple[Iterator[tuple[str, object]], str]] = [(iter([("", value)]), "")]
    while waiting:
        for before, member in waiting[-1][0]:
            parts.append(before)
            member = as_json(member)
            if isinstance(member, dict | list):
                waiting.append(_members(member))
                break
            parts.append(_scalar(member))
        else:
            parts.append(waiting.pop()[1])
        if len(waiting) > MAX_DEPTH + 1:
            raise JavaScriptRangeError("Maximum call stack size exceeded")
    return "".join(parts)


def _members(container: dict[str, object] | list[object]) -> tuple[Iterator[tuple[str, object]], str]:
    """Return a container's members, each after its prefix, and the closing text."""
    if isinstance(container, dict):
        names = [name for name in own_keys(container) if container[name] is not UNDEFINED]
        return _after("{", [(_quote(name) + ":", container[name]) for name in names]), "}" if names else "{}"
    return _after("[", [("", member) for member in container]), "]" if container else "[]"


def _after(opening: str, members: Sequence[tuple[str, object]]) -> Iterator[tuple[str, object]]:
    for name, member in members:
        yield opening + name, member
        opening = ","


def _scalar(value: object) -> str:
    if value is None or value is UNDEFINED:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _quote(value)
    if isinstance(value, int | float):
        return number_to_string(value) if math.isfinite(value) else "null"
    raise TypeError(f"{type(value).__name__} is not a JavaScript value")


def as_json(value: object) -> object:
    """Return a value after its `toJSON`, if it has one: js-bson 6's types, and dates."""
    if value is None or type(value) in _THEMSELVES:
        return value
    if isinstance(value, ObjectId):
        return str(value)
    if isinstance(value, DatetimeMS):
        return iso_or_none(int(value))
    if isinstance(value, bytes):
        return str(uuid.UUID(bytes=bytes(value))) if is_uuid(value) else base64.b64encode(value).decode()
    if isinstance(value, int) and is_long(value):
        low, high = value & 0xFFFFFFFF, value >> 32
        return {"low": low - (low >> 31 << 32), "high": high, "unsigned": False}
    return _rare_as_json(value)


_THEMSELVES: Final = frozenset({str, int, float, bool, dict, list})


def _rare_as_json(value: object) -> object:
    if isinstance(value, Decimal128):
        return {"$numberDecimal": str(value)}
    if isinstance(value, Timestamp):
        return {"$timestamp": str(value.time << 32 | value.inc)}
    if isinstance(value, Code):
        return {"code": str(value)} | ({} if value.scope is None else {"scope": dict(value.scope)})
    if isinstance(value, DBRef):
        return _reference(value)
    return {} if isinstance(value, Regex | MinKey | MaxKey) else value


def _reference(value: DBRef) -> dict[str, object]:
    parts = reference_of(value)
    document = {"$ref": parts.collection, "$id": parts.oid, **parts.fields}
    return document if parts.database is None else document | {"$db": parts.database}

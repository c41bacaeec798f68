"""BSON written and read element by element: types, orders and repeated names that no driver writes."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple, TypeAlias

DOUBLE, TEXT, OBJECT, ARRAY, BINARY, UNDEFINED, ID, BOOLEAN, DATE, NULL = range(1, 11)
REGEX, POINTER, CODE, SYMBOL, SCOPED_CODE, INT32, TIMESTAMP, INT64, DECIMAL = range(11, 20)
MAX_KEY, MIN_KEY = 0x7F, 0xFF

_FIXED: Final = {
    DOUBLE: 8,
    UNDEFINED: 0,
    ID: 12,
    BOOLEAN: 1,
    DATE: 8,
    NULL: 0,
    INT32: 4,
    TIMESTAMP: 8,
    INT64: 8,
    DECIMAL: 16,
    MAX_KEY: 0,
    MIN_KEY: 0,
}
"""The bytes of the types of a fixed size."""


class Raw(NamedTuple):
    """A value: BSON's type and its bytes."""

    kind: int
    payload: bytes


Member: TypeAlias = tuple[bytes, Raw]


def text(value: bytes, kind: int = TEXT) -> Raw:
    """Return a text of any bytes, which need not be UTF-8."""
    return Raw(kind, struct.pack("<i", len(value) + 1) + value + b"\0")


def number(value: float) -> Raw:
    """Return a double."""
    return Raw(DOUBLE, struct.pack("<d", value))


def int32(value: int) -> Raw:
    """Return a 32-bit integer."""
    return Raw(INT32, struct.pack("<i", value))


def int64(value: int, kind: int = INT64) -> Raw:
    """Return a 64-bit integer, or a date of so many milliseconds."""
    return Raw(kind, struct.pack("<q", value))


def identity(digits: str) -> Raw:
    """Return an ObjectId."""
    return Raw(ID, bytes.fromhex(digits))


def binary(subtype: int, data: bytes) -> Raw:
    """Return binary data of a subtype; the old subtype 2 contains its length twice."""
    content = struct.pack("<i", len(data)) + data if subtype == 2 else data
    return Raw(BINARY, struct.pack("<i", len(content)) + bytes([subtype]) + content)


def regex(pattern: bytes, options: bytes) -> Raw:
    """Return a regular expression."""
    return Raw(REGEX, pattern + b"\0" + options + b"\0")


def scoped_code(code: bytes, scope: Sequence[Member]) -> Raw:
    """Return code with a scope."""
    content = text(code).payload + document(scope)
    return Raw(SCOPED_CODE, struct.pack("<i", len(content) + 4) + content)


def embedded(members: Sequence[Member], kind: int = OBJECT) -> Raw:
    """Return an object."""
    return Raw(kind, document(members))


def array(items: Sequence[Raw]) -> Raw:
    """Return an array."""
    return embedded([(str(index).encode(), item) for index, item in enumerate(items)], ARRAY)


def document(members: Sequence[Member]) -> bytes:
    """Return a document's bytes."""
    body = b"".join(bytes([raw.kind]) + name + b"\0" + raw.payload for name, raw in members)
    return struct.pack("<i", len(body) + 5) + body + b"\0"


def members(raw: bytes) -> Iterator[Member]:
    """Yield the members of a document's bytes."""
    position = 4
    while raw[position]:
        kind = raw[position]
        end = raw.index(0, position + 1)
        size = _size(kind, raw, end + 1)
        yield raw[position + 1 : end], Raw(kind, raw[end + 1 : end + 1 + size])
        position = end + 1 + size


def _size(kind: int, raw: bytes, start: int) -> int:
    if kind in _FIXED:
        return _FIXED[kind]
    if kind == REGEX:
        return raw.index(0, raw.index(0, start) + 1) + 1 - start
    (length,) = struct.unpack_from("<i", raw, start)
    extra = {TEXT: 4, CODE: 4, SYMBOL: 4, BINARY: 5, POINTER: 16}
    return int(length) + extra.get(kind, 0)

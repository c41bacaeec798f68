"""`Buffer.from(value, "base64")` of Node 20 for any JSON value. Pure."""

import base64
import math
import re
import string
from collections.abc import Iterator
from typing import Final

from handlers.json_structure import SLICE
from handlers.legacy.javascript import JavaScriptRangeError, JavaScriptTypeError, Value, to_number

_BASE64: Final = (string.ascii_letters + string.digits + "+/-_").encode()
_NOT_BASE64: Final = bytes(set(range(256)) - set(_BASE64))
_INDEX: Final = re.compile(r"0|[1-9][0-9]{0,15}")
_URL_SAFE: Final = bytes.maketrans(b"-_", b"+/")


def from_value(value: Value, limit: int) -> bytes:
    """Return the bytes of a JSON value: a text as base64, a list as its members, an object as Node converts it.

    Raises `JavaScriptTypeError` if Node does, and `JavaScriptRangeError` for an object that declares more than
    `limit` bytes (Node would allocate them).
    """
    if isinstance(value, str):
        return b"".join(base64_slices(value))
    if isinstance(value, list):
        return bytes(_byte(member) for member in value)
    if isinstance(value, dict):
        return _from_object(value, limit)
    raise JavaScriptTypeError("The first argument must be a string or something like an array")


def base64_slices(text: str, size: int = SLICE) -> Iterator[bytes]:
    """Decode Node's lenient base64 slice by slice: either alphabet, up to the first `=`; other characters are skipped.

    `size` is in characters. Code units count by their low byte; a lone last character is dropped.
    """
    rest, padding = b"", b""
    for start in range(0, len(text), size):
        piece = text[start : start + size]
        units = piece.encode() if piece.isascii() else piece.encode("utf-16-le", "surrogatepass")[::2]
        before, padding, _ = units.partition(b"=")
        sextets = rest + before.translate(_URL_SAFE, _NOT_BASE64)
        whole = len(sextets) & ~3
        rest = sextets[whole:]
        yield base64.b64decode(sextets[:whole])
        if padding:
            break
    if len(rest) > 1:
        yield base64.b64decode(rest + b"=" * (4 - len(rest)))


def _from_object(value: dict[str, Value], limit: int) -> bytes:
    inner = value.get("valueOf")
    if inner == "":
        return b""
    if inner or isinstance(inner, list | dict):
        raise JavaScriptTypeError("value.valueOf is not a function")
    if "length" in value:
        length = value["length"]
        if isinstance(length, bool) or not isinstance(length, int | float):
            return b""
        return _from_members(value, length, limit)
    data = value.get("data")
    if value.get("type") == "Buffer" and isinstance(data, list):
        return from_value(data, limit)
    raise JavaScriptTypeError("The first argument must be a string or something like an array")


def _from_members(value: dict[str, Value], length: float, limit: int) -> bytes:
    """Return the members "0", "1", … as bytes; missing ones are zero."""
    if length > limit:
        raise JavaScriptRangeError(f"Invalid typed array length: {length}")
    content = bytearray(max(int(length), 0))
    for name, member in value.items():
        if _INDEX.fullmatch(name) and int(name) < len(content):
            content[int(name)] = _byte(member)
    return bytes(content)


def _byte(member: Value) -> int:
    """Convert as ECMAScript's ToUint8."""
    number = to_number(member)
    return int(number) & 0xFF if math.isfinite(number) else 0

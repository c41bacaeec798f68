"""`Buffer.from(value, "base64")` of Node 20, for whatever JSON value stands where base64 should. Pure."""

import base64
import math
import re
import string
from typing import Final

from handlers.legacy.javascript import JavaScriptRangeError, JavaScriptTypeError, Value, to_number

_BASE64: Final = (string.ascii_letters + string.digits + "+/-_").encode()
_NOT_BASE64: Final = bytes(set(range(256)) - set(_BASE64))
_INDEX: Final = re.compile(r"0|[1-9][0-9]{0,15}")
_URL_SAFE: Final = bytes.maketrans(b"-_", b"+/")


def from_value(value: Value, most: int) -> bytes:
    """The bytes of a JSON value: a text is base64, a list its members, an object whatever it passes for.

    Raises `JavaScriptTypeError` where Node does, and `JavaScriptRangeError` for an object that claims more
    than `most` bytes (Node would set them aside).
    """
    if isinstance(value, str):
        return from_base64(value)
    if isinstance(value, list):
        return bytes(_byte(member) for member in value)
    if isinstance(value, dict):
        return _from_object(value, most)
    raise JavaScriptTypeError("The first argument must be a string or something like an array")


def from_base64(text: str) -> bytes:
    """Node's lenient base64: either alphabet, up to the first `=`, whatever else stands between passed over.

    Code units count by their low byte, and a last character that stands alone counts for nothing.
    """
    units = text.encode() if text.isascii() else text.encode("utf-16-le", "surrogatepass")[::2]
    sextets = units.partition(b"=")[0].translate(_URL_SAFE, _NOT_BASE64)
    if len(sextets) % 4 == 1:
        sextets = sextets[:-1]
    return base64.b64decode(sextets + b"=" * (-len(sextets) % 4))


def _from_object(value: dict[str, Value], most: int) -> bytes:
    inner = value.get("valueOf")
    if inner == "":
        return b""
    if inner or isinstance(inner, list | dict):
        raise JavaScriptTypeError("value.valueOf is not a function")
    if "length" in value:
        length = value["length"]
        if isinstance(length, bool) or not isinstance(length, int | float):
            return b""
        return _from_members(value, length, most)
    data = value.get("data")
    if value.get("type") == "Buffer" and isinstance(data, list):
        return from_value(data, most)
    raise JavaScriptTypeError("The first argument must be a string or something like an array")


def _from_members(value: dict[str, Value], length: float, most: int) -> bytes:
    """The members numbered from 0; those that are not there are zero."""
    if length > most:
        raise JavaScriptRangeError(f"Invalid typed array length: {length}")
    content = bytearray(max(int(length), 0))
    for name, member in value.items():
        if _INDEX.fullmatch(name) and int(name) < len(content):
            content[int(name)] = _byte(member)
    return bytes(content)


def _byte(member: Value) -> int:
    """ECMAScript's ToUint8."""
    number = to_number(member)
    return int(number) & 0xFF if math.isfinite(number) else 0

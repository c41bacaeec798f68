"""Node 20's `util.inspect` with its default options, which mongoose uses to quote values in cast errors.

Two of its oddities are reproduced. An object is on one line depending on the nesting depth of the member formatted
last. Long arrays are set in columns, whose number is computed with a square root.
"""

from __future__ import annotations

import base64
import math
import re
import unicodedata
from dataclasses import dataclass
from itertools import islice
from typing import Final

from bson import Code, DBRef, Decimal128, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.datetime_ms import DatetimeMS

from handlers.legacy.javascript.coercion import regex_to_string
from handlers.legacy.javascript.dates import iso_or_none
from handlers.legacy.javascript.numbers import number_to_string
from handlers.legacy.javascript.values import UNDEFINED, is_long, is_uuid, own_keys, reference_of

MAX_DEPTH: Final = 2
BREAK: Final = 80
COMPACT: Final = 3
MAX_ITEMS: Final = 100
MAX_CHARACTERS: Final = 10_000
MAX_SHOWN: Final = 30_000
"""Characters of keys and strings that are shown in all; Node has no such limit, and a message of any length."""
_LINE: Final = 16
_NO_WIDTH: Final = frozenset({"Cc", "Cf", "Me", "Mn"})

_LINES = re.compile(r"[^\n]*\n|[^\n]+")
_NAME = re.compile(r"[a-zA-Z_][a-zA-Z_0-9]*")
_SHORT: Final = {"\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r", "\\": "\\\\"}
_ESCAPES: Final[dict[int, str]] = {
    **{code: f"\\x{code:02X}" for code in (*range(0x20), *range(0x7F, 0xA0))},
    **{code: f"\\u{code:04x}" for code in range(0xD800, 0xE000)},
    **{ord(char): escape for char, escape in _SHORT.items()},
}
_ESCAPES_BY_MARK: Final = {mark: {**_ESCAPES, ord(mark): "\\" + mark} for mark in "'\"`"}


def inspect(value: object) -> str:
    """Return `util.inspect(value)`."""
    return _Inspection().show(value, 0)


@dataclass
class _Inspection:
    """One call: the line's indentation, the depth of the object formatted last, the characters that may be shown."""

    indent: int = 0
    current: int = 0
    left: int = MAX_SHOWN

    def show(self, value: object, depth: int) -> str:
        if isinstance(value, str) and not isinstance(value, Code):
            return self._string(value)
        if isinstance(value, dict):
            return self._object(value, depth)
        if isinstance(value, list | tuple):
            return self._array(list(value), depth)
        return _simple(value).replace("\n", "\n" + " " * self.indent)

    def _string(self, text: str) -> str:
        units = _length(text)
        trailer = ""
        limit = min(MAX_CHARACTERS, self.left)
        if units > limit:
            rest = units - limit
            text, units = _first_units(text, limit), limit
            trailer = f"... {rest} more character{'s' if rest > 1 else ''}"
        self.left -= units
        if units > _LINE and units > BREAK - self.indent - 4:
            lines = _LINES.findall(text)
            return f" +\n{' ' * (self.indent + 2)}".join(quote(line) for line in lines) + trailer
        return quote(text) + trailer

    def _object(self, value: dict[str, object], depth: int) -> str:
        if not value:
            return "{}"
        if depth > MAX_DEPTH:
            return "[Object]"
        self.current = depth + 1
        members = [f"{self._key(key)}: {self._member(value[key], depth + 1, 2)}" for key in own_keys(value)]
        return self._enclose(members, depth + 1, "{}", len(members))

    def _key(self, name: str) -> str:
        name = name[: self.left]
        self.left -= len(name)
        if name == "__proto__":
            return "['__proto__']"
        return name if _NAME.fullmatch(name) else quote(name)

    def _array(self, value: list[object], depth: int) -> str:
        if not value:
            return "[]"
        if depth > MAX_DEPTH:
            return "[Array]"
        self.current = depth + 1
        members = [self._member(item, depth + 1, 2) for item in islice(value, MAX_ITEMS)]
        rest = len(value) - len(members)
        if rest:
            members.append(f"... {rest} more item{'s' if rest > 1 else ''}")
        entries = len(members)
        if entries > 6:
            numeric = all(_is_number(item) for item in value[:entries])
            members = _in_columns(members, self.indent, entries - bool(rest), numeric)
        return self._enclose(members, depth + 1, "[]", entries)

    def _member(self, value: object, depth: int, indent: int) -> str:
        self.indent += indent
        shown = self.show(value, depth)
        self.indent -= indent
        return shown

    def _enclose(self, members: list[str], depth: int, braces: str, entries: int) -> str:
        """Format on one line if it fits and at most three levels are nested, otherwise one line per member."""
        if self.current - depth < COMPACT and entries == len(members):
            start = len(members) + self.indent + len(braces[0]) + 10
            if _fits(members, start) and not any("\n" in member for member in members):
                return f"{braces[0]} {', '.join(members)} {braces[1]}"
        line = "\n" + " " * self.indent
        return f"{braces[0]}{line}  {f',{line}  '.join(members)}{line}{braces[1]}"


def _fits(members: list[str], start: int) -> bool:
    return sum(map(_length, members)) + len(members) + start <= BREAK


def _in_columns(members: list[str], indent: int, count: int, numeric: bool) -> list[str]:
    """Set the first `count` members in columns, numbers right-aligned; any further member has its own line."""
    sizes = [_width(member) for member in members[:count]]
    longest = max(sizes)
    width = longest + 2
    total = sum(sizes) + 2 * count
    if width * 3 + indent >= BREAK or (total / width <= 5 and longest > 6):
        return members
    bias = max(width - 3 - math.sqrt(width - total / len(members)), 1)
    square = math.floor(math.sqrt(2.5 * bias * count) / bias + 0.5)
    columns = min(square, (BREAK - indent) // width, COMPACT * 4, 15)
    if columns <= 1:
        return members
    widths = [max(sizes[column::columns], default=0) + 2 for column in range(columns)]
    lines = [_line(members[start : min(start + columns, count)], widths, numeric) for start in range(0, count, columns)]
    return lines + members[count:]


def _line(members: list[str], widths: list[int], numeric: bool) -> str:
    *before, last = members
    if numeric:
        cells = [f"{member}, ".rjust(width) for member, width in zip(before, widths, strict=False)]
        return "".join(cells) + last.rjust(widths[len(before)] - 2)
    cells = [_pad(f"{member}, ", width) for member, width in zip(before, widths, strict=False)]
    return "".join(cells) + last


def _pad(text: str, width: int) -> str:
    return text + " " * (width - _width(text))


def quote(text: str) -> str:
    """Return a string in the first kind of quotes that it does not contain: single, double, backticks."""
    mark = "'"
    if "'" in text:
        if '"' not in text:
            mark = '"'
        elif "`" not in text and "${" not in text:
            mark = "`"
    return mark + text.translate(_ESCAPES_BY_MARK[mark]) + mark


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and not is_long(value)


def _simple(value: object) -> str:
    """Format a value that has no members to show."""
    if value is None or value is UNDEFINED:
        return "null" if value is None else "undefined"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return f"new Long('{value}')" if is_long(value) else _number(value)
    if isinstance(value, ObjectId):
        return f"new ObjectId('{value}')"
    if isinstance(value, DatetimeMS):
        return iso_or_none(int(value)) or "Invalid Date"
    return _bson(value)


def _number(value: float) -> str:
    return "-0" if value == 0 and math.copysign(1, value) < 0 else number_to_string(value)


def _bson(value: object) -> str:
    if isinstance(value, bytes):
        return _binary(value)
    if isinstance(value, Decimal128):
        return f"new Decimal128('{value}')"
    if isinstance(value, Timestamp):
        return f"new Timestamp({{ t: {value.time}, i: {value.inc} }})"
    if isinstance(value, Code):
        return _code(value)
    if isinstance(value, DBRef):
        return _reference(value)
    if isinstance(value, Regex):
        return regex_to_string(value)
    return f"new {type(value).__name__}()" if isinstance(value, MinKey | MaxKey) else str(value)


def _binary(value: bytes) -> str:
    if is_uuid(value):
        digits = value.hex()
        return f"new UUID('{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}')"
    return f"Binary.createFromBase64('{base64.b64encode(value).decode()}', {getattr(value, 'subtype', 0)})"


def _code(value: Code) -> str:
    code = inspect(str(value))
    end = "\n" if "\n" in code else ""
    if value.scope is None:
        return f"new Code({end}{code}{end})"
    return f"new Code({end}{code},{end or ' '}{inspect(dict(value.scope))})"


def _reference(value: DBRef) -> str:
    reference = reference_of(value)
    parts: list[object] = [reference.collection, reference.oid]
    parts += ([reference.database] if reference.database else []) + ([reference.fields] if reference.fields else [])
    return f"new DBRef({', '.join(inspect(part) for part in parts)})"


def _width(text: str) -> int:
    """Return the columns on a terminal, as ICU counts them: two for wide characters, none for combining ones."""
    if text.isascii():
        return len(text)
    return sum(map(_character_width, unicodedata.normalize("NFC", text)))


def _character_width(char: str) -> int:
    if unicodedata.category(char) != "Cn" and unicodedata.east_asian_width(char) in "WF":
        return 2
    return 0 if unicodedata.category(char) in _NO_WIDTH and char != "\xad" else 1


def _length(text: str) -> int:
    """Return the length in UTF-16 units, as in JavaScript."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def _first_units(text: str, count: int) -> str:
    units = text[:count].encode("utf-16-le", "surrogatepass")[: 2 * count]
    return units.decode("utf-16-le", "surrogatepass")

"""A JSON parser token by token, for input that the fast parser refuses: syntax errors, and great depth.

Errors have the wording and the positions of V8 11.3 (Node 20), in UTF-16 units. The parser has its own stack, so
that a body with a hundred thousand levels is parsed as by V8 and does not exhaust Python's.
"""

from __future__ import annotations

import re
from functools import cached_property
from json import decoder
from typing import Final, NoReturn, Protocol

from handlers.legacy.javascript.numbers import from_digits, normal
from handlers.legacy.javascript.values import Value, ordered

_SPACE = re.compile(r"[ \t\n\r]*")
_NUMBER = re.compile(r"(-?(?:0|[1-9][0-9]*))(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_PLAIN = re.compile(r'[^"\\\x00-\x1f]*')
_HEX = re.compile(r"[0-9a-fA-F]{0,4}")
_LITERALS: Final[dict[str, tuple[str, Value]]] = {
    "t": ("true", True),
    "f": ("false", False),
    "n": ("null", None),
}
_WORDS: Final = frozenset({"", "NaN", "Infinity", "undefined", "[object Object]"})
_CONTEXT: Final = 10
_END: Final = "Unexpected end of JSON input"


class _StringReader(Protocol):
    def __call__(self, text: str, start: int, strict: bool, /) -> tuple[str, int]: ...


_read_string: Final[_StringReader] = decoder.scanstring  # type: ignore[attr-defined]  # absent from typeshed


class JSONSyntaxError(ValueError):
    """The SyntaxError of JSON.parse. Its message is computed on first access."""

    def __init__(self, text: str, message: str | None = None) -> None:
        super().__init__()
        self._text = text
        self._given = message

    @cached_property
    def message(self) -> str:
        """Return V8's message for the first error in the text."""
        if self._given is None:
            try:
                Reader(self._text).read()
            except JSONSyntaxError as fault:
                self._given = fault._given
        return self._given or _END

    def __str__(self) -> str:
        return self.message


class Reader:
    """Parses one text: `read()` returns its value or raises JSONSyntaxError."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._open: list[list[Value] | dict[str, Value]] = []
        self._names: list[str] = []

    def read(self) -> Value:
        """Return the text's value; numbers and key order as in `values`."""
        while True:
            done, value = self._begin()
            while done:
                if not self._open:
                    return self._finish(value)
                done, value = self._add_to_container(value)

    def _begin(self) -> tuple[bool, Value]:
        """Parse a scalar or an empty container (done), or open a container and continue with its first member."""
        char = self._peek()
        if char == "{":
            self._at += 1
            if self._peek() == "}":
                self._at += 1
                return True, {}
            self._open.append({})
            self._name("Expected property name or '}'", "Expected ':' after property name")
            return False, None
        if char == "[":
            self._at += 1
            if self._peek() == "]":
                self._at += 1
                return True, []
            self._open.append([])
            return False, None
        return True, self._scalar(char)

    def _add_to_container(self, value: Value) -> tuple[bool, Value]:
        """Add a complete value to its container; a container that this closes is completed in turn."""
        container = self._open[-1]
        if isinstance(container, dict):
            container[self._names.pop()] = value
            closing, fault = "}", "Expected ',' or '}' after property value"
        else:
            container.append(value)
            closing, fault = "]", "Expected ',' or ']' after array element"
        char = self._peek()
        self._at += 1
        if char == closing:
            self._open.pop()
            return True, ordered(container) if isinstance(container, dict) else container
        if char != ",":
            self._at -= 1
            self._fail(fault)
        if isinstance(container, dict):
            self._name("Expected double-quoted property name")
        return False, None

    def _finish(self, value: Value) -> Value:
        if self._peek():
            self._fail("Unexpected non-whitespace character after JSON")
        return value

    def _peek(self) -> str:
        match = _SPACE.match(self._text, self._at)
        if match is not None:
            self._at = match.end()
        return self._text[self._at : self._at + 1]

    def _name(self, fault: str, colon_fault: str | None = None) -> None:
        if self._peek() != '"':
            self._fail(fault)
        self._names.append(self._string())
        if self._peek() != ":":
            self._fail(colon_fault) if colon_fault else self._unexpected()
        self._at += 1

    def _scalar(self, char: str) -> Value:
        if char == '"':
            return self._string()
        if char == "-" or "0" <= char <= "9":
            return self._number()
        if char in _LITERALS:
            return self._literal(*_LITERALS[char])
        return self._unexpected()

    def _literal(self, word: str, value: Value) -> Value:
        for char in word:
            if self._text[self._at : self._at + 1] != char:
                self._unexpected()
            self._at += 1
        return value

    def _number(self) -> int | float:
        match = _NUMBER.match(self._text, self._at)
        if match is None:
            self._at += 1
            self._fail("No number after minus sign")
        self._at = match.end()
        follows = self._text[self._at : self._at + 1]
        whole, fraction, exponent = match.groups()
        if exponent is None:
            if fraction is None and follows.isascii() and follows.isdigit():
                self._fail("Unexpected number")
            if fraction is None and follows == ".":
                self._at += 1
                self._fail("Unterminated fractional number")
            if follows in ("e", "E"):
                self._at += 2 if self._text[self._at + 1 : self._at + 2] in ("+", "-") else 1
                self._fail("Exponent part is missing a number")
        return from_digits(whole) if fraction is None and exponent is None else normal(float(match[0]))

    def _string(self) -> str:
        start = self._at + 1
        try:
            value, self._at = _read_string(self._text, start, True)
        except ValueError:
            self._fail_in_string(start)
        return value

    def _fail_in_string(self, at: int) -> NoReturn:
        while True:
            match = _PLAIN.match(self._text, at)
            at = self._at = match.end() if match is not None else at
            char = self._text[at : at + 1]
            if char != "\\":
                self._fail("Bad control character in string literal" if char else "Unterminated string")
            escaped = self._text[at + 1 : at + 2]
            at = self._at = at + 2
            if not escaped:
                raise JSONSyntaxError(self._text, _END)
            if escaped == "u":
                at = self._escape_code(at)
            elif escaped not in '"\\/bfnrt':
                self._at -= 1
                self._fail("Bad escaped character") if escaped <= "\xff" else self._unexpected()

    def _escape_code(self, at: int) -> int:
        match = _HEX.match(self._text, at)
        self._at = match.end() if match is not None else at
        if self._at < at + 4:
            self._fail("Bad Unicode escape")
        return self._at

    def _fail(self, fault: str) -> NoReturn:
        where = "" if fault.endswith("JSON") else " in JSON"
        raise JSONSyntaxError(self._text, f"{fault}{where} at position {self._position()}")

    def _position(self) -> int:
        return _units_of(self._text[: self._at])

    def _unexpected(self) -> NoReturn:
        char = self._text[self._at : self._at + 1]
        if not char and self._text not in _WORDS - {""}:
            raise JSONSyntaxError(self._text, _END)
        if char == '"':
            self._fail("Unexpected string")
        if char == "-" or (char.isascii() and char.isdigit()):
            self._fail("Unexpected number")
        if self._text in _WORDS:
            raise JSONSyntaxError(self._text, f'"{self._text}" is not valid JSON')
        raise JSONSyntaxError(self._text, self._quoted())

    def _quoted(self) -> str:
        """Return the message with the unexpected character and ten units of the text on each side of it."""
        first = max(0, self._at - 2 * _CONTEXT)  # in characters, each of at least one unit
        units = self._text[first : self._at + 2 * _CONTEXT].encode("utf-16-le", "surrogatepass")
        at, length = _units_of(self._text[first : self._at]), len(units) // 2
        token = _from_units(units, at, at + 1)
        if _units_of(self._text[: 2 * _CONTEXT + 1]) <= 2 * _CONTEXT:
            return f"Unexpected token '{token}', \"{self._text}\" is not valid JSON"
        from_start, to_end = at < _CONTEXT, at >= length - _CONTEXT
        start = 0 if from_start else at - _CONTEXT
        end = length if to_end else at + _CONTEXT
        before, after = "" if from_start else "...", "" if to_end else "..."
        around = _from_units(units, start, end)
        return f"Unexpected token '{token}', {before}\"{around}\"{after} is not valid JSON"


def _units_of(text: str) -> int:
    """Return a text's length in UTF-16 units."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def _from_units(units: bytes, start: int, end: int) -> str:
    return units[2 * start : 2 * end].decode("utf-16-le", "surrogatepass")

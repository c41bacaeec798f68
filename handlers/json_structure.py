"""Limit the number of values in a JSON text by counting them without parsing.

The time to parse grows with the number of values: ten megabytes of brackets block the event loop for seconds. The
values of a body are therefore counted as it arrives, and a body with too many is refused. `sliced_json` counts the
values of a complete text.
"""

from __future__ import annotations

import re
from typing import Final

MAX_VALUES: Final = 5_000
"""Maximum values in one JSON text, containers and members included."""

SLICE: Final = 65_536
"""Characters or bytes counted without yielding; the slowest take about two milliseconds."""

_STRING = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)


MAX_SURROGATES: Final = 50_000
"""Maximum surrogate escapes in one JSON text: lone surrogates are the slowest characters to encode."""


class StructureError(ValueError):
    """A JSON text with too many values, or otherwise too large to read."""


class StructureCounter:
    """Counts the values of one JSON text that arrives in pieces; the content of strings does not count.

    Bytes are taken as UTF-8. After a NUL, which no JSON in UTF-8 contains, strings are no longer recognised: the
    text may be UTF-16 or UTF-32, and its count can then only be too high.
    """

    def __init__(self, limit: int = MAX_VALUES) -> None:
        self._left = limit
        self._size = 0
        self._surrogates = 0
        self._limit = limit
        self._in_string = False
        self._after_backslash = False
        self._undivided = False
        self._uncounted: list[str] = []

    def feed(self, piece: bytes | str) -> None:
        """Count one piece; raises `StructureError` as soon as there are too many values."""
        text = piece.decode("latin-1") if isinstance(piece, bytes) else piece
        if not text:
            return
        self._size += len(text)
        if self._size <= self._limit:  # cannot exceed the limit: counted only if more arrives
            self._uncounted.append(text)
            return
        if self._uncounted:
            text = "".join((*self._uncounted, text))
            self._uncounted.clear()
        self._left -= self._count(text)
        if self._left <= 0:
            raise StructureError("too many values")
        self._surrogates += text.count("\\ud") + text.count("\\uD")
        if self._surrogates > MAX_SURROGATES:
            raise StructureError("too many surrogates")

    def _count(self, text: str) -> int:
        self._undivided = self._undivided or "\0" in text
        outside = text if self._undivided else self._outside_strings(text)
        return outside.count(",") + outside.count("[") + outside.count("{")

    def _outside_strings(self, text: str) -> str:
        if self._after_backslash:
            text, self._after_backslash = text[1:], False
        if self._in_string:
            text = f'"{text}'
        ends_in_escape = (len(text) - len(text.rstrip("\\"))) % 2 == 1
        if ends_in_escape:
            text = text[:-1]
        outside = _STRING.sub("", f'{text}"')  # the quote closes an open last string, or stays
        self._in_string = not outside.endswith('"')
        self._after_backslash = self._in_string and ends_in_escape
        return outside

"""A limit on the number of values in a JSON text, checked before parsing.

Parsing takes time per value, not per byte: ten megabytes of brackets block the event loop for seconds. A text's
values are therefore counted first, in slices between which the event loop runs, and a text with too many is refused:

    counter = StructureCounter(MAX_VALUES)
    counter.feed(piece)                          # bytes or text in pieces; raises StructureError
    await check_structure(text)                  # the same for a complete text, slice by slice
"""

from __future__ import annotations

import asyncio
import re
from typing import Final

MAX_VALUES: Final = 5_000
"""Maximum values in one JSON text, containers and members included."""

SLICE: Final = 65_536
"""Characters or bytes counted without yielding; the slowest take about two milliseconds."""

_ESCAPED = re.compile(r"\\.", re.DOTALL)


MAX_SURROGATES: Final = 50_000
"""Maximum surrogate escapes in one JSON text: lone surrogates are the slowest characters to write."""


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
            text = text[1:]
        text = _ESCAPED.sub("", text)
        self._after_backslash = text.endswith("\\")
        parts = text.split('"')
        outside = parts[1 if self._in_string else 0 :: 2]
        self._in_string ^= len(parts) % 2 == 0
        return "".join(outside)


async def check_structure(text: str | bytes, limit: int = MAX_VALUES) -> None:
    """Raise `StructureError` if a text has more than `limit` values; let the event loop run between slices."""
    if len(text) <= limit:
        return
    counter = StructureCounter(limit)
    for start in range(0, len(text), SLICE):
        counter.feed(text[start : start + SLICE])
        await asyncio.sleep(0)


async def pause_after(text: str | bytes) -> None:
    """Let the event loop run after a long text was parsed."""
    if len(text) > SLICE:
        await asyncio.sleep(0)

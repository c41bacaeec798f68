"""A bound on how many values a JSON text holds, found before it is parsed.

Parsing costs time by the value, not by the byte: ten megabytes of brackets hold the event loop for seconds. A text's
values are counted first, in slices between which the event loop goes on, and a text with too many is refused:

    counter = StructureCounter(MAX_VALUES)
    counter.feed(piece)                          # bytes or text as they come; raises StructureError
    await check_structure(text)                  # the same for a whole text, slice by slice
"""

from __future__ import annotations

import asyncio
import re
from typing import Final

MAX_VALUES: Final = 5_000
"""Values that one JSON text may hold, containers and members alike."""

SLICE: Final = 65_536
"""Characters or bytes counted without a pause; the worst ones take about two milliseconds."""

_ESCAPED = re.compile(r"\\.", re.DOTALL)


MAX_SURROGATES: Final = 50_000
"""Surrogates that one JSON text may spell as escapes: half a pair is the slowest of all characters to write."""


class StructureError(ValueError):
    """A JSON text that holds more values than it may, or is otherwise too large to read."""


class StructureCounter:
    """Counts the values of one JSON text that comes in pieces; what stands in strings counts for nothing.

    Bytes are taken to be UTF-8. After a NUL, which no JSON in UTF-8 holds, strings are no longer told apart: the text
    may be UTF-16 or UTF-32, and its count can then only be too high.
    """

    def __init__(self, limit: int = MAX_VALUES) -> None:
        self._left = limit
        self._size = 0
        self._surrogates = 0
        self._limit = limit
        self._in_string = False
        self._after_backslash = False
        self._undivided = False
        self._unseen: list[str] = []

    def feed(self, piece: bytes | str) -> None:
        """Count one piece; raises `StructureError` as soon as there are too many values."""
        text = piece.decode("latin-1") if isinstance(piece, bytes) else piece
        if not text:
            return
        self._size += len(text)
        if self._size <= self._limit:  # cannot hold too many: counted only if more comes
            self._unseen.append(text)
            return
        if self._unseen:
            text = "".join((*self._unseen, text))
            self._unseen.clear()
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
    """Raise `StructureError` if a text holds more than `limit` values. Lets the event loop go on between slices."""
    if len(text) <= limit:
        return
    counter = StructureCounter(limit)
    for start in range(0, len(text), SLICE):
        counter.feed(text[start : start + SLICE])
        await asyncio.sleep(0)


async def pause_after(text: str | bytes) -> None:
    """Let the event loop go on after a long text was parsed, before anything else is done with it."""
    if len(text) > SLICE:
        await asyncio.sleep(0)

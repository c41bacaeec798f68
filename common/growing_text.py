"""Build a text from pieces without copying the whole at the end."""

from __future__ import annotations

import re
from typing import Final

STEP: Final = 64 * 1024
"""Minimum characters that are appended at once."""
MAX_WIDE: Final = 64 << 20
"""Maximum bytes in memory of a text with characters that take more than one byte each (PEP 393)."""
_SHARE: Final = 32
"""A long text grows by at least 1/32 of its length at once: linear time in all, even if each step copied it."""
_ASTRAL: Final = re.compile("[\U00010000-\U0010ffff]")


class TextTooLargeError(ValueError):
    """A text with wide characters that takes more than `MAX_WIDE` bytes. One wide character widens all others."""


class GrowingText:
    """A text to which pieces are added. `error` is raised for wide characters that would take too much memory.

    CPython extends a string with a single reference in place. Memory therefore holds the text once, and no step takes
    time proportional to its length. `"".join` at the end would need twice the memory and block the event loop for a
    millisecond per MiB.
    """

    __slots__ = ("_error", "_length", "_pending", "_text", "_width")

    def __init__(self, error: type[ValueError] = TextTooLargeError) -> None:
        self._error = error
        self._text = ""
        self._pending: list[str] = []
        self._length, self._width = 0, 1

    @property
    def size(self) -> int:
        """Bytes that the text takes in memory."""
        return self._length * self._width

    def add(self, piece: str) -> None:
        """Append a piece. Raise `error` if the text would take more than `MAX_WIDE` bytes."""
        self._length += len(piece)
        self._width = max(self._width, width_of(piece))
        if self._width > 1 and self.size > MAX_WIDE:
            raise self._error("too many wide characters")
        self._pending.append(piece)
        if self._length - len(self._text) >= max(STEP, len(self._text) // _SHARE):
            self._append()

    def take(self) -> str:
        """Return the text and start an empty one."""
        self._append()
        text, self._text, self._length, self._width = self._text, "", 0, 1
        return text

    def _append(self) -> None:
        text, self._text = self._text, ""  # only a local variable is extended in place
        text += "".join(self._pending)
        self._text = text
        self._pending.clear()


def width_of(text: str) -> int:
    """Return the bytes that each character of a text takes in memory: 1, 2 or 4."""
    if text.isascii():
        return 1
    try:
        text.encode("latin-1")
    except UnicodeEncodeError:
        return 4 if _ASTRAL.search(text) else 2
    return 1

"""Surrogate halves of UTF-16 in texts of Python: adjacent ones are one character, as in JavaScript's strings. Pure."""

from __future__ import annotations

import re
from typing import Final

_PAIR: Final = re.compile("[\ud800-\udbff][\udc00-\udfff]")


class SurrogateJoiner:
    """Joins the two halves of a character that fall between two pieces of a text."""

    __slots__ = ("_high",)

    def __init__(self) -> None:
        self._high = ""

    def feed(self, piece: str) -> str:
        """Return a piece, joined with the previous one's high half, and without its own, which is returned later."""
        if self._high:
            first = pair_surrogates(self._high + piece[:1])
            piece = first + piece[1:]
        self._high = piece[-1:] if "\ud800" <= piece[-1:] <= "\udbff" else ""
        return piece[:-1] if self._high else piece

    def end(self) -> str:
        """Return the high half at the end of the text, or nothing."""
        return self._high


def pair_surrogates(text: str) -> str:
    """Return a text with adjacent halves as one character."""
    return text if text.isascii() else _PAIR.sub(_paired, text)


def _paired(pair: re.Match[str]) -> str:
    high, low = map(ord, pair[0])
    return chr(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00))

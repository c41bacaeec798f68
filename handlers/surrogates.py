"""Surrogate halves in Python strings: two adjacent halves form one character, as in JavaScript. Pure."""

from __future__ import annotations

import re
from typing import Final

_PAIR: Final = re.compile("[\ud800-\udbff][\udc00-\udfff]")
_HALF: Final = re.compile("[\ud800-\udfff]")


class SurrogateJoiner:
    """Joins the two halves of a character that is split between two pieces of a text."""

    __slots__ = ("_high",)

    def __init__(self) -> None:
        self._high = ""

    def feed(self, piece: str) -> str:
        """Return a piece after the previous one's high half; hold back a high half at its end for the next piece."""
        if self._high:
            first = pair_surrogates(self._high + piece[:1])
            piece = first + piece[1:]
        self._high = piece[-1:] if "\ud800" <= piece[-1:] <= "\udbff" else ""
        return piece[:-1] if self._high else piece

    def end(self) -> str:
        """Return the high half at the end of the text, or an empty text."""
        return self._high


def pair_surrogates(text: str) -> str:
    """Return a text with adjacent halves as one character."""
    return text if text.isascii() else _PAIR.sub(_paired, text)


def well_formed(text: str) -> str:
    """Return a text as it is encoded: adjacent halves as one character, each other half as U+FFFD."""
    if text.isascii():
        return text
    try:
        text.encode()  # three times as fast as a search
    except UnicodeEncodeError:
        return _HALF.sub("\ufffd", pair_surrogates(text))
    return text


def _paired(pair: re.Match[str]) -> str:
    high, low = map(ord, pair[0])
    return chr(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00))

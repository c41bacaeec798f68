"""White space as ECMAScript counts it, which Python's `str.strip` without arguments does not. Pure."""

from __future__ import annotations

import re
from typing import Final

WHITESPACE: Final = (
    "\t\n\v\f\r \xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000\ufeff"
)
"""What `String.prototype.trim` takes off; Python's strip() differs in both directions."""

_LONG: Final = 65_536
_LEADING = re.compile(f"[{WHITESPACE}]*+")


def trim(text: str) -> str:
    """A text without the white space around it."""
    if len(text) <= _LONG:
        return text.strip(WHITESPACE)
    text = text[_length_of_leading(text) :]  # str.strip takes four times as long
    return text[: len(text) - _length_of_leading(text[::-1])]


def _length_of_leading(text: str) -> int:
    found = _LEADING.match(text)
    return found.end() if found else 0

"""White space as defined by ECMAScript, which differs from Python's `str.strip`. Pure."""

from __future__ import annotations

import re
from typing import Final

WHITESPACE: Final = (
    "\t\n\v\f\r \xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000\ufeff"
)
"""The characters that `String.prototype.trim` removes; Python's `strip()` differs in both directions."""

_PYTHON_ONLY: Final = "\x1c\x1d\x1e\x1f\x85"
"""The characters that only Python's `strip()` removes."""
_LONG: Final = 65_536
_LEADING = re.compile(f"[{WHITESPACE}]*+")


def trim(text: str) -> str:
    """Return a text without surrounding white space."""
    if len(text) <= _LONG:
        return text.strip(WHITESPACE)
    if not any(char in text for char in _PYTHON_ONLY):
        text = text.strip()  # five times as fast as a pattern, and twenty times as fast as with an argument
    text = text[_length_of_leading(text) :]
    return text[: len(text) - _length_of_leading(text[::-1])] if text[-1:] in WHITESPACE else text


def _length_of_leading(text: str) -> int:
    match = _LEADING.match(text)
    return match.end() if match else 0

"""The number of a text, as JavaScript's `Number(text)` (ECMA-262, StringToNumber). Pure."""

from __future__ import annotations

import math
import re
from typing import Final

from common.white_space import trim

_DECIMAL = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_PREFIXED = re.compile(r"0(?:[xX][0-9a-fA-F]+|[oO][0-7]+|[bB][01]+)")
_RADIXES: Final = {"x": 16, "o": 8, "b": 2}
_OTHERS: Final = {"": 0.0, "Infinity": math.inf, "+Infinity": math.inf, "-Infinity": -math.inf}


def to_double(text: str) -> float:
    """Return a text's double: trimmed, empty is 0, with hexadecimal, octal and binary prefixes; otherwise NaN."""
    trimmed = trim(text)
    if _DECIMAL.fullmatch(trimmed):
        return float(trimmed)
    if _PREFIXED.fullmatch(trimmed):
        return _from_prefixed(trimmed)
    return _OTHERS.get(trimmed, math.nan)


def _from_prefixed(text: str) -> float:
    try:
        return float(int(text[2:], _RADIXES[text[1].lower()]))
    except OverflowError:
        return math.inf

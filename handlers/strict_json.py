"""JSON of other services, read as RFC 8259 defines it and as JavaScript reads it."""

import json
from typing import Any, Final

_MAX_DIGITS: Final = 400
"""Digits of the longest integer that is read exactly; a double ends before."""


def loads(text: str) -> Any:
    """Parse a JSON text. Unlike `json.loads`, refuse `NaN` and `Infinity`, and accept an integer of any length.

    Raises `ValueError`, or `RecursionError` for a text that is nested too deeply.
    """
    return _decode(text)


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= _MAX_DIGITS else float(digits)


def _refuse(word: str) -> object:
    raise ValueError(word)


_decode: Final = json.JSONDecoder(parse_int=_integer, parse_constant=_refuse).decode

"""JavaScript's numbers: their text, and the number of a string (ECMA-262, Number)."""

from __future__ import annotations

import math

from common.javascript_number import to_double
from handlers.legacy.javascript.values import SAFE


def normal(number: float) -> int | float:
    """Return a double in this package's form: an int if integral and small enough, never for negative zero."""
    if number.is_integer() and abs(number) <= SAFE and (number or math.copysign(1, number) > 0):
        return int(number)
    return number


def from_digits(text: str) -> int | float:
    """Return an integer literal of any length, rounded to a double as in JavaScript."""
    if len(text) < 16 and not text.startswith("-0"):
        return int(text)
    return normal(float(text))


def number_to_string(number: float) -> str:
    """Return `toString`: the shortest digits that read back, exponents from 1e21 and below 1e-6."""
    if isinstance(number, int) and -SAFE <= number <= SAFE:
        return int.__repr__(number)
    double = float(number)
    if not math.isfinite(double):
        return "NaN" if math.isnan(double) else "Infinity" if double > 0 else "-Infinity"
    if double == 0:
        return "0"
    sign = "-" if double < 0 else ""
    return sign + _decimal(abs(double))


def _decimal(double: float) -> str:
    """Return Python's digits, which are the shortest, too; it writes exponents below 1e-4 and from 1e16 already."""
    mantissa, _, exponent = float.__repr__(double).partition("e")
    if not exponent:
        return mantissa.removesuffix(".0")
    power, digits = int(exponent), mantissa.replace(".", "")
    if -7 < power < 0:
        return "0." + "0" * (-power - 1) + digits
    if 0 < power < 21:
        return digits.ljust(power + 1, "0")
    return f"{mantissa}e{power:+d}"


def string_to_number(text: str) -> int | float:
    """Return `Number(text)` in this package's form."""
    return normal(to_double(text))

"""JavaScript's numbers: their text in any radix, and the number of a string (ECMA-262, Number)."""

from __future__ import annotations

import math
from typing import Final

from common.javascript_number import to_double
from handlers.legacy.javascript.values import SAFE

_DIGITS: Final = "0123456789abcdefghijklmnopqrstuvwxyz"


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


def number_to_string(number: float, radix: int = 10) -> str:
    """Return `toString`: the shortest digits that read back, exponents from 1e21 and below 1e-6."""
    if isinstance(number, int) and radix == 10 and -SAFE <= number <= SAFE:
        return int.__repr__(number)
    double = float(number)
    if not math.isfinite(double):
        return "NaN" if math.isnan(double) else "Infinity" if double > 0 else "-Infinity"
    if double == 0:
        return "0"
    sign = "-" if double < 0 else ""
    return sign + (_decimal(abs(double)) if radix == 10 else _in_radix(abs(double), radix))


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


def _in_radix(double: float, radix: int) -> str:
    """Convert as V8: fraction digits until they distinguish this double from its neighbours, the last one rounded."""
    whole = math.floor(double)
    fraction = double - whole
    digits, carried = _fraction_digits(fraction, max(0.5 * math.ulp(double), math.ulp(0.0)), radix)
    text = _integer_digits(float(whole + carried), radix)
    return text + ("." + "".join(_DIGITS[digit] for digit in digits) if digits else "")


def _fraction_digits(fraction: float, half_step: float, radix: int) -> tuple[list[int], int]:
    digits: list[int] = []
    while fraction >= half_step:
        fraction *= radix
        half_step *= radix
        digit = int(fraction)
        digits.append(digit)
        fraction -= digit
        if (fraction > 0.5 or (fraction == 0.5 and digit & 1)) and fraction + half_step > 1:
            return _round_up(digits, radix)
    return digits, 0


def _round_up(digits: list[int], radix: int) -> tuple[list[int], int]:
    while digits:
        digit = digits.pop()
        if digit + 1 < radix:
            return [*digits, digit + 1], 0
    return [], 1


def _integer_digits(whole: float, radix: int) -> str:
    """Return the digits of an integral double; those beyond its 53 bits are zeros, as in V8."""
    zeros = 0
    while whole / radix >= SAFE:
        whole /= radix
        zeros += 1
    text = "0" * zeros
    while True:
        digit = math.fmod(whole, radix)
        text = _DIGITS[int(digit)] + text
        whole = (whole - digit) / radix
        if whole <= 0:
            return text


def string_to_number(text: str) -> int | float:
    """Return `Number(text)` in this package's form."""
    return normal(to_double(text))

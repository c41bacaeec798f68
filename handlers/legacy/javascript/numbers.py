"""JavaScript's numbers: their text in any radix, and the number of a string (ECMA-262, Number)."""

from __future__ import annotations

import math
import re
from typing import Final

from handlers.legacy.javascript.values import SAFE
from handlers.white_space import trim

_DIGITS: Final = "0123456789abcdefghijklmnopqrstuvwxyz"
_DECIMAL = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_PREFIXED = re.compile(r"0(?:[xX][0-9a-fA-F]+|[oO][0-7]+|[bB][01]+)")
_INFINITIES: Final = {"Infinity": math.inf, "+Infinity": math.inf, "-Infinity": -math.inf}


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
    """Return `Number(text)`: trimmed, empty is 0, hex/octal/binary prefixes, anything else NaN."""
    trimmed = trim(text)
    if not trimmed:
        return 0
    if _DECIMAL.fullmatch(trimmed):
        return normal(float(trimmed))
    if _PREFIXED.fullmatch(trimmed):
        return _from_prefixed(trimmed)
    return _INFINITIES.get(trimmed, math.nan)


def _from_prefixed(text: str) -> int | float:
    whole = int(text[2:], {"x": 16, "o": 8, "b": 2}[text[1].lower()])
    try:
        return whole if whole <= SAFE else normal(float(whole))
    except OverflowError:
        return math.inf

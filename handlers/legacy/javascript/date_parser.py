"""Dates as parsed by V8: ECMAScript's own format first, then the lenient legacy parser.

The lenient parser works on tokens, without a grammar. A number is a day or, depending on what follows, a time. Words
before the first number are ignored, and parentheses are skipped. An offset requires a preceding time, or GMT. If only
the beginning is in the standard format, the lenient parser continues from there with the values parsed so far.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from common.white_space import WHITESPACE


@dataclass(frozen=True)
class DateFields:
    """A parsed date: month 1-12, day 1-31, and milliseconds from its midnight UTC."""

    year: int
    month: int
    day: int
    milliseconds: int


def read_date(text: str) -> DateFields | None:
    """Return the date that V8 parses from a text, or None."""
    tokens, date = _DateTokens(text), _ParsedDate()
    try:
        if not _read_standard(tokens, date):
            _read_lenient(tokens, date)
        return date.fields()
    except _NoDateError:
        return None


class _NoDateError(Exception):
    """A text that is not a date."""


@dataclass(frozen=True)
class _DateToken:
    """A token. `kind` is number, word, space, other, end, or the symbol itself; `size` is in characters."""

    kind: str
    size: int = 0
    number: int = 0
    word: str = ""

    def is_fixed(self, size: int, low: int = 0, high: int = 999_999) -> bool:
        return self.kind == "number" and self.size == size and low <= self.number <= high


_END: Final = _DateToken("end")
_SPACES: Final = re.sub("[\u2028\u2029]", "", WHITESPACE)  # these two count as word characters
_PIECE: Final = re.compile(
    rf"(?P<number>[0-9]+)|(?P<symbol>[-:+.)])|(?P<space>[{_SPACES}])|(?P<word>[^\x00-@{_SPACES}]+)"
)
_SIGNIFICANT: Final = 9


class _DateTokens:
    """The text's tokens with a lookahead of one. A NUL ends the text, as it does in V8."""

    def __init__(self, text: str) -> None:
        self._text = text.partition("\0")[0]
        self._at = 0
        self.peek = self._scan()

    def take(self) -> _DateToken:
        token = self.peek
        self.peek = self._scan()
        return token

    def skip(self, kind: str) -> bool:
        matches = self.peek.kind == kind
        if matches:
            self.take()
        return matches

    def _scan(self) -> _DateToken:
        if self._at >= len(self._text):
            return _END
        match = _PIECE.match(self._text, self._at)
        if match is None:
            self._at = self._past_brackets() if self._text[self._at] == "(" else self._at + 1
            return _DateToken("other")
        self._at = match.end()
        text = match[0]
        if match["number"]:
            return _DateToken("number", len(text), int(text.lstrip("0")[:_SIGNIFICANT] or "0"))
        if match["word"]:
            return _DateToken("word", len(text), word=text)
        return _DateToken("space" if match["space"] else text)

    def _past_brackets(self) -> int:
        depth = 0
        for at in range(self._at, len(self._text)):
            depth += {"(": 1, ")": -1}.get(self._text[at], 0)
            if depth == 0:
                return at + 1
        return len(self._text)


@dataclass
class _ParsedDate:
    """The values parsed so far, in their order."""

    days: list[int] = field(default_factory=list)
    times: list[int] = field(default_factory=list)
    month: int | None = None
    standard: bool = False
    half: int | None = None  # 0 after "am", 12 after "pm"
    sign: int | None = None
    zone_hour: int | None = None
    zone_minute: int | None = None

    def add_day(self, number: int) -> None:
        if len(self.days) == 3:
            raise _NoDateError
        self.days.append(number)

    def add_time(self, number: int) -> None:
        if len(self.times) == 4:
            raise _NoDateError
        self.times.append(number)

    def end_time(self, number: int) -> None:
        self.times = [*self.times, number, 0, 0, 0][:4]

    def set_zone(self, sign: int, hour: int, minute: int | None) -> None:
        self.sign, self.zone_hour, self.zone_minute = sign, hour, minute

    def expects_time(self, number: int) -> bool:
        limits = {1: 60, 2: 60, 3: 1000}
        return number < limits.get(len(self.times), 0)

    def expects_zone_minute(self, number: int) -> bool:
        return self.zone_hour is not None and self.zone_minute is None and number < 60

    def is_utc(self) -> bool:
        return self.zone_hour == 0 and self.zone_minute == 0

    def fields(self) -> DateFields:
        """Return the resulting date; years of two digits mean 1950 to 2049."""
        year, month, day = self._calendar()
        if not self.standard and 0 <= year <= 99:
            year += 2000 if year < 50 else 1900
        if not (1 <= month <= 12 and 1 <= day <= 31):
            raise _NoDateError
        return DateFields(year, month, day, self._time() - self._offset())

    def _calendar(self) -> tuple[int, int, int]:
        """Return year, month and day: the first number that cannot be a day is the year."""
        if not self.days:
            raise _NoDateError
        first, second, third = (*self.days, 1, 1)[:3]
        first_is_day = 1 <= first <= 31
        if self.month is not None:
            return (second, self.month, first) if first_is_day else (first, self.month, second)
        return (third, first, second) if first_is_day and not self.standard else (first, second, third)

    def _time(self) -> int:
        hour, minute, second, millisecond = (*self.times, 0, 0, 0, 0)[:4]
        if self.half is not None:
            if hour > 12:
                raise _NoDateError
            hour = hour % 12 + self.half
        rest = (minute * 60 + second) * 1000 + millisecond
        if minute > 59 or second > 59 or millisecond > 999 or hour > 24 or (hour == 24 and rest):
            raise _NoDateError
        return hour * 3_600_000 + rest

    def _offset(self) -> int:
        """Return the zone's offset in milliseconds; V8 computes its seconds in 32 bits without a sign."""
        if self.sign is None:
            return 0
        seconds = ((self.zone_hour or 0) * 60 + (self.zone_minute or 0)) * 60 % 2**32
        if seconds >= 2**31:
            raise _NoDateError
        return self.sign * seconds * 1000


_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_HALVES: Final = {"am": 0, "pm": 12}
_SIGNS: Final = {"+": 1, "-": -1}
_ZONES: Final = {"z": 0, "ut": 0, "utc": 0, "gmt": 0} | {
    f"{zone}{kind}t": hours + (kind == "d")
    for zone, hours in {"e": -5, "c": -6, "m": -7, "p": -8}.items()
    for kind in "sd"
}


def _read_standard(tokens: _DateTokens, date: _ParsedDate) -> bool:
    """Parse ECMAScript's format; return False if the lenient parser must continue with the remaining tokens."""
    if not _read_standard_day(tokens, date):
        return False
    if tokens.peek.word.lower() == "t":
        tokens.take()
        _read_standard_time(tokens, date)
        _read_standard_zone(tokens, date)
        _require(tokens.peek is _END)
    elif tokens.peek is not _END:
        return False
    date.standard = True
    return True


def _read_standard_day(tokens: _DateTokens, date: _ParsedDate) -> bool:
    if not _read_standard_year(tokens, date):
        return False
    for high in (12, 31):
        if not tokens.skip("-"):
            break
        if not tokens.peek.is_fixed(2, 1, high):
            return False
        date.add_day(tokens.take().number)
    return True


def _read_standard_year(tokens: _DateTokens, date: _ParsedDate) -> bool:
    if tokens.peek.is_fixed(4):
        date.add_day(tokens.take().number)
        return True
    if tokens.peek.kind not in _SIGNS:
        return False
    sign = _SIGNS[tokens.take().kind]
    if not tokens.peek.is_fixed(6):
        return False
    year = sign * tokens.take().number
    if sign < 0 and not year:
        return False
    date.add_day(year)
    return True


def _read_standard_time(tokens: _DateTokens, date: _ParsedDate) -> None:
    """Parse `hh:mm[:ss[.sss]]`, with any number of fraction digits; 24 only as 24:00:00.0."""
    midnight = tokens.peek.number == 24
    date.add_time(_fixed(tokens, 24))
    _require(tokens.skip(":"))
    date.add_time(_fixed(tokens, 0 if midnight else 59))
    if tokens.skip(":"):
        date.add_time(_fixed(tokens, 0 if midnight else 59))
        if tokens.skip("."):
            _require(tokens.peek.kind == "number" and not (midnight and tokens.peek.number))
            date.add_time(_milliseconds(tokens.take()))


def _read_standard_zone(tokens: _DateTokens, date: _ParsedDate) -> None:
    if tokens.peek.word.lower() == "z":
        tokens.take()
        date.set_zone(1, 0, 0)
    elif tokens.peek.kind in _SIGNS:
        sign = _SIGNS[tokens.take().kind]
        if tokens.peek.is_fixed(4):
            hour, minute = divmod(tokens.take().number, 100)
            _require(hour < 24 and minute < 60)
        else:
            hour = _fixed(tokens, 23)
            _require(tokens.skip(":"))
            minute = _fixed(tokens, 59)
        date.set_zone(sign, hour, minute)


def _fixed(tokens: _DateTokens, high: int) -> int:
    _require(tokens.peek.is_fixed(2, 0, high))
    return tokens.take().number


def _milliseconds(token: _DateToken) -> int:
    """Return a fraction of a second in milliseconds: its first three digits, of at most nine significant ones."""
    size = min(token.size, _SIGNIFICANT)
    scale: int = 10 ** abs(size - 3)
    return token.number * scale if size < 3 else token.number // scale


def _require(holds: bool) -> None:
    if not holds:
        raise _NoDateError


def _read_lenient(tokens: _DateTokens, date: _ParsedDate) -> None:
    """Parse the remaining tokens one by one."""
    has_number = bool(date.days)
    while (token := tokens.take()) is not _END:
        if token.kind == "number":
            has_number = True
            _read_number(token.number, tokens, date)
        elif token.kind == "word":
            _read_word(token.word, tokens, date, has_number)
        elif token.kind in _SIGNS and (date.is_utc() or date.times):
            has_number = True
            _read_offset(_SIGNS[token.kind], tokens, date)
        elif token.kind in ("+", "-", ")"):
            _require(not has_number)


def _read_number(number: int, tokens: _DateTokens, date: _ParsedDate) -> None:
    if tokens.skip(":"):
        if tokens.skip(":"):
            _require(not date.times)
            date.add_time(number)
            date.add_time(0)
        else:
            date.add_time(number)
            tokens.skip(".")
    elif tokens.skip(".") and date.expects_time(number):
        date.add_time(number)
        _require(tokens.peek.kind == "number")
        date.end_time(_milliseconds(tokens.take()))
    elif date.expects_zone_minute(number):
        date.zone_minute = number
    elif date.expects_time(number):
        date.end_time(number)
        after = tokens.peek
        _require(after.kind in ("end", "space", "+", "-") or after.word.lower() == "z")
    else:
        date.add_day(number)
        tokens.skip("-")


def _read_word(word: str, tokens: _DateTokens, date: _ParsedDate, has_number: bool) -> None:
    name = word.lower() if word[:3].isascii() else ""
    if name in _HALVES and date.times:
        date.half = _HALVES[name]
    elif name[:3] in _MONTHS:
        date.month = _MONTHS.index(name[:3]) + 1
        tokens.skip("-")
    elif name in _ZONES and has_number:
        hours = _ZONES[name]
        date.set_zone(-1 if hours < 0 else 1, abs(hours), 0)
    else:
        _require(not has_number and tokens.peek.kind != "number")


def _read_offset(sign: int, tokens: _DateTokens, date: _ParsedDate) -> None:
    """Parse `+h`, `+hh`, `+hmm`, `+hhmm`, or `+h:` whose minutes are the next number."""
    size = number = 0
    if tokens.peek.kind == "number":
        size, number = tokens.peek.size, tokens.take().number
    date.sign = sign
    if tokens.peek.kind == ":":
        date.zone_hour, date.zone_minute = number, None
    else:
        _require(1 <= size <= 4)
        date.zone_hour, date.zone_minute = (number, 0) if size <= 2 else divmod(number, 100)

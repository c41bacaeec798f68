"""JavaScript's Date as milliseconds since 1970: V8's parser and the three output formats.

The legacy's clock is on UTC, so local time is UTC here: a text without a zone is read as UTC, and `toString` writes
GMT+0000.
"""

from __future__ import annotations

from datetime import date
from functools import lru_cache
from typing import Final

from handlers.legacy.javascript.date_parser import read_date
from handlers.legacy.javascript.values import JavaScriptRangeError

LIMIT: Final = 8_640_000_000_000_000
"""The largest time value, a hundred million days on either side of 1970; beyond it a Date is invalid."""

DAY: Final = 86_400_000
LONGEST_DATE: Final = 4_096
"""Characters of a text that is read as a date; V8 reads any number, of which it skips most."""
_EPOCH: Final = 719_163  # 1970-01-01 as a proleptic ordinal
_CYCLE_DAYS: Final = 146_097  # days in 400 years, after which the calendar repeats
_WEEKDAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def parse_date(text: str) -> int | None:
    """Parse as `new Date(text)`: milliseconds since 1970, None for an Invalid Date and for more than `LONGEST_DATE`."""
    fields = read_date(text) if len(text) <= LONGEST_DATE else None
    if fields is None:
        return None
    ms = _days(fields.year, fields.month, fields.day) * DAY + fields.milliseconds
    return clip(ms)


def clip(ms: float) -> int | None:
    """Return `new Date(number)`: truncated to whole milliseconds, None (Invalid Date) out of range or for NaN."""
    return int(ms) if abs(ms) <= LIMIT else None


def iso(ms: int) -> str:
    """Return `toISOString`: UTC to the millisecond, a sign and six digits for years outside 0 .. 9999.

    Raises JavaScriptRangeError for an Invalid Date.
    """
    text = iso_or_none(ms)
    if text is None:
        raise JavaScriptRangeError("Invalid time value")
    return text


@lru_cache(maxsize=16_384)
def iso_or_none(ms: int) -> str | None:
    """Return a date as in JSON: `toISOString`, or None for an Invalid Date."""
    if not -LIMIT <= ms <= LIMIT:
        return None
    minute, rest = divmod(ms, 60_000)
    return f"{_iso_minute(minute)}:{rest // 1000:02d}.{rest % 1000:03d}Z"


def date_to_string(ms: int) -> str:
    """Return `toString`: `Thu Jan 01 1970 00:00:00 GMT+0000 (Coordinated Universal Time)`."""
    if not -LIMIT <= ms <= LIMIT:
        return "Invalid Date"
    day, rest = divmod(ms, DAY)
    year, month, month_day = _calendar(day)
    minutes, second = divmod(rest // 1000, 60)
    spelled = f"{year:04d}" if year >= 0 else f"-{-year:04d}"
    return (
        f"{_WEEKDAYS[(day + 3) % 7]} {_MONTHS[month - 1]} {month_day:02d} {spelled} "
        f"{minutes // 60:02d}:{minutes % 60:02d}:{second:02d} GMT+0000 (Coordinated Universal Time)"
    )


@lru_cache(maxsize=4096)
def _iso_minute(minutes: int) -> str:
    day, minute = divmod(minutes, 1440)
    year, month, month_day = _calendar(day)
    spelled = f"{year:04d}" if 0 <= year <= 9999 else f"{year:+07d}"
    return f"{spelled}-{month:02d}-{month_day:02d}T{minute // 60:02d}:{minute % 60:02d}"


def _calendar(day: int) -> tuple[int, int, int]:
    """Return year, month and day of a number of days since 1970, in any year."""
    cycles, ordinal = divmod(day + _EPOCH - 1, _CYCLE_DAYS)
    result = date.fromordinal(ordinal + 1)
    return result.year + 400 * cycles, result.month, result.day


def _days(year: int, month: int, day: int) -> int:
    """Return the days since 1970 of a date whose day may exceed the month's length (31 April is 1 May)."""
    cycles, within = divmod(year - 1, 400)
    first = date(within + 1, month, 1).toordinal() + cycles * _CYCLE_DAYS
    return first - _EPOCH + day - 1

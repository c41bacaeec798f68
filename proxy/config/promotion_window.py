"""Times at which a rollout may promote: days of the week, hours of the day, and excluded dates. Pure."""

import re
from datetime import date, datetime, timedelta
from typing import Annotated, Final, NamedTuple
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, BeforeValidator, field_validator

from proxy.config.field_types import split_list
from proxy.config.parsed_by import ParsedBy
from proxy.config.section import Section
from proxy.wording import did_you_mean

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
HORIZON: Final = 400
"""Maximum number of days to search for the next opening."""
_HOURS: Final = re.compile(r"(\d{1,2}):(\d{2}) ?- ?(\d{1,2}):(\d{2})", re.ASCII)
_BRIEF_HOURS: Final = re.compile(r"(\d{1,2})(?::(\d{2}))? ?- ?(\d{1,2})(?::(\d{2}))?", re.ASCII)
_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


class Hours(NamedTuple):
    """Minutes of the day: from `start`, inclusive, to `end`, exclusive."""

    start: int = 0
    end: int = 24 * 60


def read_days(value: object) -> object:
    """Parse days given as `mon, wed` or `mon-fri` into indexes. Raises ValueError."""
    items = split_list(value)
    if not isinstance(items, list):
        return items
    days: list[int] = []
    for item in items:
        first, _, last = item.lower().partition("-") if isinstance(item, str) else ("", "", "")
        if first[:3] not in DAYS or (last and last[:3] not in DAYS):
            raise ValueError(f"must be days such as mon-fri or sat, not {item!r}")
        start, end = DAYS.index(first[:3]), DAYS.index((last or first)[:3])
        days += [day % 7 for day in range(start, end + 1 if end >= start else end + 8)]
    if not days:
        raise ValueError("must hold at least one day, as in mon-fri")
    return tuple(sorted(set(days)))


def read_hours(value: object) -> Hours:
    """Parse `09:00-17:00`. Raises ValueError."""
    if isinstance(value, Hours):
        return value
    match = _HOURS.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"must be hours of the day, as in 09:00-17:00{_meant_hours(value)}")
    start = int(match[1]) * 60 + int(match[2])
    end = int(match[3]) * 60 + int(match[4])
    if int(match[2]) > 59 or int(match[4]) > 59 or end > 24 * 60:
        raise ValueError("hours are from 00:00 to 24:00")
    if end <= start:
        raise ValueError("must end after they begin, on the same day")
    return Hours(start, end)


def _meant_hours(value: object) -> str:
    """Return a suggestion for full hours such as `9-17` or `9 - 17:30`."""
    match = _BRIEF_HOURS.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        return ""
    start, end = (f"{int(hour):02}:{minute or '00'}" for hour, minute in (match.group(1, 2), match.group(3, 4)))
    return f"; did you mean {start}-{end}?" if start < end <= "24:00" else ""


def read_zone(value: object) -> str:
    """Validate a time zone of the IANA database. Raises ValueError."""
    text = value.strip() if isinstance(value, str) else ""
    try:
        return ZoneInfo(text).key
    except (KeyError, ValueError, OSError):
        meant = did_you_mean(text, available_timezones())
        raise ValueError(f"must be a time zone, as in Europe/London or UTC{meant}") from None


def read_date(value: object) -> date:
    """Parse `2026-12-25`. Raises ValueError."""
    if isinstance(value, date):
        return value
    try:
        if isinstance(value, str) and _DATE.fullmatch(value.strip()):
            return date.fromisoformat(value.strip())
    except ValueError:
        pass
    raise ValueError("must be a date, as in 2026-12-25")


def _sorted(dates: tuple[date, ...]) -> tuple[date, ...]:
    return tuple(sorted(set(dates)))


class PromotionWindow(Section):
    """Times within which a rollout starts and is promoted, in the time zone `zone`. Guards act at any time."""

    days: Annotated[tuple[int, ...], BeforeValidator(read_days)] = tuple(range(7))
    hours: Annotated[Hours, ParsedBy(read_hours)] = Hours()
    zone: Annotated[str, ParsedBy(read_zone)]
    never_on: Annotated[tuple[Annotated[date, ParsedBy(read_date)], ...], AfterValidator(_sorted)] = ()

    _listed = field_validator("never_on", mode="before")(split_list)

    def next_open(self, at: float) -> float | None:
        """Return the first open time at or after `at`, in seconds since the epoch; None if there is none."""
        zone = ZoneInfo(self.zone)
        today = datetime.fromtimestamp(at, zone).date()
        for offset in range(HORIZON):
            day = today + timedelta(days=offset)
            if day.weekday() in self.days and day not in self.never_on:
                opens = _time(day, self.hours.start, zone)
                closes = _time(day, self.hours.end, zone)
                if at < closes:
                    return max(at, opens)
        return None

    def is_open(self, at: float) -> bool:
        """Return True if a rollout may be promoted at a time."""
        return self.next_open(at) == at


def _time(day: date, minutes: int, zone: ZoneInfo) -> float:
    """Return the time of a minute of a day; at a change of the clocks, as `datetime` resolves it (PEP 495)."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=zone) + timedelta(days=minutes // 1440)
    return midnight.replace(hour=minutes % 1440 // 60, minute=minutes % 60).timestamp()

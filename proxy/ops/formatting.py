"""Format numbers, times and shares for people. Pure.

Values close to 0% or 100% are never rounded to these: 999,999 of a million is `>99.99%`, one of a million `<0.01%`.
Times are seconds since the epoch, shown in UTC.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from proxy.config.quantities import show_share
from proxy.types import JSON

NOTHING: Final = "–"
_UNITS: Final = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))
CLOCK_TOLERANCE: Final = 60.0
"""Seconds by which the clocks of two machines may differ unnoticed."""


def number(value: float) -> str:
    """Format a number: `1,204`; below ten with two significant digits: `0.34`."""
    if value >= 10 or value == int(value):
        return f"{round(value):,}"
    return f"{value:.2g}" if value >= 0.01 else "<0.01"


def percent(part: float, whole: float = 1) -> str:
    """Format a part of a whole: `12.5%`; a dash if the whole is zero."""
    if whole <= 0:
        return NOTHING
    value = 100 * part / whole
    if 0 < value < 0.01:
        return "<0.01%"
    if 99.99 < value < 100:
        return ">99.99%"
    return f"{value:.2f}".rstrip("0").rstrip(".") + "%"


def latency(seconds: float | None) -> str:
    """Format a latency: `0.84 ms`, `12 ms`, `1.2 s`; a dash for None."""
    if seconds is None:
        return NOTHING
    if seconds >= 1:
        return f"{seconds:.1f} s"
    value = seconds * 1000
    return f"{value:.0f} ms" if value >= 10 else f"{value:.2g} ms"


def duration(seconds: float) -> str:
    """Format a duration by its two largest units: `6 d 4 h`, `3 min 20 s`, `0 s`."""
    left, words = max(0, int(seconds)), list[str]()
    for size, unit in _UNITS:
        count, left = divmod(left, size)
        if words and not count:
            break
        if count:
            words.append(f"{count} {unit}")
    return " ".join(words[:2]) or "0 s"


def ago(then: float, now: float) -> str:
    """Format the time since, by its largest unit: `just now`, `4 min ago`, `3 d ago`.

    A time more than a minute ahead, from a machine whose clock is wrong, is `in 4 min`.
    """
    seconds = now - then
    if -CLOCK_TOLERANCE <= seconds < 5:
        return "just now"
    size, unit = next(pair for pair in _UNITS if abs(seconds) >= pair[0])
    distance = f"{int(abs(seconds) // size)} {unit}"
    return f"{distance} ago" if seconds > 0 else f"in {distance}"


def moment(then: float) -> str:
    """Format a time in full: `22 Nov 2026, 14:05:09 UTC`."""
    at = datetime.fromtimestamp(then, UTC)
    return f"{at.day} {at:%b %Y, %H:%M:%S} UTC"


def clock(then: float) -> str:
    """Format a time briefly: `22 Nov, 14:05:09`; the page names the time zone elsewhere."""
    at = datetime.fromtimestamp(then, UTC)
    return f"{at.day} {at:%b, %H:%M:%S}"


def day(then: float) -> str:
    """Format the date of a time: `22 Nov 2026`."""
    at = datetime.fromtimestamp(then, UTC)
    return f"{at.day} {at:%b %Y}"


def iso(then: float) -> str:
    """Format a time for `<time>`, JSON and links: `2026-11-22T14:05:09Z`."""
    return f"{datetime.fromtimestamp(then, UTC):%Y-%m-%dT%H:%M:%SZ}"


def size(octets: float) -> str:
    """Format a size: `512 B`, `2.4 KiB`, `1.0 MiB`."""
    if octets < 1024:
        return f"{octets:.0f} B"
    return f"{octets / 1024:.1f} KiB" if octets < 1 << 20 else f"{octets / (1 << 20):.1f} MiB"


def described(tree: Mapping[str, JSON] | None, *, quoted: bool = False) -> str:
    """Describe a redacted value (`reports.models.Tree`): the value if it may be shown, or else its type and length.

    `quoted`: texts are shown as JSON, so that "2" differs from 2.
    """
    if tree is None:
        return NOTHING
    if "value" in tree:
        value = tree["value"]
        return value if isinstance(value, str) and not quoted else json.dumps(value, ensure_ascii=False)
    kind = str(tree["type"])
    if kind in ("object", "array"):
        unit = "field" if kind == "object" else "item"
        return f"{kind} of {tree['length']} {unit}{'s' * (tree['length'] != 1)}"
    length = f" of {tree['length']}" if kind in ("string", "binary") and "length" in tree else ""
    return f"{kind}{length}"


FILTERS: Final = {
    "ago": ago,
    "clock": clock,
    "day": day,
    "duration": duration,
    "iso": iso,
    "latency": latency,
    "moment": moment,
    "number": number,
    "percent": percent,
    "share": show_share,
    "size": size,
    "described": described,
}
"""The filters of the templates, by name."""

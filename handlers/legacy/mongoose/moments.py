"""The dates that the legacy generates.

In JavaScript, everything between two awaits happens in one moment: dates that are generated there are equal, and dates
that are generated on both sides of a database operation are not. A client sees both, so `after` and the argument `at`
of documents reproduce it, however fast or slow this process is.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from bson.datetime_ms import DatetimeMS


def now() -> DatetimeMS:
    """Return `Date.now()` as it is stored."""
    return DatetimeMS(time.time_ns() // 1_000_000)


def after(moment: DatetimeMS, clock: Callable[[], DatetimeMS] = now) -> DatetimeMS:
    """Return the current time, but at least a millisecond after `moment`, since the legacy writes at two times."""
    return max(clock(), DatetimeMS(int(moment) + 1))

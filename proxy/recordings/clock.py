"""The time at which a scenario was recorded, by which values that the service made in it are told from stored ones.

The `Date` headers of its answers give it. A recording without them shows it by the ids and dates that its writes
introduced: those which are first in the answer to a write or in a later one, and neither in a request nor in a document
that was there before. Ids have the time at which they were made; dates may be of any time.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from proxy.comparison.correspondence import FRESH, Correspondence
from proxy.comparison.spelling import http_date
from proxy.comparison.volatile import Segment, split_volatile, timestamp_of
from proxy.types import JSON

TOLERANCE: Final = 60_000
"""Maximum distance (ms) of a value that was made in a scenario from the `Date` headers of its answers."""

_READS: Final = ("GET", "HEAD", "OPTIONS")


class RecordedClock(NamedTuple):
    """A time in ms since the epoch. Values that a scenario made lie within `tolerance` ms of it."""

    at: int
    tolerance: int = FRESH


def names_since(clock: RecordedClock | None) -> Correspondence:
    """Return an empty correspondence of a recording and a service that it is played to from now on."""
    now = time.time_ns() // 1_000_000
    return Correspondence(native_at=now) if clock is None else Correspondence(clock.at, now, fresh=clock.tolerance)


def scenario_clock(steps: JSON, store: JSON, before: JSON) -> RecordedClock | None:
    """Return the time of a scenario from its JSON; None if nothing shows it."""
    listed = [step for step in steps if isinstance(step, dict)] if isinstance(steps, list) else []
    dates = [at for step in listed if (at := _date_of(step)) is not None]
    if dates:
        return RecordedClock(dates[-1], TOLERANCE + max(dates) - min(dates))
    given: list[JSON] = [before, *(step.get("request") for step in listed)]
    is_read = [_method(step) in _READS for step in listed]
    first_write = is_read.index(False) if False in is_read else len(listed)
    stored = [step.get("response") for step in listed[:first_write]]
    made = [step.get("response") for step in listed[first_write:]]
    introduced = estimated_clock([*made, store], [*given, *stored])
    return introduced or estimated_clock([*stored, store], given)


def estimated_clock(made: JSON, given: JSON) -> RecordedClock | None:
    """Return the time of the newest id in `made` that is not in `given`, without ids the median of its dates."""
    segments = set(_volatile(made)) - set(_volatile(given))
    times = {one: at for one in segments if (at := timestamp_of(one.kind, one.text)) is not None}
    ids = [at for one, at in times.items() if one.kind in ("id", "stamp")]
    if ids:
        return RecordedClock(max(ids))
    return RecordedClock(int(statistics.median_high(set(times.values())))) if times else None


def _volatile(value: JSON) -> Iterator[Segment]:
    return (one for one in split_volatile(json.dumps(value)) if one.kind)


def _date_of(step: Mapping[str, JSON]) -> int | None:
    """Return the time of an answer by its `Date` header in ms; None without one."""
    response = step.get("response")
    headers = response.get("headers") if isinstance(response, dict) else None
    value = headers.get("date") if isinstance(headers, dict) else None
    return http_date(value) if isinstance(value, str) else None


def _method(step: Mapping[str, JSON]) -> JSON:
    request = step.get("request")
    return request.get("method") if isinstance(request, dict) else None

"""Decide which mismatches are confirmed by a second request, and which ones a concurrent write explains.

A difference counts as confirmed for `CONFIRMATION_TTL`. A dry run is repeated after legacy has written, so that a
stale answer of native could be mistaken for a concurrent write. A difference is therefore not attributed to other
writers if it contains values that the request itself wrote, or if it vanishes in more than `MAX_CHANGED_SHARE` of a
route's dry runs.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final, TypeAlias

from proxy.comparison.bodies import read
from proxy.comparison.exchange import Exchange
from proxy.comparison.headers import joined
from proxy.comparison.verdicts import Difference, Verdict
from proxy.comparison.volatile import match_volatile, timestamp_of
from proxy.reports.events import ComparisonEvent
from proxy.types import JSON, DifferenceKind, ValuePath

CONFIRMATION_TTL: Final = 10.0
"""Seconds for which a confirmed difference needs no further confirmation."""
MAX_CONFIRMATIONS: Final = 10
"""Maximum number of requests per second that are repeated to confirm mismatches."""
MAX_CONFIRMED: Final = 10_000
"""Maximum number of cached confirmed differences."""
MAX_CHANGED_SHARE: Final = 0.05
"""Maximum share of a route's dry runs in which a difference is attributed to other writers; the first always is."""

_DifferenceKey: TypeAlias = tuple[str, str | None, ValuePath, DifferenceKind]
"""Route, operation, path in the answer and kind of difference."""


class ConfirmationCache:
    """Recently confirmed differences, and a rate limit for confirmations."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, *, max_confirmed: int = MAX_CONFIRMED) -> None:
        self._clock = clock
        self._max_confirmed = max_confirmed
        self._expiries: dict[_DifferenceKey, float] = {}
        self._second, self._remaining = 0, MAX_CONFIRMATIONS

    def needs_confirmation(self, event: ComparisonEvent) -> bool:
        """Return True if a difference is not confirmed and the rate limit allows a confirmation."""
        now = self._clock()
        if all(self._expiries.get(key, 0.0) > now for key in _difference_keys(event)):
            return False
        if self._second != int(now):
            self._second, self._remaining = int(now), MAX_CONFIRMATIONS
        self._remaining -= 1
        return self._remaining >= 0

    def add(self, event: ComparisonEvent) -> None:
        """Store the differences of an event as confirmed for `CONFIRMATION_TTL`."""
        if len(self._expiries) > self._max_confirmed:
            self._expiries.clear()
        self._expiries |= dict.fromkeys(_difference_keys(event), self._clock() + CONFIRMATION_TTL)


class ChangeLimiter:
    """Limits how often a difference of dry runs is attributed to concurrent writers."""

    def __init__(self) -> None:
        self._dry_runs: Counter[str] = Counter()
        self._changes: Counter[_DifferenceKey] = Counter()

    def count(self, route: str) -> None:
        """Count a dry run of a route."""
        self._dry_runs[route] += 1

    def admits(self, event: ComparisonEvent) -> bool:
        """Count the differences of an event as concurrent changes. Return True while all of them are rare."""
        if len(self._changes) > MAX_CONFIRMED:
            self._changes.clear()
        keys = _difference_keys(event)
        self._changes.update(keys)
        limit = max(1.0, MAX_CHANGED_SHARE * self._dry_runs[event.route])
        return all(self._changes[key] <= limit for key in keys)


def shows_own_write(event: ComparisonEvent) -> bool:
    """Return True if legacy's side of a difference is the request's own write: a sent field, or a new id or date.

    Native then answered with the state before the write; no other writer is involved.
    """
    sent = set(_sent_fields(event.legacy))
    since = event.legacy.started - 1.0
    return any(_is_written(one, sent, since) for one in event.verdict.unexplained)


def repeated(first: Verdict, second: Verdict) -> Verdict:
    """Return the first verdict with only the differences that the second has too; unchanged if there are none."""
    again = {(one.path, one.kind) for one in second.unexplained}
    unexplained = tuple(one for one in first.unexplained if (one.path, one.kind) in again)
    if not unexplained:
        return first
    dropped = set(map(id, first.unexplained)) - set(map(id, unexplained))
    differences = tuple(one for one in first.differences if id(one) not in dropped)
    return replace(first, differences=differences, unexplained=unexplained)


def _is_written(difference: Difference, sent: set[tuple[str, str]], since: float) -> bool:
    if difference.legacy is None or difference.path[0] != "body":
        return False
    name = next(step for step in reversed(difference.legacy.path) if isinstance(step, str))
    value = difference.legacy.value
    if (name, repr(value)) in sent:
        return True
    segment = match_volatile(value) if isinstance(value, str) else None
    made = timestamp_of(segment.kind, segment.text) if segment else None
    return made is not None and made >= since * 1000


def _sent_fields(exchange: Exchange) -> Iterator[tuple[str, str]]:
    """Yield the name and the value of every field of a request's body."""
    content = read(exchange.request_body.data, joined(_lower(exchange)).get("content-type", ""))
    waiting: list[tuple[str, JSON]] = [("", content.as_json)]
    while waiting:
        name, value = waiting.pop()
        if isinstance(value, dict):
            waiting += value.items()
        elif isinstance(value, list):
            waiting += [(name, item) for item in value]
        elif name:
            yield name, repr(value)


def _lower(exchange: Exchange) -> tuple[tuple[bytes, bytes], ...]:
    return tuple((name.lower(), value) for name, value in exchange.request_headers)


def _difference_keys(event: ComparisonEvent) -> list[_DifferenceKey]:
    operation = event.operation.id if event.operation is not None else None
    return [(event.route, operation, one.path, one.kind) for one in event.verdict.unexplained]

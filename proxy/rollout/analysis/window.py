"""Counts of a route's two backends over a sliding window, in constant memory.

A window is a ring of slices. Only the newest slice is written, at the cost of a few additions per request; a slice that
ends is added to the sum, and one that leaves the window is subtracted. Latency buckets grow by an eighth of an octave
(9%), from 0.1 ms to 105 s, so percentiles need at most 160 numbers. The module reads no clock: callers pass times of
`time.monotonic`.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

SLICES: Final = 12
MIN_SLICE: Final = 1.0  # seconds of a slice: the interval of `advance`; shorter slices would stay empty
BUCKETS_PER_OCTAVE: Final = 8
FIRST_EDGE: Final = 1e-4  # seconds: the upper edge of the first bucket
LAST: Final = 20 * BUCKETS_PER_OCTAVE
EDGES: Final = tuple(FIRST_EDGE * math.exp2(index / BUCKETS_PER_OCTAVE) for index in range(LAST + 1))
"""The longest latency, in seconds, of each bucket."""


def latency_bucket(seconds: float) -> int:
    """Return the bucket of a latency: 0 up to `FIRST_EDGE`, `LAST` from 105 s on."""
    return bisect_left(EDGES, seconds, 0, LAST)


def edge(index: int) -> float:
    """Return the longest latency, in seconds, that falls into a bucket."""
    return EDGES[index]


class Measure(IntEnum):
    """The kinds of requests counted by caller: all, with 4xx, with 5xx, slow ones, failures of a dependency.

    `COMPARED` and `DIFFERING` are shadow comparisons.
    """

    REQUESTS = 0
    CLIENT_ERRORS = 1
    SERVER_ERRORS = 2
    SLOW = 3
    DEPENDENCY_FAILURES = 4
    COMPARED = 5
    DIFFERING = 6


@dataclass(slots=True)
class RequestStats:
    """Counts of one backend: requests, those with 4xx and 5xx, and requests by latency bucket.

    A client that disconnects before a response counts as 4xx (status 499), because slow responses cause disconnects.
    WebSockets count as requests without a latency. `dependency_failures` counts responses that native reports as
    failures of a dependency, in addition to `requests`. `by_caller` counts by measure and caller slot, see `callers`.
    """

    requests: int = 0
    client_errors: int = 0
    server_errors: int = 0
    latencies: dict[int, int] = field(default_factory=dict)
    dependency_failures: int = 0
    by_caller: dict[Measure, dict[int, int]] = field(default_factory=dict)

    @property
    def errors(self) -> int:
        return self.client_errors + self.server_errors

    @property
    def timed(self) -> int:
        """The number of requests that have a latency."""
        return sum(self.latencies.values())

    @property
    def distinct_errors(self) -> int:
        """Number of errors; all errors of one caller slot count once."""
        failures = self.counts_of(Measure.CLIENT_ERRORS, Measure.SERVER_ERRORS)
        return self.errors - sum(failures.values()) + len(failures)

    def percentile(self, part: float) -> float | None:
        """Return the latency in seconds that the fraction `part` of requests does not exceed, or None."""
        return self.percentiles(part)[0]

    def percentiles(self, *parts: float) -> tuple[float | None, ...]:
        """Return the latencies in seconds that rising fractions of requests do not exceed, or None for each."""
        if not self.latencies:
            return (None,) * len(parts)
        timed, passed, reached = self.timed, 0, list[float]()
        for index in sorted(self.latencies):
            passed += self.latencies[index]
            while len(reached) < len(parts) and passed >= math.ceil(parts[len(reached)] * timed):
                reached.append(edge(index))
        return tuple(reached)

    def slower(self, seconds: float) -> int:
        """Return the number of requests that were certainly slower; the limit's own bucket is excluded."""
        return sum(count for index, count in self.latencies.items() if index and EDGES[index - 1] >= seconds)

    def add(self, other: RequestStats, sign: int = 1, *, by_caller: bool = True) -> None:
        """Add another's counts, or subtract them (`sign` -1); counts by caller only if `by_caller` is True."""
        self.requests += sign * other.requests
        self.client_errors += sign * other.client_errors
        self.server_errors += sign * other.server_errors
        self.dependency_failures += sign * other.dependency_failures
        _add(self.latencies, other.latencies, sign)
        if by_caller:
            for measure, counts in other.by_caller.items():
                _add(self.by_caller.setdefault(measure, {}), counts, sign)

    def count(self, measure: Measure, slot: int, number: int = 1) -> None:
        """Count requests of a caller slot."""
        counts = self.by_caller.get(measure)
        if counts is None:
            counts = self.by_caller[measure] = {}
        counts[slot] = counts.get(slot, 0) + number

    def counts_of(self, *measures: Measure) -> dict[int, int]:
        """Return the sums of several measures by slot."""
        counts: dict[int, int] = {}
        for measure in measures:
            _add(counts, self.by_caller.get(measure, {}), 1)
        return counts


def _add(counts: dict[int, int], others: dict[int, int], sign: int) -> None:
    if not counts and sign == 1:
        counts.update(others)
        return
    for key, count in others.items():
        left = counts.get(key, 0) + sign * count
        if left:
            counts[key] = left
        else:
            del counts[key]


@dataclass(slots=True)
class WindowCounts:
    """Counts of both backends over a period, and of shadow comparisons: all, and those that differed."""

    legacy: RequestStats = field(default_factory=RequestStats)
    native: RequestStats = field(default_factory=RequestStats)
    compared: int = 0
    differing: int = 0

    def __bool__(self) -> bool:
        return bool(self.legacy.requests or self.native.requests or self.native.dependency_failures or self.compared)

    def add(self, other: WindowCounts, sign: int = 1, *, by_caller: bool = True) -> None:
        """Add another's counts, or subtract them (`sign` -1); counts by caller only if `by_caller` is True."""
        self.legacy.add(other.legacy, sign, by_caller=by_caller)
        self.native.add(other.native, sign, by_caller=by_caller)
        self.compared += sign * other.compared
        self.differing += sign * other.differing


class EndedSlice:
    """A slice that has ended: its counts do not change, so its percentiles are computed once."""

    __slots__ = ("_slowest", "counts")

    def __init__(self, counts: WindowCounts) -> None:
        self.counts: Final = counts
        self._slowest: tuple[float | None, float | None] | None = None

    @property
    def slowest(self) -> tuple[float | None, float | None]:
        """The 95th percentile of the latency of legacy and of native in seconds, None without requests."""
        if self._slowest is None:
            self._slowest = self.counts.legacy.percentile(0.95), self.counts.native.percentile(0.95)
        return self._slowest


class Window:
    """Sliding window of `span` seconds, less at most one slice: a twelfth, or MIN_SLICE. `now` is the newest slice."""

    def __init__(self, span: float, started: float) -> None:
        self.span: Final = span
        self.now = WindowCounts()
        self._count: Final = max(1, min(SLICES, int(span / MIN_SLICE)))
        self._length: Final = span / self._count
        self._started = started
        self._ended: deque[EndedSlice] = self._no_slices()
        self._sum = WindowCounts()
        self._changes = 0  # changes of slices by `advance` and `clear`

    @property
    def mark(self) -> tuple[int, ...]:
        """A value that changes whenever the counts do."""
        now = self.now
        return (
            *(self._changes, now.legacy.requests, now.native.requests),
            *(now.native.dependency_failures, now.compared, now.differing),
        )

    @property
    def requests(self) -> tuple[int, int]:
        """The number of requests of legacy and of native."""
        return (
            self._sum.legacy.requests + self.now.legacy.requests,
            self._sum.native.requests + self.now.native.requests,
        )

    @property
    def is_empty(self) -> bool:
        """True if nothing was counted within the span."""
        return not self._sum and not self.now

    @property
    def outage(self) -> float:
        """The part of the span in which a dependency of native failed, in slices."""
        slices = (self.now, *(one.counts for one in self._ended))
        return sum(bool(one.native.dependency_failures) for one in slices) / self._count

    def is_due(self, at: float) -> bool:
        """Return True if a slice has ended at the time `at`."""
        return at - self._started >= self._length

    @property
    def seconds(self) -> float:
        """The length of a slice."""
        return self._length

    def advance(self, at: float) -> Iterator[WindowCounts]:
        """Advance to the time `at`; yield the slices that ended meanwhile, except empty ones."""
        steps = int((at - self._started) / self._length)
        if steps <= 0:
            return
        self._started += steps * self._length
        if self.is_empty:
            return
        self._changes += 1
        for _ in range(min(steps, self._count)):
            ended, self.now = self.now, WindowCounts()
            self._ended.append(EndedSlice(ended))
            self._sum.add(ended)
            self._sum.add(self._ended.popleft().counts, -1)
            if ended:
                yield ended

    def total(self, *, by_caller: bool = True) -> WindowCounts:
        """Return the sum of all slices, as new counts; those by caller are empty unless `by_caller` is True."""
        total = WindowCounts()
        total.add(self._sum, by_caller=by_caller)
        total.add(self.now, by_caller=by_caller)
        return total

    def legacy_total(self) -> RequestStats:
        """Return the sum of legacy's slices, as new counts."""
        total = RequestStats()
        total.add(self._sum.legacy)
        total.add(self.now.legacy)
        return total

    def slices(self) -> tuple[EndedSlice, ...]:
        """Return the completed slices, oldest first."""
        return tuple(self._ended)

    def clear(self) -> None:
        """Clear all counts."""
        self._changes += 1
        self.now, self._sum = WindowCounts(), WindowCounts()
        self._ended = self._no_slices()

    def _no_slices(self) -> deque[EndedSlice]:
        return deque(EndedSlice(WindowCounts()) for _ in range(self._count - 1))

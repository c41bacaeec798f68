"""Count served requests in plain numbers, and add them to Prometheus's metrics from time to time.

A counter of prometheus_client takes a lock and several calls for each step, a histogram three times as many. Here a
request costs one lookup and three additions; `flush` adds the sums: once a second, and before each scrape.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Sequence
from typing import Final

from prometheus_client import Counter, Histogram

from proxy.gateway.errors import Overloaded
from proxy.gateway.request_record import RequestRecord

BOUNDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
"""Upper bounds of the histogram's buckets, in seconds."""


class SummedHistogram(Histogram):
    """A histogram to which many observations are added at once."""

    def add(self, counts: Sequence[int], total: float) -> None:
        """Add observations: their number in each bucket (last the one above all bounds) and the sum of their values."""
        self._sum.inc(total)
        for bucket, count in zip(self._buckets, counts, strict=True):
            if count:
                bucket.inc(count)


REQUESTS: Final = Counter(
    "scribe_proxy_requests", "Requests by route, backend and status class", ("route", "backend", "status")
)
SECONDS: Final = SummedHistogram(
    "scribe_proxy_request_duration_seconds",
    "Time until an answer was complete",
    ("route", "backend", "status"),
    buckets=BOUNDS,
)
FAILURES: Final = Counter(
    "scribe_proxy_failures", "Requests that no backend answered, by code", ("route", "backend", "code")
)
LEGACY_FAULTS: Final = Counter(
    "scribe_proxy_legacy_connection_faults", "Faults of connections to legacy, by cause", ("cause",)
)
LIMIT_REACHED: Final = Counter(
    "scribe_proxy_limit_reached", "Requests refused or ended by one of the gateway's own limits", ("limit",)
)


class _Sums:
    """The requests of one route, backend and status class since the process began, and how many are flushed."""

    __slots__ = ("_added", "_counter", "_histogram", "_labels", "counts", "requests", "total")

    def __init__(self, route: str, backend: str, status_class: int) -> None:
        self._labels = route, backend, f"{status_class}xx"
        self._counter = REQUESTS.labels(*self._labels)
        self._histogram: SummedHistogram | None = None
        self._added: tuple[int, list[int], float] = (0, [0] * (len(BOUNDS) + 1), 0.0)
        self.requests = 0
        self.counts = [0] * (len(BOUNDS) + 1)
        self.total = 0.0

    def flush(self) -> None:
        """Add the counts since the last flush."""
        now = self.requests, self.counts.copy(), self.total
        requests, counts, total = self._added
        self._added = now
        if now[0] > requests:
            self._counter.inc(now[0] - requests)
        if now[1] != counts:
            if self._histogram is None:
                self._histogram = SECONDS.labels(*self._labels)
            self._histogram.add([after - before for before, after in zip(counts, now[1], strict=True)], now[2] - total)


_SUMS: Final[dict[tuple[str | None, str, int], _Sums]] = {}
_FLUSHING: Final = threading.Lock()


class RequestMetrics:
    """An `Observer` that counts. Labels are the configured routes' names, so their number is bounded."""

    def __call__(self, record: RequestRecord) -> None:
        sums = _SUMS.get((record.route, record.backend, record.status // 100))
        if sums is None:
            sums = _sums_of(record)
        sums.requests += 1
        if record.kind == "http":
            sums.counts[bisect_left(BOUNDS, record.total)] += 1
            sums.total += record.total
        if record.failure is not None or record.cause is not None:
            _count_failure(record)


def flush() -> None:
    """Add the counts to the metrics that Prometheus reads. Safe to call from any thread."""
    with _FLUSHING:
        for sums in tuple(_SUMS.values()):
            sums.flush()


def _sums_of(record: RequestRecord) -> _Sums:
    status_class = record.status // 100
    sums = _Sums(record.route or "-", record.backend, status_class)
    return _SUMS.setdefault((record.route, record.backend, status_class), sums)


def _count_failure(record: RequestRecord) -> None:
    if record.failure is not None:
        FAILURES.labels(record.route or "-", record.backend, record.failure).inc()
    if record.failure == Overloaded.code:
        LIMIT_REACHED.labels(record.cause or "").inc()
    elif record.cause is not None:
        LEGACY_FAULTS.labels(record.cause).inc()

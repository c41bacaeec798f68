"""Counts of verdicts in the gateway process, published in batches to keep the cost per request low."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import TypeAlias

from proxy.comparison.verdicts import CountName, Reason
from proxy.gateway.request_record import ComparisonObserver, ComparisonRecord
from proxy.observability import metrics
from proxy.reports.events import SkippedEvent
from proxy.types import Backend

_Key: TypeAlias = tuple[str, Backend, CountName, Reason | None, int | None]


class Counts:
    """Publishes every outcome to metrics and `observers`.

    `record_skipped` receives the requests that never reached the worker; the worker records the others itself.
    Counts are published at most `publish_delay` seconds later.
    """

    def __init__(
        self,
        observers: Iterable[ComparisonObserver],
        record_skipped: Callable[[SkippedEvent], None] | None,
        publish_delay: float,
    ) -> None:
        self._observers = tuple(observers)
        self._record_skipped = record_skipped
        self._publish_delay = publish_delay
        self._compared: dict[_Key, int] = {}
        self._skipped: dict[_Key, int] = {}
        self._timer: asyncio.TimerHandle | None = None

    def add_verdict(
        self, route: str, served: Backend, verdict: CountName, reason: Reason | None, caller: int | None = None
    ) -> None:
        """Count a verdict of the worker, which has recorded it."""
        self._add(self._compared, (route, served, verdict, reason, caller))

    def add_skipped(self, route: str, served: Backend, reason: Reason) -> None:
        """Count a request that was skipped without the worker."""
        self._add(self._skipped, (route, served, "skipped", reason, None))

    def publish(self) -> None:
        """Publish all counts now."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        compared, self._compared = self._compared, {}
        skipped, self._skipped = self._skipped, {}
        for (route, served, verdict, reason, caller), number in (*compared.items(), *skipped.items()):
            self._publish(ComparisonRecord(route, served, verdict, reason, number, caller))
        for (route, served, _, reason, _), number in skipped.items():
            if self._record_skipped is not None and reason is not None:
                self._record_skipped(SkippedEvent(route, served, reason, number))

    def _add(self, counts: dict[_Key, int], key: _Key) -> None:
        counts[key] = counts.get(key, 0) + 1
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._publish_delay, self.publish)

    def _publish(self, record: ComparisonRecord) -> None:
        metrics.COMPARISONS.labels(record.route, record.served, record.verdict).inc(record.number)
        if record.reason is not None:
            metrics.SKIPPED.labels(record.route, record.reason).inc(record.number)
        for observer in self._observers:
            observer(record)

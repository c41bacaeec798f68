"""What came of shadows, counted: gathered for a moment, so that counting one costs a request next to nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Final, TypeAlias

from proxy.comparison.verdicts import Name, Reason
from proxy.gateway.request_record import ComparisonObserver, ComparisonRecord
from proxy.observability import metrics
from proxy.reports.events import SkippedEvent
from proxy.types import Backend

TELLING: Final = 0.1
"""Seconds that a count may wait for others."""

_Counted: TypeAlias = tuple[str, Backend, Name, Reason | None]


class Counts:
    """Tells the metrics and `observers` of all, and `note` of what the shadow process knows nothing of."""

    def __init__(self, observers: Iterable[ComparisonObserver], note: Callable[[SkippedEvent], None] | None) -> None:
        self._observers = tuple(observers)
        self._note = note
        self._done: dict[_Counted, int] = {}
        self._left: dict[_Counted, int] = {}
        self._telling: asyncio.TimerHandle | None = None

    def done(self, route: str, served: Backend, verdict: Name, reason: Reason | None) -> None:
        """The shadow process has come to a verdict, and noted it."""
        self._add(self._done, (route, served, verdict, reason))

    def leave(self, route: str, served: Backend, reason: Reason) -> None:
        """A request was skipped, without the shadow process."""
        self._add(self._left, (route, served, "skipped", reason))

    def tell(self) -> None:
        """Tell what was counted, now."""
        if self._telling is not None:
            self._telling.cancel()
            self._telling = None
        done, self._done = self._done, {}
        left, self._left = self._left, {}
        for counted, number in (*done.items(), *left.items()):
            self._tell(ComparisonRecord(*counted, number))
        for (route, served, _, reason), number in left.items():
            if self._note is not None and reason is not None:
                self._note(SkippedEvent(route, served, reason, number))

    def _add(self, counts: dict[_Counted, int], counted: _Counted) -> None:
        counts[counted] = counts.get(counted, 0) + 1
        if self._telling is None:
            self._telling = asyncio.get_running_loop().call_later(TELLING, self.tell)

    def _tell(self, compared: ComparisonRecord) -> None:
        metrics.COMPARISONS.labels(compared.route, compared.served, compared.verdict).inc(compared.number)
        if compared.reason is not None:
            metrics.SKIPPED.labels(compared.route, compared.reason).inc(compared.number)
        for observer in self._observers:
            observer(compared)

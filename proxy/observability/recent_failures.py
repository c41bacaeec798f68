"""Failures of the last minute by backend and code, and the limits that were reached, for the ops pages."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable
from typing import Final

from proxy.gateway.errors import Overloaded
from proxy.gateway.request_record import RequestRecord

SPAN: Final = 60
"""Length of the window in seconds."""


class RecentFailures:
    """An `Observer` that counts failures for each second of the window, in constant memory."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock: Final = clock
        self._seconds: Final[deque[tuple[int, Counter[tuple[str, str]]]]] = deque(maxlen=SPAN)

    def __call__(self, record: RequestRecord) -> None:
        if record.failure is None:
            return
        second = int(self._clock())
        if not self._seconds or self._seconds[-1][0] != second:
            self._seconds.append((second, Counter()))
        if record.failure == Overloaded.code:
            self._seconds[-1][1]["limit", record.cause or "in_flight"] += 1
        else:
            self._seconds[-1][1][record.backend, record.failure] += 1

    def of(self, kind: str) -> dict[str, int]:
        """Return the counts of the last minute: by code for a backend, by limit for the kind `limit`."""
        earliest, sums = self._clock() - SPAN, Counter[str]()
        for second, counts in tuple(self._seconds):
            if second > earliest:
                sums.update({name: count for (of, name), count in counts.items() if of == kind})
        return dict(sums)

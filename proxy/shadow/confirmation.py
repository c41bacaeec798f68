"""Remember confirmed differences, limit confirmations, and reduce verdicts to what is confirmed.

A difference counts as confirmed for `CONFIRMATION_TTL`. Confirmations beyond `MAX_CONFIRMATIONS` per second wait.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection
from dataclasses import replace
from typing import Final

from proxy.comparison.verdicts import Difference, Reason, Verdict, skipped
from proxy.reports.events import ComparisonEvent
from proxy.shadow.evidence import DifferenceKey, difference_key

CONFIRMATION_TTL: Final = 10.0
"""Seconds for which a confirmed difference needs no further confirmation."""
MAX_CONFIRMATIONS: Final = 10
"""Maximum number of requests per second that are repeated to confirm mismatches."""
MAX_CONFIRMED: Final = 10_000
"""Maximum number of cached confirmed differences."""
MAX_WAITING: Final = 64
"""Maximum number of confirmations that wait at once."""
MAX_WAIT: Final = 10.0
"""Maximum seconds for which a confirmation waits."""
_RETRY_DELAY: Final = 0.05


class ConfirmationCache:
    """Recently confirmed differences, and a rate limit for confirmations."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        *,
        max_confirmed: int = MAX_CONFIRMED,
        max_confirmations: int = MAX_CONFIRMATIONS,
        max_waiting: int = MAX_WAITING,
    ) -> None:
        self._clock, self._sleep = clock, sleep
        self._max_confirmed, self._max_confirmations, self._max_waiting = max_confirmed, max_confirmations, max_waiting
        self._expiries: dict[DifferenceKey, float] = {}
        self._second, self._remaining = 0, max_confirmations
        self._waiting = 0

    def confirmed(self, event: ComparisonEvent) -> tuple[Difference, ...]:
        """Return the differences of an event that are confirmed."""
        now = self._clock()
        return tuple(
            one for one in event.verdict.unexplained if self._expiries.get(difference_key(event, one), 0.0) > now
        )

    def add(self, event: ComparisonEvent, differences: Collection[Difference]) -> None:
        """Store differences of an event as confirmed for `CONFIRMATION_TTL`."""
        if len(self._expiries) > self._max_confirmed:
            self._expiries.clear()
        keys = (difference_key(event, one) for one in differences)
        self._expiries |= dict.fromkeys(keys, self._clock() + CONFIRMATION_TTL)

    async def acquire(self, event: ComparisonEvent) -> bool:
        """Wait until the rate limit allows a confirmation; return False if there will be none.

        There is none for an event with a difference that is confirmed meanwhile, after `MAX_WAIT` seconds, and beyond
        `MAX_WAITING` others.
        """
        if self._waiting >= self._max_waiting:
            return False
        deadline = self._clock() + MAX_WAIT
        self._waiting += 1
        try:
            while not self._take():
                if self.confirmed(event) or self._clock() >= deadline:
                    return False
                await self._sleep(_RETRY_DELAY)
        finally:
            self._waiting -= 1
        return True

    def _take(self) -> bool:
        now = int(self._clock())
        if self._second != now:
            self._second, self._remaining = now, self._max_confirmations
        self._remaining -= 1
        return self._remaining >= 0


def reduced(verdict: Verdict, confirmed: Collection[Difference], reason: Reason = "changed") -> Verdict:
    """Return a verdict with only some of its unexplained differences.

    Without any, it is the violation of the contract that the answers show, or skipped for `reason`.
    """
    if len(confirmed) == len(verdict.unexplained):
        return verdict
    dropped = set(map(id, verdict.unexplained)) - set(map(id, confirmed))
    differences = tuple(one for one in verdict.differences if id(one) not in dropped)
    unexplained = tuple(one for one in verdict.unexplained if id(one) not in dropped)
    if unexplained:
        return replace(verdict, differences=differences, unexplained=unexplained)
    if verdict.is_violation:
        return replace(verdict, name="violation", differences=differences, unexplained=())
    return skipped(reason)


def repeated(first: Verdict, second: Verdict) -> Verdict:
    """Return the first verdict with only the differences that the second has too; unchanged if there are none."""
    again = second.unexplained_keys
    return reduced(first, tuple(one for one in first.unexplained if (one.path, one.kind) in again) or first.unexplained)

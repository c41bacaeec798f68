"""What a route's two sides did lately: counts over a sliding window, in memory that traffic does not change.

A window is a ring of slices. Only the newest is written to, at the cost of a few additions a request; one that ends is
added to the sum, and one that has left the window is taken from it again. Latencies fall into buckets that grow by an
eighth of an octave (9%), from 0.1 ms to 105 s, so that percentiles and "slower than" can be told from at most 160
numbers. No clock is read here: times are `time.monotonic`'s, and whoever calls says them.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

SLICES: Final = 12
SHORTEST: Final = 1.0  # seconds of a slice: as often somebody looks at the clock, and shorter ones would stay empty
FINENESS: Final = 8  # buckets in an octave
FASTEST: Final = 1e-4  # seconds: the upper edge of the first bucket
LAST: Final = 20 * FINENESS


def bucket(seconds: float) -> int:
    """The bucket of a latency: 0 up to `FASTEST`, `LAST` from 105 s on."""
    if seconds <= FASTEST:
        return 0
    return min(LAST, math.ceil(math.log2(seconds / FASTEST) * FINENESS))


def edge(index: int) -> float:
    """The longest latency, in seconds, that falls into a bucket."""
    return FASTEST * math.exp2(index / FINENESS)


@dataclass(slots=True)
class RequestStats:
    """What one side answered: requests, those of them with 4xx and 5xx, and how many of each latency's bucket.

    A client that left before an answer counts as 4xx (its status is noted as 499): waiting in vain is what makes
    clients leave. WebSockets count as requests, without a latency. `dependency_failures` are counted beside the
    requests: answers that native says failed for want of a dependency.
    """

    requests: int = 0
    client_errors: int = 0
    server_errors: int = 0
    latencies: dict[int, int] = field(default_factory=dict)
    dependency_failures: int = 0

    @property
    def errors(self) -> int:
        return self.client_errors + self.server_errors

    @property
    def timed(self) -> int:
        """How many have a latency."""
        return sum(self.latencies.values())

    def percentile(self, part: float) -> float | None:
        """The latency, in seconds, that `part` of the requests do not exceed; None where there are none."""
        rank, passed = math.ceil(part * self.timed), 0
        for index in sorted(self.latencies):
            passed += self.latencies[index]
            if passed >= rank:
                return edge(index)
        return None

    def slower(self, seconds: float) -> int:
        """How many took longer for certain: a bucket that the limit falls into is left out."""
        return sum(count for index, count in self.latencies.items() if index and edge(index - 1) >= seconds)

    def add(self, other: RequestStats, sign: int = 1) -> None:
        """Add another's counts, or take them away again."""
        self.requests += sign * other.requests
        self.client_errors += sign * other.client_errors
        self.server_errors += sign * other.server_errors
        self.dependency_failures += sign * other.dependency_failures
        for index, count in other.latencies.items():
            left = self.latencies.get(index, 0) + sign * count
            if left:
                self.latencies[index] = left
            else:
                del self.latencies[index]


@dataclass(slots=True)
class WindowBucket:
    """Both sides over some time, and what shadow comparisons said: how many there were, and how many differed."""

    legacy: RequestStats = field(default_factory=RequestStats)
    native: RequestStats = field(default_factory=RequestStats)
    compared: int = 0
    differing: int = 0

    def __bool__(self) -> bool:
        return bool(self.legacy.requests or self.native.requests or self.native.dependency_failures or self.compared)

    def add(self, other: WindowBucket, sign: int = 1) -> None:
        """Add another's counts, or take them away again."""
        self.legacy.add(other.legacy, sign)
        self.native.add(other.native, sign)
        self.compared += sign * other.compared
        self.differing += sign * other.differing


class Window:
    """The last `span` seconds, less at most one slice: a twelfth, or SHORTEST. `now` is the slice to write to."""

    def __init__(self, span: float, started: float) -> None:
        self.span: Final = span
        self.now = WindowBucket()
        self._count: Final = max(1, min(SLICES, int(span / SHORTEST)))
        self._length: Final = span / self._count
        self._started = started
        self._ended: deque[WindowBucket] = deque(WindowBucket() for _ in range(self._count - 1))
        self._sum = WindowBucket()

    @property
    def seconds(self) -> float:
        """The length of a slice."""
        return self._length

    def turn(self, at: float) -> Iterator[WindowBucket]:
        """Go on to the time `at`; gives the slices that ended since, those in which something happened."""
        steps = int((at - self._started) / self._length)
        if steps <= 0:
            return
        self._started += steps * self._length
        for _ in range(min(steps, self._count)):
            ended, self.now = self.now, WindowBucket()
            self._ended.append(ended)
            self._sum.add(ended)
            self._sum.add(self._ended.popleft(), -1)
            if ended:
                yield ended

    def seen(self) -> WindowBucket:
        """All that the window holds, as a sum of its own."""
        seen = WindowBucket()
        seen.add(self._sum)
        seen.add(self.now)
        return seen

    def slices(self) -> tuple[WindowBucket, ...]:
        """The slices that have ended, oldest first."""
        return tuple(self._ended)

    def clear(self) -> None:
        """Forget all: what was seen is no longer of what there is."""
        self.now, self._sum = WindowBucket(), WindowBucket()
        self._ended = deque(WindowBucket() for _ in range(self._count - 1))

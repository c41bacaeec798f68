"""All routes as this process sees them: fed by each request and each comparison, asked by the guards and the pages.

Observing costs a look-up and a few additions; everything else happens in `turn`, once a second. What a guard concludes
is remembered only as long as it is true: `forget` after a share was changed, since what was seen before then says
nothing of what is there now.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from proxy.config.models import Guard, Route
from proxy.gateway.request_record import ComparisonRecord, RequestRecord
from proxy.rollout.analysis.analysis import Analysis, analyse
from proxy.rollout.analysis.window import RequestStats, Window, WindowBucket, bucket

USUAL: Final = Guard()  # how long a route without a guard is looked back on, for the pages
DIFFERING: Final = frozenset(("mismatch", "violation"))
OWN: Final = frozenset(("gateway_overloaded",))  # failures that are neither side's


class RouteStats:
    """One route. `gathered` is what has been seen since it was last taken for the evidence of a stage."""

    def __init__(self, route: Route, now: float) -> None:
        self.route = route
        self.window: Final = Window((route.guard or USUAL).window, now)
        self.baseline: RequestStats | None = None
        self.gathered = WindowBucket()

    def turn(self, now: float) -> None:
        """Go on to `now` (monotonic seconds)."""
        if self.route.guard is not None and self.window.now.legacy.requests:
            legacy = self.window.seen().legacy
            if legacy.requests >= self.route.guard.minimum and 2 * legacy.server_errors < legacy.requests:
                self.baseline = legacy  # but no outage of legacy's becomes what is usual
        for ended in self.window.turn(now):
            self.gathered.add(ended)

    def judgement(self, *, healthy: bool) -> Analysis | None:
        """What the route's guard concludes; None without a guard."""
        guard = self.route.guard
        return analyse(guard, self.window.seen(), self.baseline, healthy=healthy) if guard is not None else None

    def forget(self) -> None:
        """Begin anew; what legacy showed stays true."""
        self.window.clear()
        self.gathered = WindowBucket()

    def take(self) -> WindowBucket:
        """What was gathered, once."""
        gathered, self.gathered = self.gathered, WindowBucket()
        return gathered


class StatsRegistry:
    """An `Observer`, and a `ComparisonObserver` by its method `compared`."""

    def __init__(self) -> None:
        self._watches: dict[str, RouteStats] = {}

    def __call__(self, observation: RequestRecord) -> None:
        watch = self._watches.get(observation.route or "")
        if watch is None or observation.failure in OWN or observation.reason == "override":
            return  # what somebody tries out by an override is no caller's
        now = watch.window.now
        if observation.dependency is not None:
            now.native.dependency_failures += 1
            return
        if observation.reason == "native-error":  # legacy has answered in native's place
            now.native.requests += 1
            now.native.server_errors += 1
            return
        tally = now.native if observation.backend == "native" else now.legacy
        tally.requests += 1
        status = observation.status
        if status >= 500 or observation.failure is not None:
            tally.server_errors += 1
        elif status >= 400:
            tally.client_errors += 1
        if observation.kind == "http":
            index = bucket(observation.head)
            tally.latencies[index] = tally.latencies.get(index, 0) + 1

    def compared(self, comparison: ComparisonRecord) -> None:
        """Count shadow comparisons; what could not be compared says nothing of either side."""
        watch = self._watches.get(comparison.route)
        if watch is not None and comparison.verdict != "skipped":
            watch.window.now.compared += comparison.number
            watch.window.now.differing += comparison.number * (comparison.verdict in DIFFERING)

    def adopt(self, routes: Iterable[Route], now: float) -> None:
        """Go on by changed routes. One whose window is as long as it was keeps what was seen of it."""
        before, self._watches = self._watches, {}
        for route in routes:
            known = before.get(route.name)
            if known is None or _other(known.route, route):
                known = RouteStats(route, now)
            known.route = route
            self._watches[route.name] = known

    def turn(self, now: float) -> None:
        """Go on to `now` (monotonic seconds), every route."""
        for watch in self:
            watch.turn(now)

    def __iter__(self) -> Iterator[RouteStats]:
        return iter(self._watches.values())

    def of(self, route: str) -> RouteStats:
        """One route's. Raises KeyError where there is no such route."""
        return self._watches[route]


def _other(before: Route, after: Route) -> bool:
    """Whether what was seen of a route says nothing of what it is now."""
    window = (before.guard or USUAL).window != (after.guard or USUAL).window
    return window or before.revision != after.revision or before.match != after.match

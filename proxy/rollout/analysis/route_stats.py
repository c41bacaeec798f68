"""Statistics of all routes in this process: fed by requests and comparisons, read by the guards and the ops pages.

Recording costs a dict access and a few additions; everything else happens in `advance`, once a second. Call `reset`
after a change of a share: earlier requests are no evidence about the new one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from proxy.config.models import Route
from proxy.config.route_models import Guard
from proxy.gateway.request_record import ComparisonRecord, RequestRecord
from proxy.rollout.analysis.analysis import Analysis, analyse
from proxy.rollout.analysis.window import RequestStats, Window, WindowBucket, bucket

DEFAULT_GUARD: Final = Guard()
"""Its window applies to routes without a guard, for the ops pages."""
DIFFERING: Final = frozenset(("mismatch", "violation"))
GATEWAY_FAILURES: Final = frozenset(("gateway_overloaded",))  # failures of neither backend


class RouteStats:
    """Statistics of one route. `pending` are the counts since evidence was last taken."""

    def __init__(self, route: Route, now: float) -> None:
        self.route = route
        self.window: Final = Window((route.guard or DEFAULT_GUARD).window, now)
        self.baseline: RequestStats | None = None
        self.pending = WindowBucket()

    def advance(self, now: float) -> None:
        """Advance the window to `now` (monotonic seconds)."""
        if self.route.guard is not None and self.window.now.legacy.requests:
            legacy = self.window.total().legacy
            if legacy.requests >= self.route.guard.minimum and 2 * legacy.server_errors < legacy.requests:
                self.baseline = legacy  # an outage of legacy is not a baseline
        for ended in self.window.advance(now):
            self.pending.add(ended)

    def analyse(self, *, healthy: bool) -> Analysis | None:
        """Evaluate the route's guard; None without a guard."""
        guard = self.route.guard
        return analyse(guard, self.window.total(), self.baseline, healthy=healthy) if guard is not None else None

    def reset(self) -> None:
        """Clear the window and the pending evidence; the baseline stays."""
        self.window.clear()
        self.pending = WindowBucket()

    def take(self) -> WindowBucket:
        """Return the pending counts and clear them."""
        pending, self.pending = self.pending, WindowBucket()
        return pending


class StatsRegistry:
    """The statistics of all routes: an `Observer`, and a `ComparisonObserver` by its method `compared`."""

    def __init__(self) -> None:
        self._stats: dict[str, RouteStats] = {}
        self._groups: dict[str, list[RouteStats]] = {}

    def __call__(self, observation: RequestRecord) -> None:
        stats = self._stats.get(observation.route or "")
        if stats is None or observation.failure in GATEWAY_FAILURES or observation.reason == "override":
            return  # a request with an override is not a caller's
        now = stats.window.now
        if observation.dependency is not None:
            now.native.dependency_failures += 1
            return
        if observation.reason == "native-error":  # legacy has answered after native failed
            now.native.requests += 1
            now.native.server_errors += 1
            return
        counts = now.native if observation.backend == "native" else now.legacy
        counts.requests += 1
        status = observation.status
        if status >= 500 or observation.failure is not None:
            counts.server_errors += 1
        elif status >= 400:
            counts.client_errors += 1
        if observation.kind == "http":
            index = bucket(observation.head)
            counts.latencies[index] = counts.latencies.get(index, 0) + 1

    def compared(self, comparison: ComparisonRecord) -> None:
        """Count shadow comparisons; skipped ones do not count."""
        stats = self._stats.get(comparison.route)
        if stats is not None and comparison.verdict != "skipped":
            stats.window.now.compared += comparison.number
            stats.window.now.differing += comparison.number * (comparison.verdict in DIFFERING)

    def set_routes(self, routes: Iterable[Route], now: float) -> None:
        """Replace the routes. A route that is still the same, with a window of the same length, retains its counts."""
        before, self._stats = self._stats, {}
        for route in routes:
            known = before.get(route.name)
            if known is None or _is_another(known.route, route):
                known = RouteStats(route, now)
            known.route = route
            self._stats[route.name] = known
        self._groups = {}
        for stats in self:
            self._groups.setdefault(stats.route.domain, []).append(stats)

    def advance(self, now: float) -> None:
        """Advance the windows of all routes to `now` (monotonic seconds)."""
        for stats in self:
            stats.advance(now)

    def __iter__(self) -> Iterator[RouteStats]:
        return iter(self._stats.values())

    def of(self, route: str) -> RouteStats:
        """Return the statistics of one route. Raises KeyError where there is none."""
        return self._stats[route]

    def of_group(self, route: Route) -> Sequence[RouteStats]:
        """Return the statistics of all routes of a route's group."""
        return self._groups[route.domain]


def _is_another(before: Route, after: Route) -> bool:
    """Return True where the counts of a route are no evidence about the changed route."""
    window = (before.guard or DEFAULT_GUARD).window != (after.guard or DEFAULT_GUARD).window
    return window or before.revision != after.revision or before.match != after.match

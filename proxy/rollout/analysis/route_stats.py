"""Statistics of all routes in this process: updated by requests and comparisons, read by guards and ops pages.

Recording costs a dict access and a few additions; all other work is done in `advance`, once per second. Call `reset`
after a change of a share, because earlier requests are not evidence about the new share.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Final

from proxy.config.models import Route
from proxy.config.route_models import Guard
from proxy.gateway.request_record import ComparisonRecord, RequestRecord
from proxy.rollout.analysis.analysis import Analysis, analyse, slow_limit
from proxy.rollout.analysis.callers import slot_of
from proxy.rollout.analysis.window import Measure, RequestStats, Window, WindowCounts, latency_bucket

DEFAULT_GUARD: Final = Guard()
"""Default guard. Its window applies to routes without a guard, for the ops pages."""
DIFFERING: Final = frozenset(("mismatch", "violation", "both"))
GATEWAY_FAILURES: Final = frozenset(("gateway_overloaded",))  # failures of neither backend


class RouteStats:
    """Statistics of one route. `pending`: counts since the last call of `take`.

    `slow_after`: seconds beyond which a request counts as slow for its caller. During the first window, latencies are
    not compared with an earlier baseline: a process that starts is slow with both backends.
    """

    def __init__(self, route: Route, now: float) -> None:
        self.route = route
        length = (route.guard or DEFAULT_GUARD).window
        self.window: Final = Window(length, now)
        self._starts_until: Final = now + length
        self._is_starting = True
        self.baseline: RequestStats | None = None
        self.pending = WindowCounts()
        self.slow_after = math.inf
        self._advanced: object = None  # contents of the window at the last `advance`
        self._analysed: tuple[object, RequestStats | None, Analysis] | None = None  # mark, baseline, result

    def advance(self, now: float) -> None:
        """Advance the window to `now` (monotonic seconds)."""
        self._is_starting = now < self._starts_until
        if self.window.mark == self._advanced and not self.window.is_due(now):
            return
        guard, is_due = self.route.guard, self.window.is_due(now)
        legacy = self.window.legacy_total()
        if guard is not None and self.window.now.legacy.requests:
            self._set_baseline(guard, legacy)
        for ended in self.window.advance(now):
            self.pending.add(ended)
        if guard is not None:
            self._set_slow_after(guard, self.window.legacy_total() if is_due else legacy)
        self._advanced = self.window.mark

    def _set_baseline(self, guard: Guard, legacy: RequestStats) -> None:
        if legacy.requests >= guard.minimum and 2 * legacy.server_errors < legacy.requests:
            self.baseline = legacy  # an outage of legacy is not a baseline

    def _set_slow_after(self, guard: Guard, legacy: RequestStats) -> None:
        limit = slow_limit(legacy if legacy.requests >= guard.minimum else self.baseline, guard)
        self.slow_after = limit if limit is not None else math.inf

    def analyse(self, *, healthy: bool) -> Analysis | None:
        """Evaluate the route's guard, once for the same counts; None without a guard."""
        guard = self.route.guard
        if guard is None:
            return None
        mark, baseline = (self.window.mark, guard, healthy, self._is_starting), self.baseline
        if self._analysed is None or self._analysed[0] != mark or self._analysed[1] is not baseline:
            usual = replace(baseline, latencies={}) if baseline is not None and self._is_starting else baseline
            total, outage = self.window.total(), self.window.outage
            self._analysed = mark, baseline, analyse(guard, total, usual, healthy=healthy, outage=outage)
        return self._analysed[2]

    def reset(self) -> None:
        """Clear the window and the pending evidence; the baseline stays."""
        self.window.clear()
        self.pending = WindowCounts()

    def take(self) -> WindowCounts:
        """Return the pending counts and clear them."""
        pending, self.pending = self.pending, WindowCounts()
        return pending


class StatsRegistry:
    """The statistics of all routes: an `Observer`, and a `ComparisonObserver` by its method `compared`."""

    def __init__(self) -> None:
        self._stats: dict[str, RouteStats] = {}
        self._groups: dict[str, list[RouteStats]] = {}

    def __call__(self, observation: RequestRecord) -> None:
        stats = self._stats.get(observation.route or "")
        if stats is None or observation.failure in GATEWAY_FAILURES or observation.reason == "override":
            return  # a request with an override is a test, not a caller's
        now = stats.window.now
        if observation.dependency is not None:
            now.native.dependency_failures += 1
            if observation.caller is not None:
                now.native.count(Measure.DEPENDENCY_FAILURES, slot_of(observation.caller))
            return
        if observation.reason == "native-error":  # legacy has answered after native failed
            now.native.requests += 1
            now.native.server_errors += 1
            if observation.caller is not None:
                self._count_caller(now.native, Measure.SERVER_ERRORS, slot_of(observation.caller), slow=False)
            return
        counts = now.native if observation.backend == "native" else now.legacy
        counts.requests += 1
        status, measure = observation.status, Measure.REQUESTS
        if status >= 500 or observation.failure is not None:
            counts.server_errors += 1
            measure = Measure.SERVER_ERRORS
        elif status >= 400 and not observation.declared:
            counts.client_errors += 1
            measure = Measure.CLIENT_ERRORS
        if observation.kind == "http":
            index = latency_bucket(observation.head)
            counts.latencies[index] = counts.latencies.get(index, 0) + 1
        if observation.caller is not None:
            self._count_caller(counts, measure, slot_of(observation.caller), observation.head > stats.slow_after)

    def _count_caller(self, counts: RequestStats, measure: Measure, slot: int, slow: bool) -> None:
        counts.count(Measure.REQUESTS, slot)
        if measure is not Measure.REQUESTS:
            counts.count(measure, slot)
        if slow:
            counts.count(Measure.SLOW, slot)

    def compared(self, comparison: ComparisonRecord) -> None:
        """Count shadow comparisons; skipped ones do not count."""
        stats = self._stats.get(comparison.route)
        if stats is not None and comparison.verdict != "skipped":
            now, differs = stats.window.now, comparison.verdict in DIFFERING
            now.compared += comparison.number
            now.differing += comparison.number * differs
            if comparison.caller is not None:
                for measure in (Measure.COMPARED, Measure.DIFFERING)[: 1 + differs]:
                    now.native.count(measure, slot_of(comparison.caller), comparison.number)

    def set_routes(self, routes: Iterable[Route], now: float) -> None:
        """Replace the routes. An unchanged route with the same length of window retains its counts."""
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
        """Return the statistics of one route. Raises KeyError if there is none."""
        return self._stats[route]

    def of_group(self, route: Route) -> Sequence[RouteStats]:
        """Return the statistics of all routes of a route's group."""
        return self._groups[route.domain]


def _is_another(before: Route, after: Route) -> bool:
    """Return True if the counts of a route are not evidence about the changed route."""
    window = (before.guard or DEFAULT_GUARD).window != (after.guard or DEFAULT_GUARD).window
    return window or before.revision != after.revision or before.match != after.match

"""The live state of a process, published for the ops pages of other processes, and the sum of several. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest

from proxy.rollout.analysis.analysis import Analysis
from proxy.rollout.analysis.window import RequestStats, Window


@dataclass(frozen=True, slots=True)
class BackendTraffic:
    """Requests of one backend over the window, without the counts by caller.

    `rates` and `slowest` have one value per slice of the window, oldest first: requests per second, and the 95th
    percentile of the latency in seconds, None without requests.
    """

    total: RequestStats = field(default_factory=RequestStats)
    rates: tuple[float, ...] = ()
    slowest: tuple[float | None, ...] = ()

    @classmethod
    def of(
        cls, total: RequestStats, requests: Sequence[int], slowest: Sequence[float | None], seconds: float
    ) -> BackendTraffic:
        """Return the traffic of slices of `seconds` each, by their requests and percentiles, and their total."""
        return cls(total, tuple([number / seconds for number in requests]), tuple(slowest))

    @classmethod
    def sum_of(cls, parts: Sequence[BackendTraffic]) -> BackendTraffic:
        """Return the sum of several processes; `slowest` is their maximum."""
        total = RequestStats()
        for part in parts:
            total.add(part.total)
        rates = tuple(map(sum, zip_longest(*(part.rates for part in parts), fillvalue=0.0)))
        slowest = zip_longest(*(part.slowest for part in parts))
        known = ([value for value in slice_ if value is not None] for slice_ in slowest)
        return cls(total, rates, tuple(max(values, default=None) for values in known))


@dataclass(frozen=True, slots=True)
class RouteTraffic:
    """Requests of one route over the window, by backend."""

    legacy: BackendTraffic = BackendTraffic()
    native: BackendTraffic = BackendTraffic()

    @classmethod
    def of(cls, window: Window) -> RouteTraffic:
        """Return the traffic of a window."""
        total = window.total(by_caller=False)
        ended = window.slices()
        seconds = window.seconds
        legacy, native = zip(*(one.slowest for one in ended), strict=True) if ended else ((), ())
        return cls(
            BackendTraffic.of(total.legacy, [one.counts.legacy.requests for one in ended], legacy, seconds),
            BackendTraffic.of(total.native, [one.counts.native.requests for one in ended], native, seconds),
        )

    @classmethod
    def sum_of(cls, parts: Iterable[RouteTraffic]) -> RouteTraffic:
        """Return the sum of several processes."""
        every = list(parts)
        legacy = BackendTraffic.sum_of([part.legacy for part in every])
        return cls(legacy, BackendTraffic.sum_of([part.native for part in every]))

    def __bool__(self) -> bool:
        return bool(self.legacy.total.requests or self.native.total.requests)


@dataclass(frozen=True, slots=True)
class ProcessHealth:
    """The health of both backends as observed by one process.

    `legacy_down`: the circuit breaker is open. `limits`: a sentence for each limit that is reached. `revision`: that
    of the configuration in force since `revision_age` seconds (None if unknown). `refused`: the first problem of the
    file, empty if it is valid. `shadow_failures`: how often in a row the shadow process has ended soon after its start.
    """

    legacy_down: bool = False
    native_started: bool = True
    native_healthy: bool = True
    limits: tuple[str, ...] = ()
    revision: str = ""
    refused: str = ""
    revision_age: float | None = None
    shadow_failures: int = 0


@dataclass(frozen=True, slots=True)
class ProcessSnapshot:
    """The state of one process of the fleet, `age` seconds ago; `name` is its host and process id.

    Requests in flight, failures of legacy by code in the last minute, traffic and the guard's analysis by route.
    `clock`: the process's own time of the publication, in seconds since the epoch; 0 is unknown. `clock_ahead`: seconds
    by which that was ahead of the store's clock.
    """

    id: str
    in_flight: int = 0
    legacy_failures: Mapping[str, int] = field(default_factory=dict)
    routes: Mapping[str, RouteTraffic] = field(default_factory=dict)
    guards: Mapping[str, Analysis] = field(default_factory=dict)
    health: ProcessHealth = ProcessHealth()
    name: str = ""
    age: float = 0.0
    clock: float = 0.0
    clock_ahead: float = 0.0

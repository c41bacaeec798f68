"""One route now: its share, rollout and guard, and both backends' numbers. Pure, and quick to import."""

from __future__ import annotations

from dataclasses import dataclass

from proxy.ops.rollout_views import CapView, ProgressView
from proxy.rollout.analysis.analysis import Analysis
from proxy.rollout.model import Attribution, LimitedBy


@dataclass(frozen=True, slots=True)
class BackendNow:
    """One backend of a route. `rate` is the current number of requests per second; the rest is of the whole window.

    Latencies are in seconds. `rates` and `slowest` are of the window's slices, oldest first: requests per second, and
    the 95th percentile, None without requests.
    """

    rate: float
    requests: int
    errors: int
    server_errors: int
    p50: float | None
    p95: float | None
    p99: float | None
    rates: tuple[float, ...]
    slowest: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class RouteNow:
    """One route. `file` and `effective` are shares in percent; `by` is the limit of the latter, `reason` explains it.

    `guard`: the worst analysis of its guard in any process. `guard_processes`: the processes with that outcome.
    `version` identifies this state: an action may be limited to it. `window` is in seconds.
    """

    name: str
    match: str
    file: float
    effective: float
    by: LimitedBy
    reason: str
    version: int
    progress: ProgressView | None
    paused: Attribution | None
    missed: Attribution | None
    cap: CapView | None
    guard: Analysis | None
    guard_processes: tuple[str, ...]
    window: float
    legacy: BackendNow
    native: BackendNow

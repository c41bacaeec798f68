"""Measure the cost of routing decisions, statistics and guards: the same requests with none and with all of them.

All requests go to legacy. `nothing` has a file without a native app, so that no decision depends on a request. `shares`
computes each caller's bucket; `guards` also evaluates each route every second, and shares the state through MongoDB.
The gateway's processor time for a request is measured too, because other work on the machine changes it little.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from starlette.types import Receive, Scope, Send

from bench.contenders import server_group
from bench.load import Reading, in_turns, load
from bench.report import Comparison
from demo.managed_process import ManagedProcess
from demo.mongod import mongodb
from proxy.config.models import Route
from proxy.gateway.request_record import RequestRecord
from proxy.rollout.analysis.route_stats import StatsRegistry

ROUTES = 30
ROUNDS = 4
"""More rounds than in other parts."""
SECONDS = 2.0
SHARE = "native: 1%"
GUARD = f"{SHARE}\n    guard: {{mismatch: 1%}}\n    rollout: {{stages: [1%, 100%]}}"


@dataclass(frozen=True, slots=True)
class Watching:
    """Processor time in seconds: of one observation, of one evaluation of a busy route, of a request by contender."""

    observing: float
    judging: float
    requests: dict[str, float]


async def native(scope: Scope, receive: Receive, send: Send) -> None:
    """Raise an error: no request of this bench reaches the native app."""
    raise AssertionError("every caller of this bench is legacy's")


def guarding(seconds: float, rounds: int) -> tuple[Comparison, Watching]:
    """Measure at 16 connections in many short rounds, since the difference is smaller than the machine's variation."""
    rounds, seconds = rounds * ROUNDS, min(seconds, SECONDS)
    with mongodb() as url, server_group() as contenders:
        upstream = contenders.upstream()
        files = {
            "nothing": _file(upstream, "", ""),
            "shares": _file(upstream, SHARE, "native: bench.guarding:native"),
            "guards": _file(
                upstream, GUARD, f"native: bench.guarding:native\nmongodb: {{url: '{url}', database: bench}}"
            ),
        }
        costs = {name: _Cost(*contenders.gateway(file, name=name), seconds) for name, file in files.items()}
        readings = in_turns({name: cost.measure for name, cost in costs.items()}, rounds)
        requests = {name: cost.seconds / cost.requests for name, cost in costs.items()}
    return Comparison("deciding, observing, guarding", readings, "nothing"), Watching(*_alone(), requests)


class _Cost:
    """Loads one gateway and adds up its processor time."""

    def __init__(self, port: int, child: ManagedProcess, length: float) -> None:
        self.seconds = self.requests = 0.0
        self._url, self._pid, self._length = f"http://127.0.0.1:{port}/small", child.pid, length

    def measure(self) -> Reading:
        before = self._used()
        reading = load(self._url, 16, self._length)
        self.seconds += self._used() - before
        self.requests += reading.rate * self._length
        return reading

    def _used(self) -> float:
        """Return the processor time so far in seconds: fields 14 and 15 of `/proc/PID/stat` (proc(5))."""
        fields = Path(f"/proc/{self._pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _alone(count: int = 200_000) -> tuple[float, float]:
    """Measure the statistics and the guard without a gateway."""
    stats = StatsRegistry()
    stats.set_routes([Route.model_validate({"name": "a", "match": "GET /a", "native": "50%", "guard": {}})], 0.0)
    backends = [
        RequestRecord("1", "http", "GET", "a", "/a", backend, "share", 7, 200, None, 0.001 * (1 + number % 50), 0.1)
        for number, backend in enumerate(("legacy", "native") * 50)
    ]
    begun = time.process_time()
    for number in range(count):
        stats(backends[number % 100])
    observed = time.process_time()
    for number in range(1000):
        stats.advance(number / 100)
        stats.of("a").analyse(healthy=True)
    return (observed - begun) / count, (time.process_time() - observed) / 1000


def _file(legacy: int, route: str, rest: str) -> str:
    """Return a routing file of which only the last route matches, so that all are tried."""
    lines = [f"legacy: {{url: http://127.0.0.1:{legacy}}}", rest, "bucketing: {salt: bench}", "routes:"]
    names = [(f"resource{number}.get", f"GET /api/resource{number}/{{id}}/part") for number in range(ROUTES - 1)]
    for name, match in (*names, ("everything", "* /*")):
        lines += [f"  - name: {name}", f"    match: '{match}'", f"    {route}"]
    return "\n".join(lines) + "\n"

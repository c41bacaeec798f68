"""What deciding, observing and guarding cost: the same requests forwarded without any of it, and with all of it.

All requests go to legacy either way. `nothing` has a file without a native app: every decision is made already.
`shares` draws each caller's bucket; `guards` also judges each route each second, and has all shared through MongoDB.
The processor time a request takes of the gateway is told too: other work on the machine does not change it much.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from starlette.types import Receive, Scope, Send

from bench.contenders import field
from bench.load import Reading, in_turns, load
from bench.report import Comparison
from demo.managed_process import ManagedProcess
from demo.mongod import mongodb
from proxy.config.models import Route
from proxy.gateway.request_record import RequestRecord
from proxy.rollout.analysis.route_stats import StatsRegistry

ROUTES = 30
ROUNDS = 4
"""Times as many as of other benches."""
SECONDS = 2.0
SHARE = "native: 1%"
GUARD = f"{SHARE}\n    guard: {{mismatch: 1%}}\n    rollout: {{stages: [1%, 100%]}}"


@dataclass(frozen=True, slots=True)
class Watching:
    """Seconds of processor time: of one observation, of one judgement of a busy route; of requests, by contender."""

    observing: float
    judging: float
    requests: dict[str, float]


async def native(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer nothing: the native app of these files, which no request reaches."""
    raise AssertionError("every caller of this bench is legacy's")


def guarding(seconds: float, rounds: int) -> tuple[Comparison, Watching]:
    """At 16 connections, in many short rounds: what is sought is less than the machine's own ups and downs."""
    rounds, seconds = rounds * ROUNDS, min(seconds, SECONDS)
    with mongodb() as url, field() as contenders:
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
    """Loads one gateway, and adds up what that takes of it."""

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
        """Seconds of processor time, so far: the 14th and 15th field of proc(5)'s stat."""
        fields = Path(f"/proc/{self._pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _alone(count: int = 200_000) -> tuple[float, float]:
    """Measure the statistics and the guard alone."""
    stats = StatsRegistry()
    stats.set_routes([Route.model_validate({"name": "a", "match": "GET /a", "native": "50%", "guard": {}})], 0.0)
    backends = [
        RequestRecord("1", "http", "GET", "a", "/a", backend, "share", 7, 200, None, 0.001 * (1 + turn % 50), 0.1)
        for turn, backend in enumerate(("legacy", "native") * 50)
    ]
    begun = time.process_time()
    for turn in range(count):
        stats(backends[turn % 100])
    observed = time.process_time()
    for turn in range(1000):
        stats.advance(turn / 100)
        stats.of("a").analyse(healthy=True)
    return (observed - begun) / count, (time.process_time() - observed) / 1000


def _file(legacy: int, route: str, rest: str) -> str:
    """So many routes; the last one takes everything, so that all are asked."""
    lines = [f"legacy: {{url: http://127.0.0.1:{legacy}}}", rest, "bucketing: {salt: bench}", "routes:"]
    names = [(f"resource{number}.get", f"GET /api/resource{number}/{{id}}/part") for number in range(ROUTES - 1)]
    for name, match in (*names, ("everything", "* /*")):
        lines += [f"  - name: {name}", f"    match: '{match}'", f"    {route}"]
    return "\n".join(lines) + "\n"

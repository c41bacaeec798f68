"""`python -m bench.shadow_cost`: measure CPU time per comparison, and the served p99 with the shadow on and off.

Three gateways take the same constant load in many short runs, in random order. One has no shadow. One shadows all
reads on a healthy native app with the default settings, which shed load. One compares every read. The latencies of all
runs of a gateway are pooled, because one run has too few for a p99. The interval of a ratio is from a bootstrap over
the rounds. Processor time is counted per process, so that other work on the machine changes it little.

All processes are in one session. In sessions of their own, the kernel would share the cores between load, upstream and
gateway first (autogroups, sched(7)), so that the shadow process would take a core from load and upstream despite its
priority. In production those are on other machines, and the gateway's processes share one group, that of a container.
"""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.contenders import ServerGroup, server_group
from bench.isolation import await_shadow, children_of, counted
from bench.load import load
from bench.openloop import OpenLoop
from demo.ports import free_port

RATE: Final = 300.0
"""Requests per second, far below the capacity of one core, so that every request can be compared."""
CONNECTIONS: Final = 16
SECONDS: Final = 1.0
ROUNDS: Final = 40
RESAMPLES: Final = 1000
WARM_UP: Final = 1.0
OFF: Final = "off"
SHADOWS: Final = {
    OFF: ("0%", ""),
    "on": ("100%", ""),
    "on, every read": ("100%", "max_cpu_wait: 100%, concurrency: 64"),
}
"""For each gateway, the share of reads to shadow and the settings of the shadow."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run of one gateway: latencies and processor times in seconds, and the number of comparisons."""

    latencies: Sequence[float]
    gateway: float
    shadow: float
    compared: int


@dataclass(frozen=True, slots=True)
class ShadowCost:
    """All runs of one gateway.

    `gateway`: processor time per request, in µs. `shadow`: processor time per comparison, in µs. p50 and p99: in
    milliseconds. `ratio`: p99 relative to the gateway without a shadow, with its 95% `interval`. `compared`: share of
    requests.
    """

    gateway: float
    shadow: float
    compared: float
    p50: float
    p99: float
    ratio: float
    interval: tuple[float, float]


class _Contender:
    """A gateway under load."""

    def __init__(self, contenders: ServerGroup, upstream: int, name: str) -> None:
        share, settings = SHADOWS[name]
        port, self._ops = free_port(), free_port()
        file = contenders.directory / f"cost-{port}.yaml"
        file.write_text(
            f"legacy: {{url: 'http://127.0.0.1:{upstream}'}}\nnative: bench.shadowed:healthy\n"
            f"mongodb: {{url: ''}}\nshadow: {{{settings}}}\n"
            f"routes: [{{name: everything, match: '* /*', shadow: {share}}}]\n"
        )
        child = contenders.serve(file, port, self._ops)
        assert child.pid is not None
        self._port, self._pid = port, child.pid
        if name != OFF:
            await_shadow(port, self._ops)
        load(f"http://127.0.0.1:{port}/small", CONNECTIONS, WARM_UP)

    def run(self, rate: float, seconds: float) -> Run:
        workers = children_of(self._pid)
        with OpenLoop(self._port, "/small", CONNECTIONS) as requests:
            compared = counted(self._ops)["match"]
            gateway, shadow = cpu_of(self._pid), sum(map(cpu_of, workers))
            answers = requests.measure(rate, seconds)
            gateway, shadow = cpu_of(self._pid) - gateway, sum(map(cpu_of, workers)) - shadow
            return Run(answers.latencies, gateway, shadow, counted(self._ops)["match"] - compared)


def cpu_of(pid: int) -> float:
    """Return the processor time of one process in seconds (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(rounds: int = ROUNDS, seconds: float = SECONDS, rate: float = RATE) -> dict[str, ShadowCost]:
    """Return the cost of each gateway's shadow."""
    with server_group(own_sessions=False) as contenders:
        upstream = contenders.upstream()
        gateways = {name: _Contender(contenders, upstream, name) for name in SHADOWS}
        runs: dict[str, list[Run]] = {name: [] for name in gateways}
        for _ in range(rounds):
            for name in random.sample(list(gateways), len(gateways)):
                runs[name].append(gateways[name].run(rate, seconds))
    return {name: _cost(runs[name], runs[OFF]) for name in runs}


def _cost(runs: Sequence[Run], off: Sequence[Run]) -> ShadowCost:
    requests, compared = sum(len(run.latencies) for run in runs), sum(run.compared for run in runs)
    return ShadowCost(
        1e6 * sum(run.gateway for run in runs) / requests,
        1e6 * sum(run.shadow for run in runs) / max(compared, 1),
        compared / requests,
        1e3 * percentile(runs, 50),
        1e3 * percentile(runs, 99),
        percentile(runs, 99) / percentile(off, 99),
        interval(runs, off),
    )


def percentile(runs: Sequence[Run], percent: float) -> float:
    """Return a percentile, in seconds, of the pooled latencies of all runs."""
    latencies = sorted(latency for run in runs for latency in run.latencies)
    return latencies[min(len(latencies) - 1, int(len(latencies) * percent / 100))]


def interval(runs: Sequence[Run], off: Sequence[Run], resamples: int = RESAMPLES) -> tuple[float, float]:
    """Return the 95% interval of the ratio of two p99, from rounds drawn with replacement (bootstrap)."""
    pairs, ratios = list(zip(runs, off, strict=True)), []
    for _ in range(resamples):
        drawn = random.choices(pairs, k=len(pairs))
        with_shadow, without = zip(*drawn, strict=True)
        ratios.append(percentile(with_shadow, 99) / percentile(without, 99))
    ratios.sort()
    return ratios[int(0.025 * resamples)], ratios[int(0.975 * resamples)]


if __name__ == "__main__":
    costs = measure()
    print(
        "| shadow | gateway µs a request | shadow process µs a comparison | compared | p50 ms | p99 ms | p99, ratio |"
    )
    print("|---|---|---|---|---|---|---|")
    for name, cost in costs.items():
        shown = f"{cost.ratio:.2f} ({cost.interval[0]:.2f} to {cost.interval[1]:.2f})"
        print(f"| {name} | {cost.gateway:.0f} | {cost.shadow:.0f} | {cost.compared:.0%} |", end=" ")
        print(f"{cost.p50:.2f} | {cost.p99:.2f} | {shown} |")

"""`python -m bench.shadow_cost`: CPU time of one comparison, and the served p99 with the shadow on and off.

Two gateways take the same constant load in turns, one without a shadow, one with all reads shadowed on a healthy native
side and no load shedding. Processor time is that of the processes themselves, so that a busy machine changes it little.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

from bench.contenders import field
from bench.isolation import await_shadow, children_of, counted
from bench.load import load
from bench.openloop import constant
from demo.managed_process import ManagedProcess
from demo.ports import free_port

RATE: Final = 300.0
"""Requests a second, far below what one core answers, so that every request can be compared."""
SECONDS: Final = 3.0
ROUNDS: Final = 7


@dataclass(frozen=True, slots=True)
class ShadowCost:
    """One round.

    CPU time in µs of the gateway for a request without and with the shadow, of the shadow for a comparison; the
    served p99 in milliseconds.
    """

    off: float
    on: float
    shadow: float
    p99_off: float
    p99_on: float
    compared: int


def cpu_of(pid: int) -> float:
    """Return the processor time of one process in seconds (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(rounds: int = ROUNDS, seconds: float = SECONDS, rate: float = RATE) -> list[ShadowCost]:
    """Return a reading for every round."""
    with field() as contenders:
        upstream = contenders.upstream()
        gateways = {}
        for shadow in ("0%", "100%"):
            port, ops = free_port(), free_port()
            file = contenders.place / f"cost-{port}.yaml"
            file.write_text(
                f"legacy: {{url: 'http://127.0.0.1:{upstream}'}}\nnative: bench.shadowed:healthy\n"
                "mongodb: {url: ''}\n"
                "shadow: {max_cpu_wait: 100%, concurrency: 64}\n"
                f"routes: [{{name: everything, match: '* /*', shadow: {shadow}}}]\n"
            )
            gateways[shadow] = (port, ops, contenders.serve(file, port, ops))
        await_shadow(*gateways["100%"][:2])
        for port, _, _ in gateways.values():
            load(f"http://127.0.0.1:{port}/small", 16, 1.0)
        return [_round(gateways, seconds, rate) for _ in range(rounds)]


def _round(gateways: Mapping[str, tuple[int, int, ManagedProcess]], seconds: float, rate: float) -> ShadowCost:
    cost: dict[str, tuple[float, float]] = {}
    shadow = compared = 0.0
    for share, (port, ops, child) in gateways.items():
        assert child.pid is not None
        pid = child.pid
        workers = children_of(pid)
        before = cpu_of(pid), sum(map(cpu_of, workers)), counted(ops)["match"]
        reading = constant(port, "/small", rate, seconds)
        cost[share] = 1e6 * (cpu_of(pid) - before[0]) / (rate * seconds), reading.p99
        if share == "100%":
            compared = counted(ops)["match"] - before[2]
            shadow = 1e6 * (sum(map(cpu_of, workers)) - before[1]) / max(compared, 1)
    return ShadowCost(cost["0%"][0], cost["100%"][0], shadow, cost["0%"][1], cost["100%"][1], int(compared))


if __name__ == "__main__":
    found = measure()
    for one in found:
        print(one)
    gateway = median(one.on - one.off for one in found)
    shadow = median(one.shadow for one in found)
    ratio = median(one.p99_on / one.p99_off for one in found)
    print(f"a comparison: {gateway:.0f} µs of the gateway, {shadow:.0f} µs of the shadow process;", end=" ")
    print(f"{1e6 / (gateway + shadow):,.0f} a second and core; served p99 on/off {ratio:.2f}")

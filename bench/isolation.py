"""Measure the cost of shadowing for served requests: every read is shadowed, on a healthy or a faulty native app.

The load is open-loop, at 60% of the gateway's capacity without a shadow, which is measured the same way. Each
contender is its own gateway, started for its reading and stopped after it, so that contenders do not affect each
other.
"""

from __future__ import annotations

import re
import time
import urllib.request
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench.contenders import ServerGroup, server_group
from bench.load import Reading, in_turns, load
from bench.openloop import constant
from bench.report import Comparison
from demo.ports import free_port

SHARE = 0.6
"""Share of the gateway's capacity."""
OVERLOAD = 12_000.0
"""Requests per second above any gateway's capacity; the number that it answers is its capacity."""
MODES = ("off", "healthy", "slow", "hanging", "crashing", "large")
WARM_UP = 1.0
STARTING = 60.0
_COUNTED = re.compile(r'^scribe_proxy_(?:comparisons|skipped)_total\{.*(?:verdict|reason)="(\w+)".*\} (\S+)$', re.M)


@dataclass(frozen=True, slots=True)
class Footprint:
    """Peak memory of the gateway and of the shadow process in bytes, and comparisons by verdict or reason."""

    mode: str
    gateway: int
    shadow: int
    counted: Mapping[str, int]

    def __str__(self) -> str:
        counted = ", ".join(f"{name} {number:,}" for name, number in self.counted.items())
        gateway, shadow = self.gateway / 2**20, self.shadow / 2**20
        return (
            f"{self.mode}: gateway {gateway:.0f} MiB, shadow {shadow:.0f} MiB at most; {counted or 'nothing compared'}"
        )


def isolation(seconds: float, rounds: int) -> tuple[Comparison, list[Footprint]]:
    """Return the comparison of gateways with a shadow to one without."""
    with server_group() as contenders:
        upstream = contenders.upstream()
        footprints: dict[str, Footprint] = {}

        def reading(mode: str, rate: float) -> Reading:
            answers, footprints[mode] = _read(contenders, upstream, mode, rate, seconds)
            return answers

        rate = SHARE * median(reading("off", OVERLOAD).rate for _ in range(rounds))
        readings = in_turns({mode: lambda mode=mode: reading(mode, rate) for mode in MODES}, rounds)  # type: ignore[misc]
    title = f"all reads shadowed, open loop at {rate:,.0f} req/s"
    return Comparison(title, readings, "off"), list(footprints.values())


def _read(contenders: ServerGroup, upstream: int, mode: str, rate: float, seconds: float) -> tuple[Reading, Footprint]:
    """Return one gateway's reading at a rate."""
    port, ops = free_port(), free_port()
    file = contenders.directory / f"{mode}-{port}.yaml"
    file.write_text(_file(upstream, mode))
    child = contenders.serve(file, port, ops)
    try:
        if mode != "off":
            await_shadow(port, ops)
        load(f"http://127.0.0.1:{port}/small", 16, WARM_UP)
        answers = constant(port, "/small", rate, seconds)
        assert child.pid is not None
        shadows = children_of(child.pid)
        footprint = Footprint(mode, _peak(child.pid), sum(map(_peak, shadows)), counted(ops))
    finally:
        contenders.end(child)
    return answers, footprint


def _file(upstream: int, mode: str) -> str:
    shadow = "0%" if mode == "off" else "100%"
    app = "healthy" if mode == "off" else mode
    return (
        f"legacy: {{url: 'http://127.0.0.1:{upstream}'}}\nnative: bench.shadowed:{app}\nmongodb: {{url: ''}}\n"
        f"routes: [{{name: everything, match: '* /*', shadow: {shadow}}}]\n"
    )


def await_shadow(port: int, ops: int) -> None:
    """Wait until the shadow process has received a request."""
    over = time.monotonic() + STARTING
    while not set(counted(ops)) - {"skipped", "backend_unavailable"} and not _outstanding(ops):
        if time.monotonic() > over:
            raise SystemExit("the shadow process does not start")
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/small") as answer:
            answer.read()
        time.sleep(0.1)


def _metrics(ops: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{ops}/metrics") as answer:
        text: str = answer.read().decode()
    return text


def _outstanding(ops: int) -> bool:
    return "scribe_proxy_shadow_outstanding 0.0" not in _metrics(ops)


def counted(ops: int) -> Counter[str]:
    counts = Counter[str]()
    for name, number in _COUNTED.findall(_metrics(ops)):
        counts[name] += int(float(number))
    return counts


def children_of(pid: int) -> list[int]:
    """Return the child processes of a process (Linux)."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]


def _peak(pid: int) -> int:
    """Return the peak resident memory of a process in bytes (Linux), 0 after its end."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    match = re.search(r"VmHWM:\s+(\d+)", status)
    return int(match[1]) * 1024 if match else 0

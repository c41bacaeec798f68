"""Load from `wrk`. A reading is the result of one run."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TypeAlias, TypeVar

Name = TypeVar("Name", bound=str)
_MILLISECONDS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0, "h": 3_600_000.0}


@dataclass(frozen=True, slots=True)
class Reading:
    """Requests per second, median and 99th percentile of latency in milliseconds, and failed requests."""

    rate: float
    p50: float
    p99: float
    failed: int


Readings: TypeAlias = dict[str, list[Reading]]
"""Readings by contender, one per round."""


def load(url: str, connections: int, seconds: float, script: Path | None = None) -> Reading:
    """Run closed-loop load: each connection sends its next request once the previous one is answered."""
    program = shutil.which("wrk")
    if program is None:
        raise SystemExit("wrk is needed: apt-get install wrk")
    command = [program, "-t1", f"-c{connections}", f"-d{seconds:g}s", "--timeout", "30s", "--latency"]
    command += ["-s", str(script)] if script else []
    done = subprocess.run([*command, url], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"wrk failed at {url}: {done.stdout}{done.stderr}")
    return parse(done.stdout)


def parse(output: str) -> Reading:
    """Return the figures of one run's output; raises SystemExit with the output if one is missing."""
    failed = sum(int(number) for number in re.findall(r"Non-2xx or 3xx responses: (\d+)", output))
    errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", output)
    failed += sum(map(int, errors.groups())) if errors else 0
    rate = re.search(r"Requests/sec:\s+([\d.]+)", output)
    if rate is None:
        raise SystemExit(f"wrk printed no rate:\n{output}")
    if not float(rate[1]):
        raise SystemExit(f"no request was answered: the machine is too busy, or a contender hangs:\n{output}")
    return Reading(float(rate[1]), _percentile(output, 50), _percentile(output, 99), failed)


def _percentile(output: str, percent: int) -> float:
    """Return a percentile in milliseconds; wrk pads the unit to two characters."""
    line = re.search(rf"^ +{percent}% +([\d.]+)(us|ms|s|m|h) *$", output, re.MULTILINE)
    if line is None:
        raise SystemExit(f"wrk printed no {percent}th percentile:\n{output}")
    return float(line[1]) * _MILLISECONDS[line[2]]


def in_turns(contenders: Mapping[str, Callable[[], Reading]], rounds: int) -> Readings:
    """Measure each contender once per round, so that a slow machine affects all of them."""
    readings: Readings = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, measure in contenders.items():
            readings[name].append(measure())
    return readings


def typical(readings: Sequence[Reading]) -> Reading:
    """Return the median of each figure, and the sum of the failures."""
    return Reading(
        median(each.rate for each in readings),
        median(each.p50 for each in readings),
        median(each.p99 for each in readings),
        sum(each.failed for each in readings),
    )

"""`python -m bench.quick`: check the ratios that must hold, in under two minutes; exit with 1 if one is missed.

A ratio is the median of three or four rounds. The readings of a round follow each other directly, so that a
temporarily slow machine slows both sides. `make bench-quick` first installs missing peers, which takes longer.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from functools import partial

import click
from rich.console import Console
from rich.table import Table

from bench.clinic import furnish
from bench.contenders import routing, server_group
from bench.forwarding import GATEWAY, MIDDLEWARE, NGINX, UVICORN
from bench.load import Readings, in_turns, load, typical
from bench.native import GATEWAY as NATIVE
from bench.native import LEGACY, contend
from bench.report import median_ratio
from demo.mongod import mongodb

NATIVE_MARKS = {
    "50 consultations": 5.0,
    "one consultation": 6.0,
    "profile": 5.0,
    "prompts": 6.0,
    "notes": 6.0,
    "transcript": 5.0,
}


@dataclass(frozen=True, slots=True)
class Mark:
    """A measured ratio and its bound: a lower bound, or an upper one if `at_most`.

    `compared`: the two figures of the ratio. `fault`: the contenders that failed requests. A failure of the gateway
    counts as a missed bound, a failure of a peer does not.
    """

    name: str
    ratio: float
    bound: float
    at_most: bool = False
    compared: str = ""
    fault: str = ""
    failed: bool = False

    @property
    def is_met(self) -> bool:
        return not self.failed and (self.ratio <= self.bound if self.at_most else self.ratio >= self.bound)


def forwarding_marks(seconds: int, rounds: int) -> list[Mark]:
    """Measure forwarding beside its peers: throughput at 16 connections, p99 at 128.

    The p99 readings are a second longer, so that the first request of each connection does not determine the p99.
    """
    with server_group() as contenders:
        upstream = contenders.upstream()
        ports = {
            MIDDLEWARE: contenders.middleware(upstream),
            NGINX: contenders.nginx(upstream),
            UVICORN: contenders.uvicorn(),
            GATEWAY: contenders.gateway(routing(upstream, routes=30))[0],
        }
        some = _measure(ports, "/small", 16, seconds, rounds)
        many = _measure({name: ports[name] for name in (MIDDLEWARE, GATEWAY)}, "/small", 128, seconds + 1, rounds)
    return [
        rate_mark("throughput, 16 connections, to http-proxy-middleware", some, GATEWAY, MIDDLEWARE, 3.2),
        rate_mark("throughput, 16 connections, to bare uvicorn", some, GATEWAY, UVICORN, 0.40),
        rate_mark("throughput, 16 connections, to nginx", some, GATEWAY, NGINX, 0.40),
        p99_mark("p99, 128 connections, to http-proxy-middleware", many, GATEWAY, MIDDLEWARE, 1.0),
    ]


def native_marks(seconds: int, rounds: int) -> list[Mark]:
    """Measure the native app through the gateway beside the demo's legacy."""
    marks = []
    with mongodb() as url, server_group() as contenders:
        ports = contend(contenders, url, alone=False)
        clinic = furnish(f"http://127.0.0.1:{ports[LEGACY]}")
        for question in clinic.targets:
            script = clinic.script(question, contenders.directory)
            measures = {
                name: partial(load, f"http://127.0.0.1:{ports[name]}/", 16, seconds, script)
                for name in (LEGACY, NATIVE)
            }
            readings = in_turns(measures, rounds)
            bound = NATIVE_MARKS[question]
            marks.append(rate_mark(f"{question}: throughput to legacy", readings, NATIVE, LEGACY, bound))
            marks.append(p99_mark(f"{question}: p99 to legacy", readings, NATIVE, LEGACY, 0.25))
    return marks


def _measure(ports: dict[str, int], path: str, connections: int, seconds: int, rounds: int) -> Readings:
    urls = {name: f"http://127.0.0.1:{port}{path}" for name, port in ports.items()}
    for url in urls.values():
        load(url, connections, 1)  # open connections, fill caches
    return in_turns({name: partial(load, url, connections, seconds) for name, url in urls.items()}, rounds)


def rate_mark(name: str, readings: Readings, contender: str, base: str, bound: float) -> Mark:
    """Return the ratio of two throughputs with its lower bound."""
    pair = readings[contender], readings[base]
    rates = " : ".join(f"{typical(each).rate:,.0f}" for each in pair)
    ratio = median_ratio(*pair, lambda reading: reading.rate)
    fault, failed = _fault(readings, contender, base), bool(_fault(readings, contender))
    return Mark(name, ratio, bound, compared=f"{rates} req/s", fault=fault, failed=failed)


def p99_mark(name: str, readings: Readings, contender: str, base: str, bound: float) -> Mark:
    """Return the ratio of two 99th percentiles with its upper bound."""
    pair = readings[contender], readings[base]
    p99s = " : ".join(f"{typical(each).p99:,.1f}" for each in pair)
    ratio = median_ratio(*pair, lambda reading: reading.p99)
    fault, failed = _fault(readings, contender, base), bool(_fault(readings, contender))
    return Mark(name, ratio, bound, at_most=True, compared=f"{p99s} ms", fault=fault, failed=failed)


def _fault(readings: Readings, *names: str) -> str:
    """Return a text with the contenders that failed requests, and the number of failures."""
    failed = {name: typical(readings[name]).failed for name in names}
    return ", ".join(f"{name} failed {count} requests" for name, count in failed.items() if count)


def show(marks: list[Mark], console: Console) -> None:
    """Print the ratios with their bounds."""
    table = Table("", "ratio", "bound", "of", "")
    for mark in marks:
        bound = f"{'at most' if mark.at_most else 'at least'} {mark.bound:.2f}"
        table.add_row(mark.name, f"{mark.ratio:.2f}", bound, mark.compared, _verdict(mark))
    console.print(table)


def _verdict(mark: Mark) -> str:
    return ": ".join(filter(None, ("" if mark.is_met else "[red]missed[/red]", mark.fault)))


@click.command()
@click.option("--native/--no-native", "with_native", default=True, help="Measure the native app as well.")
def main(with_native: bool) -> None:
    """Print the ratios that must hold; exit with 1 if one does not."""
    console, began = Console(), time.monotonic()
    marks = forwarding_marks(seconds=2, rounds=3)
    show(marks, console)
    if with_native:
        native = native_marks(seconds=1, rounds=4)
        show(native, console)
        marks += native
    console.print(f"measured in {time.monotonic() - began:.0f} s")
    sys.exit(0 if all(mark.is_met for mark in marks) else 1)


if __name__ == "__main__":
    main()

"""`python -m bench.quick`: the ratios that a change must not spoil, in under two minutes; exits 1 where one is missed.

Ratios are medians of three or four rounds, each of readings next to each other, so that a machine that slows down for a
while slows both sides. `make bench-quick` installs the peers before, where they are missing; that time is not counted.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import click
from rich.console import Console
from rich.table import Table

from bench.clinic import furnish
from bench.contenders import field, routing
from bench.forwarding import GATEWAY, MIDDLEWARE, NGINX, UVICORN
from bench.load import Reading, Readings, in_turns, load
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
    """A measured ratio, and the bound that it must stay at or above, or at or below where `at_most`."""

    name: str
    ratio: float
    bound: float
    at_most: bool = False

    @property
    def is_met(self) -> bool:
        return self.ratio <= self.bound if self.at_most else self.ratio >= self.bound


def forwarding_marks(seconds: int, rounds: int) -> list[Mark]:
    """Measure forwarding beside its peers: throughput at 16 connections, p99 at 128.

    The readings of the p99 are a second longer, so that it is not that of the first request of each connection.
    """
    with field() as contenders:
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
        Mark("throughput, 16 connections, to http-proxy-middleware", _rate(some, GATEWAY, MIDDLEWARE), 3.2),
        Mark("throughput, 16 connections, to bare uvicorn", _rate(some, GATEWAY, UVICORN), 0.40),
        Mark("throughput, 16 connections, to nginx", _rate(some, GATEWAY, NGINX), 0.40),
        Mark("p99, 128 connections, to http-proxy-middleware", _p99(many, GATEWAY, MIDDLEWARE), 1.0, at_most=True),
    ]


def native_marks(seconds: int, rounds: int) -> list[Mark]:
    """Measure the native app through the gateway beside the demo's legacy."""
    marks = []
    with mongodb() as url, field() as contenders:
        ports = contend(contenders, url, alone=False)
        clinic = furnish(f"http://127.0.0.1:{ports[LEGACY]}")
        for question in clinic.targets:
            script = clinic.script(question, contenders.place)
            measures = {
                name: partial(load, f"http://127.0.0.1:{ports[name]}/", 16, seconds, script)
                for name in (LEGACY, NATIVE)
            }
            readings = in_turns(measures, rounds)
            marks.append(
                Mark(f"{question}: throughput to legacy", _rate(readings, NATIVE, LEGACY), NATIVE_MARKS[question])
            )
            marks.append(Mark(f"{question}: p99 to legacy", _p99(readings, NATIVE, LEGACY), 0.25, at_most=True))
    return marks


def _measure(ports: dict[str, int], path: str, connections: int, seconds: int, rounds: int) -> Readings:
    urls = {name: f"http://127.0.0.1:{port}{path}" for name, port in ports.items()}
    for url in urls.values():
        load(url, connections, 1)  # connections and caches
    return in_turns({name: partial(load, url, connections, seconds) for name, url in urls.items()}, rounds)


def _rate(readings: Readings, contender: str, base: str) -> float:
    return _ratio(readings, contender, base, lambda reading: reading.rate)


def _p99(readings: Readings, contender: str, base: str) -> float:
    return _ratio(readings, contender, base, lambda reading: reading.p99)


def _ratio(readings: Readings, contender: str, base: str, figure: Callable[[Reading], float]) -> float:
    if not all(map(figure, readings[base])):
        raise SystemExit(f"{base} answered no request in a reading: the machine is too busy to measure")
    return median_ratio(readings[contender], readings[base], figure)


def show(marks: list[Mark], console: Console) -> None:
    """Print the ratios with their bounds."""
    table = Table("", "ratio", "bound", "")
    for mark in marks:
        bound = f"{'at most' if mark.at_most else 'at least'} {mark.bound:.2f}"
        table.add_row(mark.name, f"{mark.ratio:.2f}", bound, "" if mark.is_met else "[red]missed[/red]")
    console.print(table)


@click.command()
@click.option("--native/--no-native", "with_native", default=True, help="Measure the native app as well.")
def main(with_native: bool) -> None:
    """Print the ratios that must hold; exit with 1 where one does not."""
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

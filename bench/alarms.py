"""Count a guard's false alarms and missed faults in hours of simulated traffic.

The statistics and the controller are the gateway's own; only requests and the clock are simulated. For each second,
the statistics count its requests, then the controller evaluates the guard. Healthy seconds are drawn from a pool of
counted ones, so that one takes a quarter of a millisecond. The same seed gives the same traffic.

    python -m bench.alarms --hours 1000 --faults 1000 --processes 2
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

import click

from proxy.config.loading import parse
from proxy.gateway.request_record import ComparisonRecord, RequestRecord
from proxy.rollout.analysis.route_stats import StatsRegistry
from proxy.rollout.analysis.window import WindowCounts
from proxy.rollout.controller import ControllerIntervals, RolloutController
from proxy.rollout.in_force import ControllerHooks
from proxy.rollout.store import MemoryStore
from proxy.types import Backend

T = TypeVar("T")
RATE, SHARE, CALLERS = 50, 0.25, 200
"""Requests per second, the share of requests and of callers that native gets, and the number of callers."""
ERRORS = 0.01
"""Share of healthy requests that either backend refuses."""
BURSTS = 2.0
"""Bursts per hour, each of a single caller."""
POOL, WARM_UP = 600, 120
"""Seconds of healthy traffic in the pool, and seconds that the guard observes before a simulation starts."""
CHUNK = 5
"""Hours, or faults, per simulation."""
FAULT = 0.05
"""Share of its requests that native fails during a fault."""
NEVER = ControllerIntervals(evaluate=86_400.0, synchronise=86_400.0)
FILE = "legacy: {url: http://x}\nnative: a:b\nroutes: [{name: a, match: GET /a, native: 25%, guard: {}}]"
SERVED = RequestRecord("1", "http", "GET", "a", "/a", "native", "share", 7, 200, None, 0.01, 0.02)


@dataclass(slots=True)
class Burst:
    """Failing or slow requests of one caller: `number` in each of some seconds."""

    caller: int
    status: int
    head: float
    number: int
    seconds: int


@dataclass(frozen=True, slots=True)
class HealthyTime:
    """Simulated seconds of healthy traffic, the bursts in them, and the reason of the false alarm that ended them."""

    seconds: int
    bursts: int
    alarm: str


class GuardSimulation:
    """One guarded route at 25% with simulated requests and clock; see `simulation`."""

    def __init__(self, controller: RolloutController, stats: StatsRegistry, seed: int, pool: int) -> None:
        self._controller = controller
        self._stats = stats
        self._random = random.Random(seed)
        self._now = time.monotonic()
        self._bursts: list[Burst] = []
        for _ in range(WARM_UP):
            self._serve(self._requests())
        self._pool = [self._draw() for _ in range(pool)]
        self.bursts = 0

    @property
    def cap(self) -> str:
        """The reason of the cap in force; empty without a cap."""
        caps = self._controller.caps()
        return caps[0].by.reason if caps else ""

    def compared(self, verdict: Literal["match", "mismatch"], number: int) -> None:
        """Count shadow comparisons of as many callers."""
        for caller in range(number):
            self._stats.compared(ComparisonRecord("a", "legacy", verdict, caller=caller))

    def healthy(self, seconds: int, bursts: float = BURSTS) -> HealthyTime:
        """Serve healthy traffic with `bursts` per hour, until it ends or the guard caps the share."""
        before = self.bursts
        for second in range(1, seconds + 1):
            self._stats.of("a").window.now.add(self._random.choice(self._pool))
            self._serve(self._burst(bursts / 3600))
            if self.cap:
                return HealthyTime(second, self.bursts - before, self.cap)
        return HealthyTime(seconds, self.bursts - before, "")

    def fault(self, ratio: float, seconds: int) -> int:
        """Serve while native fails a part of its requests; return the seconds until the guard caps the share."""

        def failing(record: RequestRecord, second: int) -> RequestRecord:
            fails = record.backend == "native" and self._random.random() < ratio
            return replace(record, status=500) if fails else record

        return self.changed(failing, seconds)

    def changed(self, change: Callable[[RequestRecord, int], RequestRecord | None], seconds: int, jump: int = 1) -> int:
        """Serve healthy traffic as `change` returns each request of a second, which it leaves out with None.

        Return the seconds until the guard caps the share, `seconds` + 1 if it does not. In the middle, the clock jumps
        by `jump` seconds.
        """
        for second in range(1, seconds + 1):
            records = (change(record, second) for record in self._requests())
            self._now += jump - 1 if second == seconds // 2 else 0
            self._serve(record for record in records if record is not None)
            if self.cap:
                return second
        return seconds + 1

    def _serve(self, records: Iterator[RequestRecord]) -> None:
        """Count the requests of one second, and evaluate the guard at its end."""
        for record in records:
            self._stats(record)
        self._now += 1.0
        self._controller.evaluate(self._now)

    def _requests(self) -> Iterator[RequestRecord]:
        for _ in range(RATE):
            caller = self._random.randrange(CALLERS)
            backend: Backend = "native" if caller < CALLERS * SHARE else "legacy"
            status = 401 if self._random.random() < ERRORS else 200
            head = self._random.lognormvariate(-4.0, 0.5)
            yield replace(SERVED, backend=backend, status=status, head=head, caller=caller)

    def _draw(self) -> WindowCounts:
        """Return the counts of one healthy second."""
        scratch, observed = StatsRegistry(), self._stats.of("a")
        scratch.set_routes([observed.route], 0.0)
        scratch.of("a").slow_after = observed.slow_after
        for record in self._requests():
            scratch(record)
        return scratch.of("a").window.now

    def _burst(self, chance: float) -> Iterator[RequestRecord]:
        if self._random.random() < chance:
            self._bursts.append(self._begin_burst())
            self.bursts += 1
        for burst in self._bursts:
            burst.seconds -= 1
            for _ in range(burst.number):
                yield replace(SERVED, status=burst.status, head=burst.head, caller=burst.caller)
        self._bursts = [burst for burst in self._bursts if burst.seconds > 0]

    def _begin_burst(self) -> Burst:
        """Return a random burst: an expired token in a loop, a document that native fails on, or slow requests."""
        status, head = self._random.choices([(401, 0.01), (500, 0.01), (200, 2.0)], [4, 1, 1])[0]
        caller = self._random.randrange(int(CALLERS * SHARE))
        return Burst(caller, status, head, self._random.randint(1, 20), self._random.randint(5, 40))


@asynccontextmanager
async def simulation(seed: int, pool: int = POOL, file: str = FILE) -> AsyncIterator[GuardSimulation]:
    """Open a simulation of a configuration's route `a`, in which the controller's own tasks sleep."""
    stats = StatsRegistry()
    controller = RolloutController(parse(file, {}), MemoryStore(), stats, ControllerHooks(lambda _: None), NEVER)
    await controller.start()
    try:
        yield GuardSimulation(controller, stats, seed, pool)
    finally:
        await controller.stop()


async def healthy_time(seed: int, seconds: int) -> HealthyTime:
    """Simulate healthy traffic until a false alarm."""
    async with simulation(seed) as simulated:
        return simulated.healthy(seconds)


async def seconds_until_capped(seed: int, ratio: float, limit: int) -> int:
    """Return the seconds until the guard caps the share after a fault of native; `limit` + 1 if it does not.

    The fault begins at any second of the guard's window.
    """
    async with simulation(seed, WARM_UP) as simulated:
        simulated.healthy(WARM_UP + seed % WARM_UP, bursts=0)
        return simulated.fault(ratio, limit)


def healthy_hours(seed: int, hours: int) -> list[HealthyTime]:
    """Simulate hours of healthy traffic in this process."""
    return [asyncio.run(healthy_time(seed, hours * 3600))]


def faults(seed: int, number: int) -> list[int]:
    """Simulate faults in this process; return the seconds until the cap for each."""
    return [asyncio.run(seconds_until_capped(each, FAULT, 300)) for each in range(seed * CHUNK, seed * CHUNK + number)]


def in_processes(simulate: Callable[[int, int], list[T]], number: int, processes: int, label: str) -> list[T]:
    """Simulate `number` hours or faults in chunks with their own seeds, and show a progress bar."""
    chunks = [min(CHUNK, number - begun) for begun in range(0, number, CHUNK)]
    with (
        ProcessPoolExecutor(processes, initializer=logging.disable) as pool,
        click.progressbar(length=number, label=label, file=sys.stderr, show_pos=True) as bar,
    ):
        futures = {pool.submit(simulate, seed, chunk): chunk for seed, chunk in enumerate(chunks)}
        for future in as_completed(futures):
            bar.update(futures[future])
        return [outcome for future in futures for outcome in future.result()]


@click.command()
@click.option("--hours", default=1000, show_default=True, help="Simulated hours of healthy traffic.")
@click.option("--faults", "number", default=1000, show_default=True, help="Simulated faults of 5%.")
@click.option("--processes", default=2, show_default=True, help="Processes that share the simulations.")
def main(hours: int, number: int, processes: int) -> None:
    """Simulate healthy hours and faults, and print the guard's alarms and caps; exit with 1 for a false alarm."""
    times = in_processes(healthy_hours, hours, processes, "healthy hours")
    alarms = [time.alarm for time in times if time.alarm]
    seconds, bursts = sum(time.seconds for time in times), sum(time.bursts for time in times)
    click.echo(f"{seconds / 3600:,.0f} hours, {bursts:,} bursts: {len(alarms)} false alarms")
    for reason in alarms:
        click.echo(f"  {reason}")
    capped = sorted(in_processes(faults, number, processes, "faults"))
    if capped:
        ranks = {"median": 0.5, "p99": 0.99, "worst": 1.0}
        shown = ", ".join(f"{name} {capped[math.ceil(rank * len(capped)) - 1]}" for name, rank in ranks.items())
        click.echo(f"{len(capped):,} faults of {FAULT:.0%}; seconds until the guard capped: {shown}")
    raise SystemExit(1 if alarms else 0)


if __name__ == "__main__":
    main()

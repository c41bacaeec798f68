"""False alarms and missed faults of a guard: hours of simulated traffic through the real statistics and controller.

A second of simulated time takes a fraction of a millisecond: its requests are counted by the statistics as a gateway
counts them, then the controller evaluates the guard at that time.

    python -m bench.alarms --hours 1000 --processes 2
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import click

from proxy.config.loading import parse
from proxy.gateway.request_record import RequestRecord
from proxy.rollout.analysis.route_stats import StatsRegistry
from proxy.rollout.analysis.window import WindowBucket
from proxy.rollout.controller import ControllerIntervals, RolloutController
from proxy.rollout.in_force import ControllerHooks
from proxy.rollout.store import MemoryStore
from proxy.types import Backend

RATE, SHARE, CALLERS = 50, 0.25, 200
"""Requests a second, native's part of them and of the callers, and the number of callers."""
ERRORS = 0.01
"""Healthy requests that either backend refuses."""
BURSTS = 2.0
"""Bursts of single callers in an hour."""
POOL = 600
"""Seconds of healthy traffic that are drawn beforehand."""
NEVER = ControllerIntervals(evaluate=86_400.0, synchronise=86_400.0)
FILE = "legacy: {url: http://x}\nnative: a:b\nroutes: [{name: a, match: GET /a, native: 25%, guard: {}}]"
SERVED = RequestRecord("1", "http", "GET", "a", "/a", "native", "share", 7, 200, None, 0.01, 0.02)


@dataclass(slots=True)
class Burst:
    """Requests of one caller that fail, or are slow, for some seconds: `number` in each."""

    caller: int
    status: int
    head: float
    number: int
    seconds: int


class GuardSimulation:
    """One guarded route at 25%, whose requests and clock are simulated; see `simulation`."""

    def __init__(self, controller: RolloutController, stats: StatsRegistry, seed: int) -> None:
        self._controller = controller
        self._stats = stats
        self._random = random.Random(seed)
        self._now = time.monotonic()
        self._bursts: list[Burst] = []
        self._pool = [self._draw() for _ in range(POOL)]
        self.bursts = 0

    @property
    def cap(self) -> str:
        """The reason of the cap in force; empty without one."""
        caps = self._controller.caps()
        return caps[0].by.reason if caps else ""

    def healthy(self, seconds: int, bursts: float = BURSTS) -> None:
        """Serve healthy traffic with some bursts of single callers an hour, until the guard caps."""
        for _ in range(seconds):
            self._stats.of("a").window.now.add(self._random.choice(self._pool))
            self._burst(bursts / 3600)
            self._second()
            if self.cap:
                return

    def fault(self, ratio: float, seconds: int) -> int:
        """Serve while native fails a part of its requests; return the seconds until the guard caps."""
        for second in range(1, seconds + 1):
            for record in self._requests():
                fails = record.backend == "native" and self._random.random() < ratio
                self._stats(replace(record, status=500) if fails else record)
            self._second()
            if self.cap:
                return second
        return seconds + 1

    def _second(self) -> None:
        self._now += 1.0
        self._controller.evaluate(self._now)

    def _requests(self) -> Iterator[RequestRecord]:
        for _ in range(RATE):
            caller = self._random.randrange(CALLERS)
            backend: Backend = "native" if caller < CALLERS * SHARE else "legacy"
            status = 401 if self._random.random() < ERRORS else 200
            head = self._random.lognormvariate(-4.0, 0.5)
            yield replace(SERVED, backend=backend, status=status, head=head, caller=caller)

    def _draw(self) -> WindowBucket:
        """Return the counts of one healthy second."""
        scratch = StatsRegistry()
        scratch.set_routes([self._stats.of("a").route], 0.0)
        for record in self._requests():
            scratch(record)
        return scratch.of("a").window.now

    def _burst(self, chance: float) -> None:
        if self._random.random() < chance:
            self._bursts.append(self._begin_burst())
            self.bursts += 1
        for burst in self._bursts:
            burst.seconds -= 1
            for _ in range(burst.number):
                self._stats(replace(SERVED, status=burst.status, head=burst.head, caller=burst.caller))
        self._bursts = [burst for burst in self._bursts if burst.seconds > 0]

    def _begin_burst(self) -> Burst:
        """Return an expired token in a loop, a document that native fails on, or one caller's slow requests."""
        status, head = self._random.choices([(401, 0.01), (500, 0.01), (200, 2.0)], [4, 1, 1])[0]
        caller = self._random.randrange(int(CALLERS * SHARE))
        return Burst(caller, status, head, self._random.randint(1, 20), self._random.randint(5, 40))


@asynccontextmanager
async def simulation(seed: int) -> AsyncIterator[GuardSimulation]:
    """Open a simulation; the controller's own tasks sleep meanwhile."""
    stats = StatsRegistry()
    controller = RolloutController(parse(FILE, {}), MemoryStore(), stats, ControllerHooks(lambda _: None), NEVER)
    await controller.start()
    try:
        yield GuardSimulation(controller, stats, seed)
    finally:
        await controller.stop()


async def _hours(seed: int, hours: int) -> tuple[str, int]:
    """Return the reason of a false alarm, empty without one, and the number of bursts."""
    async with simulation(seed) as simulated:
        simulated.healthy(hours * 3600)
        return simulated.cap, simulated.bursts


def healthy_hours(seed: int, hours: int) -> tuple[str, int]:
    """Simulate some hours in this process."""
    return asyncio.run(_hours(seed, hours))


async def seconds_until_capped(seed: int, ratio: float, limit: int) -> int:
    """Return the seconds until a fault of native is capped, `limit` + 1 where it is not."""
    async with simulation(seed) as simulated:
        simulated.healthy(300)
        return simulated.fault(ratio, limit)


@click.command()
@click.option("--hours", default=1000, show_default=True, help="Simulated hours of healthy traffic.")
@click.option("--processes", default=2, show_default=True, help="Processes that share them.")
@click.option("--faults", default=20, show_default=True, help="Simulated faults of 5%.")
def main(hours: int, processes: int, faults: int) -> None:
    """Simulate healthy hours and real faults, and print what the guard did; exit with 1 for a false alarm."""
    parts = max(processes, hours // 25)
    with ProcessPoolExecutor(processes) as pool:
        outcomes = list(pool.map(healthy_hours, range(parts), [max(1, hours // parts)] * parts))
    alarms = [reason for reason, _ in outcomes if reason]
    simulated = parts * max(1, hours // parts)
    click.echo(f"{simulated:,} hours, {sum(bursts for _, bursts in outcomes):,} bursts: {len(alarms)} false alarms")
    for reason in alarms:
        click.echo(f"  {reason}")
    found = [asyncio.run(seconds_until_capped(seed, 0.05, 300)) for seed in range(faults)]
    click.echo(f"a fault of 5% is capped after {min(found)} to {max(found)} seconds")
    raise SystemExit(1 if alarms else 0)


if __name__ == "__main__":
    main()

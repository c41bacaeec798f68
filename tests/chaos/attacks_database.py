"""MongoDB goes away: native answers 503 soon at any load, legacy's routes that need none do not notice."""

from __future__ import annotations

import asyncio
import functools
import time
from collections import Counter
from typing import Final

import httpx

from tests.chaos.figures import Attack, Figures
from tests.chaos.target import Target
from tests.chaos.traffic import percentile

AWAY_S: Final = 8.0
NATIVE: Final = "/users/users/checkEmail?email=a@b.example"


async def lose_database(rate: float, target: Target) -> Figures:
    """Cut MongoDB off under `rate` native requests and as many of legacy's a second."""
    statuses: Counter[str] = Counter()
    native: list[float] = []
    legacy: list[float] = []

    async def send(path: str, latencies: list[float], side: str) -> None:
        started = time.monotonic()
        try:
            status = f"{(await target.client.get(target.url + path)).status_code}"
        except httpx.TransportError as error:
            status = type(error).__name__
        latencies.append(time.monotonic() - started)
        statuses[f"{side} {status}"] += 1

    await target.client.get(target.url + NATIVE)
    await target.mongodb.cut()
    started, number = time.monotonic(), 0
    async with asyncio.TaskGroup() as tasks:
        while time.monotonic() < started + AWAY_S:
            tasks.create_task(send(NATIVE, native, "native"))
            tasks.create_task(send("/", legacy, "legacy"))
            number += 1
            await asyncio.sleep(max(0, started + number / rate - time.monotonic()))
    return {
        "slowest 503, s": max(native),
        "median 503, ms": 1000 * percentile(native, 0.5),
        "p99 of 503, ms": 1000 * percentile(native, 0.99),
        "failed: native without a 503": len(native) - statuses["native 503"],
        "failed: legacy": len(legacy) - statuses["legacy 200"],
        "p99 of legacy, ms": 1000 * percentile(legacy, 0.99),
    }


ATTACKS: Final = [
    Attack(f"no database at {rate}/s", functools.partial(lose_database, rate), quick=rate == 40)
    for rate in (10, 40, 200)
]

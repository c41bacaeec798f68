"""MongoDB disappears or hangs: native soon answers 503 at any load; routes of legacy without it are unaffected."""

from __future__ import annotations

import asyncio
import functools
import time
from typing import Final

from tests.chaos.figures import Attack, Figures
from tests.chaos.target import Target
from tests.chaos.traffic import Traffic, percentile

OUTAGE_S: Final = 8.0
NATIVE: Final = "/users/users/checkEmail?email=a@b.example"


PAGES: Final = ("/", "/live", "/comparisons", "/history")


async def stop_database(rate: float, target: Target, *, hangs: bool = False) -> Figures:
    """Cut MongoDB off, or let it hang, then send `rate` native requests and as many of legacy's a second, and pages."""
    await target.client.get(target.url + NATIVE)
    (target.mongodb.hang if hangs else target.mongodb.cut)()
    async with (
        Traffic.sending(target.url, rate, [(NATIVE, 503)]) as native,
        Traffic.sending(target.url, rate, [("/", 200)]) as legacy,
    ):
        page = max([await _page_time(target, path) for path in PAGES])
        await asyncio.sleep(OUTAGE_S)
        refusals, answers = await native.latencies(), await legacy.latencies()
        return {
            "requests": len(refusals) + len(answers),
            "slowest 503, s": max(refusals),
            "median 503, ms": 1000 * percentile(refusals, 0.5),
            "p99 of 503, ms": 1000 * percentile(refusals, 0.99),
            "failed: native without a 503": (await native.figures())["errors of others"],
            "failed: legacy": (await legacy.figures())["errors of others"],
            "p99 of legacy, ms": 1000 * percentile(answers, 0.99),
            "slowest page, s": page,
        }


async def _page_time(target: Target, path: str) -> float:
    began = time.monotonic()
    await target.client.get(f"http://127.0.0.1:{target.ops}{path}")
    return time.monotonic() - began


ATTACKS: Final = [
    Attack(f"no database at {rate}/s", functools.partial(stop_database, rate), quick=rate == 40)
    for rate in (10, 40, 200)
] + [Attack("database hangs at 40/s", functools.partial(stop_database, 40, hangs=True))]

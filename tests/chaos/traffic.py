"""Requests of other clients while an attack runs: from an address of their own, compared with the time before."""

from __future__ import annotations

import asyncio
import itertools
import math
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

import httpx

ADDRESS: Final = "127.0.0.2"
"""The other clients' address; attacks come from 127.0.0.1."""
QUIET_FLOOR: Final = 0.010
"""Seconds: a quiet p99 below this counts as this, since the scheduler alone moves it."""
REQUESTS: Final = (("/", 200), ("/users/users/checkEmail?email=a@b.example", 200), ("/api/prompts", 401))
"""Paths with the status of each: legacy's, native's with a query of the database, legacy's."""


class Traffic:
    """Requests at a steady rate, and their latencies in seconds before and during an attack."""

    def __init__(self, url: str, token: str) -> None:
        self._url = url
        self._token = token
        self._quiet: list[float] = []
        self.latencies: list[float] = []
        self.errors: Counter[str] = Counter()

    @asynccontextmanager
    async def running(self, rate: float) -> AsyncIterator[None]:
        """Send `rate` requests a second, however long each takes."""
        transport = httpx.AsyncHTTPTransport(local_address=ADDRESS, retries=0)
        async with httpx.AsyncClient(transport=transport, base_url=self._url, timeout=20) as client:
            task = asyncio.create_task(self._send_all(client, rate))
            try:
                yield
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    def end_quiet(self) -> None:
        """End the time before the attack."""
        self._quiet, self.latencies = self.latencies, []

    def figures(self) -> dict[str, float | str]:
        """Return the errors and the 99th percentiles."""
        quiet, during = percentile(self._quiet, 0.99), percentile(self.latencies, 0.99)
        texts = {"errors' kinds": ", ".join(map(str, self.errors))} if self.errors else {}
        return {
            "requests of others": len(self.latencies),
            "errors of others": sum(self.errors.values()),
            "quiet p99 of others, ms": 1000 * quiet,
            "p99 of others, ms": 1000 * during,
            "p99 of others, ratio": during / max(quiet, QUIET_FLOOR),
            **texts,
        }

    async def _send_all(self, client: httpx.AsyncClient, rate: float) -> None:
        started = time.monotonic()
        async with asyncio.TaskGroup() as tasks:
            for number, (path, status) in enumerate(itertools.cycle(REQUESTS)):
                await asyncio.sleep(max(0, started + number / rate - time.monotonic()))
                tasks.create_task(self._send(client, path, status, number))

    async def _send(self, client: httpx.AsyncClient, path: str, expected: int, number: int) -> None:
        started = time.monotonic()
        try:
            status = (await client.get(path, headers={"x-caller": f"{number}"})).status_code
        except httpx.TransportError as error:
            self.errors[type(error).__name__] += 1
        else:
            if status != expected:
                self.errors[f"{status}"] += 1
        self.latencies.append(time.monotonic() - started)


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that `share` of all do not exceed, NaN where there is none."""
    if not values:
        return math.nan
    return sorted(values)[min(len(values) - 1, math.ceil(share * len(values)) - 1)]

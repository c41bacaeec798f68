"""Requests of other clients during an attack, from a separate process and address.

The separate process keeps the generator's timing independent of the test: `python -m tests.chaos.traffic`.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import math
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final

from tests.chaos.controlled_process import ControlledProcess, answer_commands
from tests.chaos.figures import Figures
from tests.chaos.plain_client import PlainClient

ADDRESS: Final = "127.0.0.2"
"""The other clients' address; attacks come from 127.0.0.1."""
QUIET_FLOOR: Final = 0.010
"""Minimum of the quiet p99 in seconds: smaller values are determined by the scheduler alone."""
REQUESTS: Final = (("/", 200), ("/users/users/checkEmail?email=a@b.example", 200), ("/api/prompts", 401))
"""Paths with the status of each: legacy's, native's with a query of the database, legacy's."""
NATIVE_REQUESTS: Final = (("/users/users/checkEmail?email=a@b.example", 200), ("/api/v1/openapi.json", 200))
"""The paths of native alone, for attacks on legacy."""


@asynccontextmanager
async def occupied_core() -> AsyncIterator[None]:
    """Keep one core busy, as the attackers' process does, so that only the attack makes a difference."""
    program = "from tests.chaos.controlled_process import yield_to_others as y; y()\nwhile True: pass"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program)
    try:
        yield
    finally:
        process.kill()
        await process.wait()


class Traffic(ControlledProcess):
    """A running generator."""

    @classmethod
    def sending(
        cls, url: str, rate: float, requests: Sequence[tuple[str, int]]
    ) -> AbstractAsyncContextManager[Traffic]:
        """Send `rate` requests a second, however long each takes."""
        return cls.running(__name__, url, rate, list(requests))

    async def end_quiet(self) -> None:
        """End the time before the attack."""
        await self.command("attack")

    async def figures(self) -> Figures:
        """Return the errors and the 99th percentiles."""
        figures: Figures = await self.command("figures")
        return figures

    async def latencies(self) -> list[float]:
        """Return the seconds that each request took or has taken so far."""
        latencies: list[float] = await self.command("latencies")
        return latencies


class Generator:
    """Latencies in seconds before and during an attack, and the errors."""

    def __init__(self) -> None:
        self._quiet: list[float] = []
        self._completed: list[float] = []
        self._under_way: dict[int, float] = {}
        self._errors: Counter[str] = Counter()

    def end_quiet(self) -> None:
        """End the time before the attack."""
        self._quiet, self._completed = self._completed, []

    @property
    def latencies(self) -> list[float]:
        """Seconds that each request took, or has taken so far."""
        now = time.monotonic()
        return self._completed + [now - started for started in self._under_way.values()]

    def figures(self) -> Figures:
        """Return the errors and the 99th percentiles."""
        latencies = self.latencies
        quiet, during = percentile(self._quiet, 0.99), percentile(latencies, 0.99)
        kinds: Figures = {"errors' kinds": ", ".join(map(str, self._errors))} if self._errors else {}
        return {
            "requests of others": len(latencies),
            "errors of others": sum(self._errors.values()),
            "quiet p99 of others, ms": 1000 * quiet,
            "p99 of others, ms": 1000 * during,
            "p99 of others, ratio": during / max(quiet, QUIET_FLOOR),
            **kinds,
        }

    async def send_all(self, url: str, rate: float, requests: Sequence[tuple[str, int]]) -> None:
        """Send requests until cancelled."""
        client = PlainClient(url, ADDRESS)
        async with asyncio.TaskGroup() as tasks:
            started = time.monotonic()
            for number, (path, status) in enumerate(itertools.cycle(requests)):
                await asyncio.sleep(max(0, started + number / rate - time.monotonic()))
                tasks.create_task(self._send(client, path, status, number))

    async def _send(self, client: PlainClient, path: str, expected: int, number: int) -> None:
        self._under_way[number] = started = time.monotonic()
        try:
            status, body = await client.get(path, {"x-caller": f"{number}"})
        except (OSError, EOFError) as error:  # a timeout, too
            self._errors[type(error).__name__] += 1
        else:
            if status != expected:
                self._errors[f"{status} {body[:60].decode(errors='replace')}"] += 1
        del self._under_way[number]
        self._completed.append(time.monotonic() - started)


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that `share` of all do not exceed; NaN if there is none."""
    if not values:
        return math.nan
    return sorted(values)[min(len(values) - 1, math.ceil(share * len(values)) - 1)]


async def main() -> None:
    """Run the generator until standard input ends."""
    generator = Generator()
    url, rate, requests = json.loads(sys.argv[1])
    sending = asyncio.create_task(generator.send_all(url, rate, requests))
    await answer_commands(
        {
            "attack": generator.end_quiet,
            "figures": generator.figures,
            "latencies": lambda: generator.latencies,
        }
    )
    sending.cancel()


if __name__ == "__main__":
    asyncio.run(main())

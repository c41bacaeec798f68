"""Requests of other clients while an attack runs, from a process and an address of their own.

The generator is a process, so that attackers in this one do not slow it: `python -m tests.chaos.traffic`, controlled by
lines on its standard input, answers each `figures` and `latencies` with JSON.
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
from contextlib import asynccontextmanager
from typing import Any, Final, Self

from tests.chaos.plain_client import PlainClient

ADDRESS: Final = "127.0.0.2"
"""The other clients' address; attacks come from 127.0.0.1."""
QUIET_FLOOR: Final = 0.010
"""Seconds: a quiet p99 below this counts as this, since the scheduler alone moves it."""
REQUESTS: Final = (("/", 200), ("/users/users/checkEmail?email=a@b.example", 200), ("/api/prompts", 401))
"""Paths with the status of each: legacy's, native's with a query of the database, legacy's."""
NATIVE_REQUESTS: Final = (("/users/users/checkEmail?email=a@b.example", 200), ("/api/v1/openapi.json", 200))
"""The same of native alone, for attacks by legacy."""

Figures = dict[str, float | str]


@asynccontextmanager
async def busy_core() -> AsyncIterator[None]:
    """Keep one core busy, as the attackers' process does, so that what is compared differs by the attack alone."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", "while True: pass")
    try:
        yield
    finally:
        process.kill()
        await process.wait()


class Traffic:
    """A running generator."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    @asynccontextmanager
    async def running(cls, url: str, rate: float, requests: Sequence[tuple[str, int]]) -> AsyncIterator[Self]:
        """Send `rate` requests a second, however long each takes."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.chaos.traffic", json.dumps([url, rate, list(requests)])),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=1 << 24,
        )
        try:
            traffic = cls(process)
            await traffic.command("started")
            yield traffic
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()

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

    async def command(self, command: str) -> Any:
        """Return the generator's answer to a command."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{command}\n".encode())
        return json.loads(await self._process.stdout.readline())


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
    """Return the value that `share` of all do not exceed, NaN where there is none."""
    if not values:
        return math.nan
    return sorted(values)[min(len(values) - 1, math.ceil(share * len(values)) - 1)]


async def main() -> None:
    """Run the generator until standard input ends."""
    generator = Generator()
    url, rate, requests = json.loads(sys.argv[1])
    sending = asyncio.create_task(generator.send_all(url, rate, requests))
    while command := (await asyncio.to_thread(sys.stdin.readline)).strip():
        if command == "attack":
            generator.end_quiet()
        result = {"figures": generator.figures(), "latencies": generator.latencies}.get(command)
        sys.stdout.write(json.dumps(result) + "\n")
        sys.stdout.flush()
    sending.cancel()


if __name__ == "__main__":
    asyncio.run(main())

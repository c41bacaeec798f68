"""Requests of other clients while an attack runs, from a process and an address of their own.

The generator is a process, so that attackers in this one do not slow it: `python -m tests.chaos.traffic`, controlled by
lines on its standard input, answers each `figures` with a JSON object.
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
from typing import Final, Self

import httpx

ADDRESS: Final = "127.0.0.2"
"""The other clients' address; attacks come from 127.0.0.1."""
QUIET_FLOOR: Final = 0.010
"""Seconds: a quiet p99 below this counts as this, since the scheduler alone moves it."""
REQUESTS: Final = (("/", 200), ("/users/users/checkEmail?email=a@b.example", 200), ("/api/prompts", 401))
"""Paths with the status of each: legacy's, native's with a query of the database, legacy's."""
NATIVE_REQUESTS: Final = (("/users/users/checkEmail?email=a@b.example", 200), ("/api/v1/openapi.json", 200))
"""The same of native alone, for attacks by legacy."""

Figures = dict[str, float | str]


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
        return await self.command("figures")

    async def command(self, command: str) -> Figures:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{command}\n".encode())
        figures: Figures = json.loads(await self._process.stdout.readline())
        return figures


class Generator:
    """Latencies in seconds before and during an attack, and the errors."""

    def __init__(self) -> None:
        self.quiet: list[float] = []
        self.latencies: list[float] = []
        self.errors: Counter[str] = Counter()

    def end_quiet(self) -> None:
        """End the time before the attack."""
        self.quiet, self.latencies = self.latencies, []

    def figures(self) -> Figures:
        """Return the errors and the 99th percentiles."""
        quiet, during = percentile(self.quiet, 0.99), percentile(self.latencies, 0.99)
        kinds: Figures = {"errors' kinds": ", ".join(map(str, self.errors))} if self.errors else {}
        return {
            "requests of others": len(self.latencies),
            "errors of others": sum(self.errors.values()),
            "quiet p99 of others, ms": 1000 * quiet,
            "p99 of others, ms": 1000 * during,
            "p99 of others, ratio": during / max(quiet, QUIET_FLOOR),
            **kinds,
        }

    async def send_all(self, url: str, rate: float, requests: Sequence[tuple[str, int]]) -> None:
        """Send requests until cancelled."""
        transport = httpx.AsyncHTTPTransport(local_address=ADDRESS, retries=0)
        async with (
            httpx.AsyncClient(transport=transport, base_url=url, timeout=20) as client,
            asyncio.TaskGroup() as tasks,
        ):
            started = time.monotonic()
            for number, (path, status) in enumerate(itertools.cycle(requests)):
                await asyncio.sleep(max(0, started + number / rate - time.monotonic()))
                tasks.create_task(self._send(client, path, status, number))

    async def _send(self, client: httpx.AsyncClient, path: str, expected: int, number: int) -> None:
        started = time.monotonic()
        try:
            answer = await client.get(path, headers={"x-caller": f"{number}"})
        except httpx.TransportError as error:
            self.errors[type(error).__name__] += 1
        else:
            if answer.status_code != expected:
                self.errors[f"{answer.status_code} {answer.text[:60]}"] += 1
        self.latencies.append(time.monotonic() - started)


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
        sys.stdout.write(json.dumps(generator.figures() if command == "figures" else {}) + "\n")
        sys.stdout.flush()
    sending.cancel()


if __name__ == "__main__":
    asyncio.run(main())

"""Small versions of the attacks by stalling clients, one after another on one gateway with small limits.

`make chaos` plays them in full and measures times. Here an attack lasts until the gateway has reached the limit under
test, while other clients send requests.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tests.chaos.figures import Setup
from tests.chaos.plain_client import PlainClient
from tests.chaos.stalling_client import open_clients
from tests.chaos.target import Target
from tests.chaos.traffic import ADDRESS, REQUESTS

SMALL_LIMITS: Final = Setup(
    "limits: {in_flight: 64, per_client: 24, websockets: 16, websockets_per_client: 8, memory: 24MiB}", stdout="unread"
)
"""Standard output is not read either, and the gateway logs more than a pipe holds."""
SMALL_GROWTH: Final = 80
"""MiB by which the gateway may grow: more than `memory`, and less than one unfinished frame."""


@dataclass(frozen=True)
class SmallAttack:
    """An attack by `number` clients that send `request`; `limit` is the one that it reaches."""

    request: str
    number: int
    limit: str

    async def play(self, target: Target) -> list[str]:
        """Play the attack until its limit is reached, and wait until the gateway is idle; return what went wrong."""
        others = PlainClient(target.url, ADDRESS)
        before = await _reached(target, self.limit)
        clients = await open_clients(target.port, self.request, self.number)
        wrong = await self._requests(others)
        while await _reached(target, self.limit) == before:
            wrong += await self._requests(others)
        for client in clients:
            client.abort()
        while not await _is_idle(target):
            wrong += await self._requests(others)
        others.close()
        return wrong

    async def _requests(self, others: PlainClient) -> list[str]:
        """Send one request of each kind from another address; return the answers that are wrong."""
        statuses = [(path, expected, (await others.get(path, {}))[0]) for path, expected in REQUESTS]
        return [f"{self.request}: {path} is {status}" for path, expected, status in statuses if status != expected]


async def _reached(target: Target, limit: str) -> str:
    """Return the line of the metrics that counts how often a limit was reached; empty before the first time."""
    text = (await target.client.get(f"http://127.0.0.1:{target.ops}/metrics")).text
    name = "memory_evictions_total" if limit == "memory" else f'limit_reached_total{{limit="{limit}"}}'
    return next((line for line in text.splitlines() if line.startswith(f"scribe_proxy_{name} ")), "")


async def _is_idle(target: Target) -> bool:
    """Return True if nothing of a limit is used."""
    status = (await target.client.get(f"http://127.0.0.1:{target.ops}/status.json")).json()
    return all(limit["used"] == 0 for limit in status["limits"])


SMALL_ATTACKS: Final = (
    SmallAttack("body", 32, "per_client"),
    SmallAttack("legacy's body", 32, "per_client"),
    SmallAttack("idle", 12, "per_client"),
    SmallAttack("upload", 4, "memory"),
    SmallAttack("frame", 1, "memory"),
    SmallAttack("recording", 2, "memory"),
    SmallAttack("pipeline", 32, "per_client"),
)

"""Clients that send without end: requests to a legacy that hangs, wrong callers of the ops pages."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final

from tests.chaos.figures import Figures
from tests.chaos.plain_client import PlainClient

ADDRESS: Final = "127.0.0.1"
FLOODS: Final = 8
"""Clients of the ops pages that ask without a pause."""
STALLED: Final = 200
"""Clients of the ops pages that never end their head."""
_WRONG_CALLS: Final[tuple[tuple[str, Mapping[str, str]], ...]] = (
    ("/comparisons", {"authorization": "Bearer wrong"}),
    ("/live", {"host": "rebound.example"}),
    ("/index.json", {}),
)
_running: Final[set[asyncio.Task[None]]] = set()
_stalled: Final[list[asyncio.StreamWriter]] = []


async def flood_legacy(port: int, rate: int) -> Callable[[], Figures]:
    """Send `rate` requests a second to legacy's routes, each on a connection of its own."""
    began = time.monotonic()
    writers: list[asyncio.StreamWriter] = []

    async def send() -> None:
        while True:
            await asyncio.sleep(max(0, began + len(writers) / rate - time.monotonic()))
            writer = (await asyncio.open_connection(ADDRESS, port))[1]
            writer.write(b"GET /api/prompts HTTP/1.1\r\nHost: a\r\n\r\n")
            writers.append(writer)

    _run(send())
    return lambda: {"attack's requests/s": len(writers) / (time.monotonic() - began)}


async def flood_ops_pages(port: int) -> Callable[[], Figures]:
    """Send wrong tokens, wrong hosts and heads without an end to the ops port."""
    statuses: Counter[int] = Counter()
    client = PlainClient(f"http://{ADDRESS}:{port}", ADDRESS)
    for _ in range(STALLED):
        writer = (await asyncio.open_connection(ADDRESS, port))[1]
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\nX-")
        _stalled.append(writer)

    async def call() -> None:
        while True:
            for path, headers in _WRONG_CALLS:
                try:
                    statuses[(await client.get(path, headers))[0]] += 1
                except (OSError, EOFError):
                    statuses[0] += 1

    for _ in range(FLOODS):
        _run(call())

    return lambda: {"answers": ", ".join(f"{number} × {status}" for status, number in sorted(statuses.items()))}


def _run(work: Coroutine[Any, Any, None]) -> None:
    _running.add(asyncio.create_task(work))

"""Whether this process can serve: the legacy accepts connections, or the native app has started."""

from __future__ import annotations

import asyncio
import time
from urllib.parse import urlsplit

REMEMBERED = 1.0
"""Seconds a probe's outcome holds, so that many askers cost the legacy one connection."""
PATIENCE = 1.0
"""Seconds a probe waits."""


class LegacyProbe:
    """Asks by opening a connection and closing it."""

    def __init__(self) -> None:
        self._asked: dict[str, tuple[float, bool]] = {}

    async def reachable(self, url: str) -> bool:
        asked_at, outcome = self._asked.get(url, (-REMEMBERED, False))
        if time.monotonic() - asked_at < REMEMBERED:
            return outcome
        outcome = await _connects(url)
        self._asked = {url: (time.monotonic(), outcome)}
        return outcome


async def _connects(url: str) -> bool:
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        async with asyncio.timeout(PATIENCE):
            _, writer = await asyncio.open_connection(parts.hostname, port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True

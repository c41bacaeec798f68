"""Readiness of this process: legacy accepts connections, or the native app has started."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import Final

from proxy.backends.legacy.connection import Connection
from proxy.backends.legacy.dial import Dialer
from proxy.backends.legacy.endpoint import Endpoint
from proxy.gateway.errors import NotConnected

CACHE_TIME: Final = 1.0
"""Seconds for which a result is reused, so that many requests need only one connection to legacy."""
PROBE_TIMEOUT: Final = 1.0


class LegacyProbe:
    """Probes legacy by opening and closing a connection, without TLS."""

    def __init__(self) -> None:
        self._results: dict[str, tuple[float, bool]] = {}
        self._dialers: dict[str, Dialer] = {}

    async def reachable(self, url: str) -> bool:
        """Return True if a connection to `url` was accepted within the last `CACHE_TIME`."""
        probed_at, outcome = self._results.get(url, (-CACHE_TIME, False))
        if time.monotonic() - probed_at < CACHE_TIME:
            return outcome
        if url not in self._dialers:
            self._dialers = {url: Dialer(replace(Endpoint.parse(url), secure=False))}
        outcome = await _connects(self._dialers[url])
        self._results = {url: (time.monotonic(), outcome)}
        return outcome


async def _connects(dialer: Dialer) -> bool:
    try:
        connection = await dialer.dial(lambda: Connection(asyncio.get_running_loop()), PROBE_TIMEOUT)
    except NotConnected:
        return False
    connection.close()
    return True

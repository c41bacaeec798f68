"""Whether this process can serve: the legacy accepts connections, or the native app has started."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

from proxy.backends.legacy.connection import Connection
from proxy.backends.legacy.dial import Dialer
from proxy.backends.legacy.endpoint import Endpoint
from proxy.gateway.errors import NotConnected

REMEMBERED = 1.0
"""Seconds a probe's outcome holds, so that many askers cost the legacy one connection."""
PATIENCE = 1.0
"""Seconds a probe waits."""


class LegacyProbe:
    """Opens a connection and closes it; without TLS, which each request's own connection verifies."""

    def __init__(self) -> None:
        self._asked: dict[str, tuple[float, bool]] = {}
        self._dialers: dict[str, Dialer] = {}

    async def reachable(self, url: str) -> bool:
        asked_at, outcome = self._asked.get(url, (-REMEMBERED, False))
        if time.monotonic() - asked_at < REMEMBERED:
            return outcome
        if url not in self._dialers:
            self._dialers = {url: Dialer(replace(Endpoint.parse(url), secure=False))}
        outcome = await _connects(self._dialers[url])
        self._asked = {url: (time.monotonic(), outcome)}
        return outcome


async def _connects(dialer: Dialer) -> bool:
    try:
        connection = await dialer.dial(lambda: Connection(asyncio.get_running_loop()), PATIENCE)
    except NotConnected:
        return False
    connection.close()
    return True

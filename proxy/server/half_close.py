"""Probe whether a half-closed client has disconnected."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

PROBE_DELAY: Final = 1.0
"""Seconds from a client's half-close to the first probe for its disconnect."""
PROBE_INTERVAL: Final = 0.1
"""Seconds to the second probe, which fails if the client has disconnected; each further delay is doubled."""

INTERIM_PROBE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
"""A probe before an answer: HTTP/1.1 clients must accept interim responses at any time (RFC 9110 §15.2)."""


def start_probes(
    loop: asyncio.AbstractEventLoop, write: Callable[[bytes], None], next_probe: Callable[[], bytes | None]
) -> None:
    """Write the results of `next_probe` until it is None: a disconnected client's system then resets the connection.

    Empty bytes are no probe: the client may be probed later.
    """

    def probe(interval: float) -> None:
        data = next_probe()
        if data is not None:
            if data:
                write(data)
            loop.call_later(interval, probe, 2 * interval)

    loop.call_later(PROBE_DELAY, probe, PROBE_INTERVAL)

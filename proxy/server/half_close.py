"""Probe whether a half-closed client has disconnected."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

PROBE_DELAY: Final = 1.0
"""Seconds from a client's half-close to the first probe for its disconnect, if no answer has begun."""
PROBE_INTERVAL: Final = 0.1
"""Seconds to the second probe, which fails if the client has disconnected; each further delay is doubled."""

_PROBE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


def start_probes(
    loop: asyncio.AbstractEventLoop, write: Callable[[bytes], None], is_waiting: Callable[[], bool]
) -> None:
    """Write interim responses while the client `is_waiting`: a disconnected client's system then resets the connection.

    HTTP/1.1 clients must accept interim responses at any time (RFC 9110 §15.2).
    """

    def probe(interval: float) -> None:
        if is_waiting():
            write(_PROBE)
            loop.call_later(interval, probe, 2 * interval)

    loop.call_later(PROBE_DELAY, probe, PROBE_INTERVAL)

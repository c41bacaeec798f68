"""When a WebSocket is closed during a graceful shutdown. Pure.

Clients reconnect when they are closed. Closed all at one moment, they arrive at the next process all at one moment.
"""

from __future__ import annotations

from typing import Final

SPREAD: Final = 0.8
"""Part of the time for draining over which WebSockets are closed; the rest is for their closing handshakes."""


def drain_delay(drain_time: float | None, fraction: float) -> float:
    """Return the seconds until a WebSocket is closed. `fraction`: random, of [0, 1); no `drain_time`: at once."""
    return (drain_time or 0.0) * SPREAD * fraction

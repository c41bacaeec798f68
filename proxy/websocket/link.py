"""Timeouts of an open WebSocket and the state of its socket, for relayed and native connections."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from proxy.websocket.heartbeat import LinkState
from proxy.websocket.send_queue import measure

DRAIN_SPREAD: Final = 0.8
"""Fraction of the drain time over which WebSockets are closed; the rest is for their closing handshakes."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Timeouts of a WebSocket, in seconds.

    `ping_interval`: silence before a ping. `ping_timeout`: wait for any data after it. `closing`: wait for progress of
    the closing handshake, with the default of Node's `ws`.
    """

    ping_interval: float = 20.0
    ping_timeout: float = 20.0
    closing: float = 30.0

    @property
    def stall(self) -> float:
        """Seconds without progress after which an end with a full buffer is dead: the same as for a quiet end."""
        return self.ping_interval + self.ping_timeout


def link_state(transport: asyncio.Transport, written: int, *, reading: bool, ping_waits: bool = False) -> LinkState:
    """Return the state of a connection to which `written` bytes were written."""
    queued, in_flight = measure(transport.get_extra_info("socket").fileno())
    unacknowledged = transport.get_write_buffer_size() + queued
    return LinkState(written, unacknowledged, in_flight, reading, ping_waits)


def acknowledged(transport: asyncio.Transport, written: int) -> int:
    """Return how many of the `written` bytes the other end has acknowledged."""
    return written - link_state(transport, written, reading=True).unacknowledged


def drain_delay(drain_time: float | None, fraction: float) -> float:
    """Return the seconds of a shutdown until a WebSocket is closed. `fraction`: random, of [0, 1).

    Clients that are all closed at once would all reconnect at once.
    """
    return (drain_time or 0.0) * DRAIN_SPREAD * fraction

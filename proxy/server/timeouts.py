"""Timeouts of client connections, and where a connection finds those in force when it opens.

The app gives a `ListenerTimeouts` holder to the server through its lifespan state, under `STATE_KEY`, and replaces
`current` at a reload. A connection reads it once, when it opens. Apps without one get the defaults.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

STATE_KEY: Final = "proxy.listener_timeouts"


@dataclass(frozen=True, slots=True)
class ClientTimeouts:
    """Seconds; the first three defaults are those of Node's HTTP server.

    `keep_alive`: from an answer to the next request. `header`: for a whole head. `request`: for a whole request, body
    included. `idle`: for a client that falls behind `min_rate`, in bytes a second. `websocket_ping_interval`: between
    two pings. `websocket_ping_timeout`: for a sign of life after a ping.
    """

    keep_alive: float = 5.0
    header: float = 60.0
    request: float = 300.0
    idle: float = 60.0
    min_rate: int = 1024
    websocket_ping_interval: float = 20.0
    websocket_ping_timeout: float = 20.0


class ListenerTimeouts:
    """Holder of the timeouts that new connections get."""

    def __init__(self, current: ClientTimeouts | None = None) -> None:
        self.current = current or ClientTimeouts()


def timeouts_in_force(app_state: Mapping[str, Any]) -> ClientTimeouts:
    """Return the timeouts of a connection that opens now. `app_state` is the lifespan's state."""
    holder: ListenerTimeouts | None = app_state.get(STATE_KEY)
    return holder.current if holder is not None else ClientTimeouts()

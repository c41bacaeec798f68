"""Timeouts of client connections, which the app passes to the server.

The app passes a `ListenerTimeouts` to the server through its lifespan state, under `STATE_KEY`, and replaces `current`
at a reload. A connection reads it once, when it opens. Without one, the defaults apply.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

STATE_KEY: Final = "proxy.listener_timeouts"


@dataclass(frozen=True, slots=True)
class ClientTimeouts:
    """Timeouts in seconds; the first three defaults are those of Node's HTTP server.

    `keep_alive`: from an answer to the next request. `header`: for a complete head. `request`: for a complete request
    with its body. `idle`: for a client that is slower than `min_rate`, in bytes per second. `drain`: at a shutdown, for
    the next request of an idle client. `websocket_ping_interval`: between two pings. `websocket_ping_timeout`: for any
    data after a ping. `websocket_closing`: for progress of the closing handshake, with the default of Node's `ws`.
    """

    keep_alive: float = 5.0
    header: float = 60.0
    request: float = 300.0
    idle: float = 60.0
    min_rate: int = 1024
    drain: float = 1.0
    websocket_ping_interval: float = 20.0
    websocket_ping_timeout: float = 20.0
    websocket_closing: float = 30.0


class ListenerTimeouts:
    """The timeouts that new connections get."""

    def __init__(self, current: ClientTimeouts | None = None) -> None:
        self.current = current or ClientTimeouts()


def timeouts_in_force(app_state: Mapping[str, Any]) -> ClientTimeouts:
    """Return the timeouts of a connection that opens now. `app_state` is the lifespan state."""
    holder: ListenerTimeouts | None = app_state.get(STATE_KEY)
    return holder.current if holder is not None else ClientTimeouts()

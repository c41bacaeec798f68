"""Limits on the time that a connection may be open and idle. Pure; times are the event loop's."""

from __future__ import annotations

from typing import Final

DEFAULT_IDLE_LIMIT: Final = 15.0
"""Seconds that a connection may be idle if legacy sends no `Keep-Alive: timeout`."""
IDLE_MARGIN: Final = 1.0
"""Seconds before legacy's own limit at which an idle connection is no longer used."""


class Lifetime:
    """Times of one connection. It is idle from `idle_since`, and usable until `idle_until`."""

    __slots__ = ("_idle_limit", "_opened_at", "idle_since", "idle_until", "used")

    def __init__(self, now: float) -> None:
        self.idle_since = self.idle_until = self._opened_at = now
        self._idle_limit = DEFAULT_IDLE_LIMIT
        self.used = False
        """True after the first exchange."""

    def announce(self, idle_limit: float) -> None:
        """Set the limit that legacy announced, in seconds."""
        self._idle_limit = max(idle_limit - IDLE_MARGIN, 0.0)

    def rest(self, now: float, keep_alive: float, max_age: float) -> bool:
        """Begin to be idle, for at most `keep_alive` seconds; return False if the connection has reached `max_age`."""
        retired_at = self._opened_at + max_age
        if now >= retired_at:
            return False
        self.used = True
        self.idle_since = now
        self.idle_until = min(now + min(self._idle_limit, keep_alive), retired_at)
        return True

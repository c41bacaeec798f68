"""A client's connection as seen by the gateway's limits, and the minimum rate of a client's progress."""

from __future__ import annotations

from typing import Final, Protocol

CLIENT_CONNECTION: Final = "proxy.client_connection"
"""The key of an HTTP scope that holds its `ClientConnection`."""


class ClientConnection(Protocol):
    """A client's connection and its current request."""

    evicted_for: str | None
    """The limit for which the request was ended, or None."""

    @property
    def stalled_since(self) -> float | None:
        """The loop's time since which the request waits for its client; None while it does not."""

    def retain_body(self) -> None:
        """Enter the current request's body in the memory budget, because its app may hold it until it has answered."""

    def evict(self, limit: str) -> None:
        """End the current request in favour of others: with a 503 where its answer has not begun."""


class MinimumRate:
    """Deadline by which a client must have transferred more bytes.

    A client may fall behind `rate` (bytes per second) by at most `grace` seconds, and gains nothing by being further
    ahead than that. Times are the event loop's.
    """

    __slots__ = ("_grace", "_rate", "deadline")

    def __init__(self, rate: float, grace: float, now: float) -> None:
        self._rate, self._grace = rate, grace
        self.deadline = now + grace

    def add(self, size: int, now: float) -> None:
        """Record `size` transferred bytes."""
        self.deadline = min(now + self._grace, max(self.deadline, now) + size / self._rate)

    def restart(self, now: float) -> None:
        """Restore the full grace after a wait that the client did not cause."""
        self.deadline = now + self._grace

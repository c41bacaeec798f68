"""A client's connection as the gateway's limits need it, and the rate at which a client must make progress."""

from __future__ import annotations

from typing import Final, Protocol

CLIENT_CONNECTION: Final = "proxy.client_connection"
"""The key of an HTTP scope that holds its `ClientConnection`."""


class ClientConnection(Protocol):
    """A client's connection with its request under way."""

    evicted_for: str | None
    """The limit for which the request was ended; None where it was not."""

    @property
    def stalled_since(self) -> float | None:
        """The loop's time since when the request waits for its client; None while it does not."""

    def retain_body(self) -> None:
        """Enter the body of the request under way in the memory budget: its app may hold it until it has answered."""

    def evict(self, limit: str) -> None:
        """End the request under way for the sake of others: by a 503 if its answer has not begun."""


class MinimumRate:
    """The time by which a client must have moved more bytes.

    A client may fall behind `rate` (bytes a second) by at most `grace` seconds; being ahead of it is worth no more than
    that. Times are the event loop's.
    """

    __slots__ = ("_grace", "_rate", "deadline")

    def __init__(self, rate: float, grace: float, now: float) -> None:
        self._rate, self._grace = rate, grace
        self.deadline = now + grace

    def add(self, size: int, now: float) -> None:
        """Record `size` bytes that moved."""
        self.deadline = min(now + self._grace, max(self.deadline, now) + size / self._rate)

    def restart(self, now: float) -> None:
        """Grant the whole grace again, after a wait that was not the client's."""
        self.deadline = now + self._grace

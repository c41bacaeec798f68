"""A client's connection as seen by the gateway's limits."""

from __future__ import annotations

from typing import Protocol


class ClientConnection(Protocol):
    """A client's connection and its current request."""

    evicted_for: str | None
    """The limit for which the request was ended, or None."""

    @property
    def is_closing(self) -> bool:
        """True once no further part of an answer reaches the client."""

    @property
    def stalled_since(self) -> float | None:
        """The loop's time since which the request has waited for its client; None if it does not wait."""

    def retain_body(self, received: int = 0) -> None:
        """Charge the current request's body to the memory budget, because its app may hold it until it has answered.

        `received`: bytes that the app has received before.
        """

    def release_body(self) -> None:
        """Release the body's charge: the app forwards what it receives from now on."""

    def evict(self, limit: str) -> None:
        """End the current request in favour of others, with a 503 if its answer has not begun."""

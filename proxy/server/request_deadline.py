"""The time by which a client must send its next head, body or request."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from proxy.server.deadline import Deadline
from proxy.server.minimum_rate import MinimumRate
from proxy.server.timeouts import ClientTimeouts


class RequestDeadline(Deadline):
    """Deadline of what a client has to send: a head, a body at the minimum rate, or another request.

    It is clear while a complete request is served.
    """

    __slots__ = ("_began", "_rate", "_timeouts")
    _rate: MinimumRate

    def __init__(self, loop: asyncio.AbstractEventLoop, timeouts: ClientTimeouts, expired: Callable[[], None]) -> None:
        super().__init__(loop, expired)
        self._timeouts = timeouts
        self._began: float | None = None

    @property
    def is_connection_used(self) -> bool:
        """True once the first byte of a request has been received."""
        return self._began is not None

    @property
    def is_within_request(self) -> bool:
        """True until the time for a whole request, with its body, has passed."""
        return self._began is not None and self._loop.time() < self._began + self._timeouts.request

    def begin_request(self) -> None:
        """Record the time of a request's first byte."""
        self._began = self._loop.time()

    def await_head(self) -> None:
        """Start the time for a head."""
        self.set(self._timeouts.header)

    def await_next_request(self) -> None:
        """Start the time for another request on the connection."""
        self.set(self._timeouts.keep_alive)

    def begin_body(self) -> None:
        """Start the time by which more of a body is due; `await_body` sets it."""
        self._rate = MinimumRate(self._timeouts.min_rate, self._timeouts.idle, self._loop.time())

    def body_received(self, size: int) -> None:
        """Extend the time for a body by its received bytes."""
        self._rate.add(size, self._loop.time())

    def await_body(self) -> None:
        """Expire when the body falls behind the minimum rate, at the latest with the time for the whole request."""
        assert self._began is not None, "a body follows a head"
        self.set(min(self._began + self._timeouts.request, self._rate.deadline) - self._loop.time())

    def restart_body(self) -> None:
        """Restore the client's grace for a body that was not read for a while."""
        self._rate.restart(self._loop.time())
        self.await_body()

    def await_app(self) -> None:
        """Postpone the deadline if the app is slow, not the client."""
        self.set(self._timeouts.request)

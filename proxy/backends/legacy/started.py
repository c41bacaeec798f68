"""Requests without a body that were sent to the legacy without a task, on a connection that was idle.

Most answers are whole with their first bytes, so that nothing ever waits. A task takes an exchange over where the
answer comes in parts, the connection fails, or the time comes to watch whether the client is still there.
"""

from __future__ import annotations

import asyncio

from proxy.backends.legacy.connection import Connection
from proxy.backends.legacy.pool import Pool
from proxy.backends.legacy.request import ForwardedRequest
from proxy.gateway.starting import Progressed
from proxy.types import HeaderFields


class StartedExchange:
    """A request that was sent at `at` (the loop's time), whose answer has not come."""

    __slots__ = ("_exchanges", "_progressed", "at", "connection", "request")

    def __init__(
        self,
        exchanges: StartedExchanges,
        connection: Connection,
        request: ForwardedRequest,
        at: float,
        progressed: Progressed,
    ) -> None:
        self._exchanges, self._progressed = exchanges, progressed
        self.connection, self.request, self.at = connection, request, at

    @property
    def is_whole(self) -> bool:
        """Whether the answer is there to its last byte."""
        return self.connection.response.complete and self.connection.error is None

    def progress(self) -> None:
        """Leave the exchange to its caller: to `finish`, or to go on in a task."""
        self.connection.receiver = None
        self._exchanges.discard(self)
        self._progressed(self)

    def finish(self) -> tuple[int, HeaderFields, bytes]:
        """Release the connection of a whole answer; return its status, its headers that pass on, and its body."""
        response = self.connection.response
        head = response.head
        assert head is not None
        body = self.connection.take()
        self._exchanges.pool.release(self.connection)
        return head.status, head.passed, body


class StartedExchanges:
    """The exchanges of one pool that no task has taken over. Each makes progress at the latest after 2 * `delay`."""

    def __init__(self, pool: Pool, delay: float) -> None:
        self.pool, self._delay = pool, delay
        self._exchanges: dict[StartedExchange, None] = {}
        self._timer: asyncio.TimerHandle | None = None

    def start(self, connection: Connection, request: ForwardedRequest, progressed: Progressed) -> StartedExchange:
        """Send the request."""
        loop = asyncio.get_running_loop()
        exchange = StartedExchange(self, connection, request, loop.time(), progressed)
        self._exchanges[exchange] = None
        connection.begin(head_only=False)
        connection.receiver = exchange.progress
        connection.write(request.head)
        if self._timer is None:
            self._timer = loop.call_later(self._delay, self._end_waits)
        return exchange

    def discard(self, exchange: StartedExchange) -> None:
        """Forget an exchange that has made progress."""
        self._exchanges.pop(exchange, None)

    def _end_waits(self) -> None:
        """Hand those over that have waited for `delay`: one timer for all."""
        loop = asyncio.get_running_loop()
        self._timer = None
        before = loop.time() - self._delay
        for exchange in [each for each in self._exchanges if each.at <= before]:
            exchange.progress()
        if self._exchanges:
            self._timer = loop.call_later(self._delay, self._end_waits)

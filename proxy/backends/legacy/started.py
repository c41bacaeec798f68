"""Requests without a body that were sent to legacy without a task, on an idle connection.

Most answers arrive completely with their first bytes. A task takes an exchange over where the answer arrives in parts,
the connection fails, or the client must be watched for its disconnect.
"""

from __future__ import annotations

import asyncio

from proxy.backends.legacy.connection import Connection
from proxy.backends.legacy.pool import Pool
from proxy.backends.legacy.request import ForwardedRequest
from proxy.gateway.starting import Progressed
from proxy.types import HeaderFields


class StartedExchange:
    """A request that was sent at `at` (the loop's time) and is not answered yet."""

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
        """True where the complete answer has been received."""
        return self.connection.response.complete and self.connection.error is None

    def progress(self) -> None:
        """Leave the exchange to its caller: to `finish`, or to continue in a task."""
        self.connection.progress.receiver = None
        self._exchanges.discard(self)
        self._progressed(self)

    def finish(self) -> tuple[int, HeaderFields, bytes]:
        """Release the connection after a complete answer; return its status, the headers to forward, and its body."""
        response = self.connection.response
        head = response.head
        assert head is not None
        body = self.connection.take()
        self._exchanges.pool.release(self.connection)
        return head.status, head.passed, body


class StartedExchanges:
    """The exchanges of one pool without a task. Each makes progress at the latest after 2 * `delay` seconds."""

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
        connection.progress.receiver = exchange.progress
        connection.write(request.head)
        if self._timer is None:
            self._timer = loop.call_later(self._delay, self._end_waits)
        return exchange

    def discard(self, exchange: StartedExchange) -> None:
        """Remove an exchange that has made progress."""
        self._exchanges.pop(exchange, None)

    def _end_waits(self) -> None:
        """Hand over the exchanges that have waited for `delay`; one timer serves all."""
        loop = asyncio.get_running_loop()
        self._timer = None
        before = loop.time() - self._delay
        for exchange in [each for each in self._exchanges if each.at <= before]:
            exchange.progress()
        if self._exchanges:
            self._timer = loop.call_later(self._delay, self._end_waits)

"""Send requests without a body to legacy on an idle connection, without creating a task.

Most answers arrive completely with their first bytes. A task takes over an exchange if the answer arrives in parts,
the connection fails, or the client must be watched for its disconnect.
"""

from __future__ import annotations

import asyncio

from proxy.backends.legacy.connection import Connection
from proxy.backends.legacy.pool import Pool
from proxy.backends.legacy.request import EncodedRequest, ForwardedRequest
from proxy.gateway.starting import Progressed
from proxy.types import HeaderFields


class StartedExchange:
    """A request that was sent at `at` (the loop's time) and is not answered yet."""

    __slots__ = ("_encoded", "_exchanges", "_head", "_progressed", "at", "connection")

    def __init__(
        self,
        exchanges: StartedExchanges,
        connection: Connection,
        request: tuple[EncodedRequest, bytes],
        at: float,
        progressed: Progressed,
    ) -> None:
        """`request`: the fields of a `ForwardedRequest`."""
        self._exchanges, self.connection, self.at, self._progressed = exchanges, connection, at, progressed
        self._encoded, self._head = request

    @property
    def request(self) -> ForwardedRequest:
        """The request that was sent."""
        return ForwardedRequest(self._encoded, self._head)

    def progress(self) -> None:
        """Leave the exchange to its caller: to `finish`, or to continue in a task."""
        self.connection.progress.receiver = None
        self._exchanges.waiting.pop(self, None)
        self._progressed(self)

    def finish(self) -> tuple[int, HeaderFields, bytes] | None:
        """Release the connection after a complete answer; return its status, the headers to forward, and its body.

        Return None, and change nothing, if the answer is not complete.
        """
        connection = self.connection
        response = connection.response
        head = response.head
        if not response.complete or head is None or connection.error is not None:
            return None
        body = connection.take()
        self._exchanges.pool.release(connection)
        return head.status, head.passed, body


class StartedExchanges:
    """The exchanges of one pool without a task. Each is answered or handed over within 2 * `delay` seconds."""

    def __init__(self, pool: Pool, delay: float) -> None:
        self.pool, self._delay = pool, delay
        self.waiting: dict[StartedExchange, None] = {}
        self._timer: asyncio.TimerHandle | None = None

    def start(
        self, encoded: EncodedRequest, max_idle: float, request_id: bytes, progressed: Progressed
    ) -> StartedExchange | None:
        """Send a request on a connection that was idle for at most `max_idle` seconds; return None without one."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        connection = self.pool.reuse(max_idle, now)
        if connection is None:
            return None
        head = encoded.before_id + request_id + encoded.after_id
        exchange = StartedExchange(self, connection, (encoded, head), now, progressed)
        self.waiting[exchange] = None
        connection.begin(head_only=False)
        connection.progress.receiver = exchange.progress
        connection.write(head)
        if self._timer is None:
            self._timer = loop.call_later(self._delay, self._end_waits)
        return exchange

    def _end_waits(self) -> None:
        """Hand over the exchanges that have waited for `delay` seconds; one timer serves all."""
        loop = asyncio.get_running_loop()
        self._timer = None
        before = loop.time() - self._delay
        for exchange in [each for each in self.waiting if each.at <= before]:
            exchange.progress()
        if self.waiting:
            self._timer = loop.call_later(self._delay, self._end_waits)

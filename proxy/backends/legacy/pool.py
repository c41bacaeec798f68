"""The pool of connections to legacy, with limits on their number, idle time and age."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass

from common.late_timeout import LateTimeout
from proxy.backends.legacy.connection import Connection
from proxy.backends.legacy.dial import Dialer
from proxy.backends.legacy.framing import RecurringHeads
from proxy.gateway.errors import Overloaded

SWEEP_INTERVAL = 1.0
"""Maximum seconds between two searches for expired idle connections."""


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """`max_connections` open at once; seconds that a connection may be idle (`keep_alive`) and open (`max_age`).

    `max_idle_for_unsafe`: maximum idle seconds of a connection that carries a request which must not be sent twice.
    """

    max_connections: int = 256
    keep_alive: float = 15.0
    max_age: float = 300.0
    max_idle_for_unsafe: float = 1.0


class Pool:
    """Connections of one dialer, the most recently used first.

    A connection holds a slot from before it is dialled until it is closed completely. Without a free slot, callers wait
    in order for a released connection or a slot.
    """

    def __init__(self, dialer: Dialer, limits: PoolLimits) -> None:
        self._dialer, self.limits = dialer, limits
        self._recurring = RecurringHeads()
        self._idle: dict[Connection, None] = {}
        self._waiting: deque[asyncio.Future[Connection | None]] = deque()
        self._sweep: asyncio.TimerHandle | None = None
        self._draining = False
        self.open = 0
        """Number of connections that are open or being opened."""

    async def acquire(self, max_idle: float, timeout: float) -> Connection:
        """Return a connection that has been idle for at most `max_idle` seconds, or a new one.

        `timeout` limits the wait for a slot, and again the connecting, in seconds. Raises `Overloaded` if all slots
        stay in use, `Unreachable` or `ConnectTimeout`. The connection must be released.
        """
        connection = self.reuse(max_idle, asyncio.get_running_loop().time())
        while connection is None:
            if self.open < self.limits.max_connections:
                self.open += 1
                return await self._dial(timeout)
            if self._idle:
                next(iter(self._idle)).close()  # its slot becomes free once it is disconnected
            connection = await self._wait_for_slot(timeout)
            if connection is None:
                return await self._dial(timeout)
            if connection.closed or not connection.quiet:  # legacy has closed it since it was released
                connection.close()
                connection = None
        return connection

    def release(self, connection: Connection) -> None:
        """Take back a connection after its exchange; close it unless it is reusable."""
        now = asyncio.get_running_loop().time()
        limits = self.limits
        if self._draining or not (
            connection.reusable and connection.lifetime.rest(now, limits.keep_alive, limits.max_age)
        ):
            connection.close()
            return
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(connection)
                return
        self._idle[connection] = None
        if self._sweep is None:
            self._schedule_sweep(now)

    def close(self) -> None:
        """Close the idle connections, and each of the others once its exchange has ended."""
        self._draining = True
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        for connection in list(self._idle):
            connection.close()
        self._idle.clear()

    def reuse(self, max_idle: float, now: float) -> Connection | None:
        """Return a connection that has been idle for at most `max_idle` seconds at the loop's time `now`, or None."""
        while self._idle:
            connection, _ = self._idle.popitem()
            lifetime = connection.lifetime
            if not connection.closed and now < lifetime.idle_until:
                if now - lifetime.idle_since >= max_idle:
                    self._idle[connection] = None
                    return None
                if connection.quiet:
                    return connection
            connection.close()
        return None

    async def _dial(self, timeout: float) -> Connection:
        loop = asyncio.get_running_loop()
        try:
            connection = await self._dialer.dial(lambda: Connection(loop, self._recurring), timeout)
        except BaseException:
            self._release_slot()
            raise
        connection.on_disconnected(self._remove)
        return connection

    async def _wait_for_slot(self, timeout: float) -> Connection | None:
        """Wait for a released connection, or for the slot of a lost one (None)."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[Connection | None] = loop.create_future()
        self._waiting.append(waiter)
        try:
            async with LateTimeout(timeout):
                return await waiter
        except TimeoutError:
            self._give_back(waiter)
            raise Overloaded("max_connections") from None
        except asyncio.CancelledError:
            self._give_back(waiter)
            raise

    def _give_back(self, waiter: asyncio.Future[Connection | None]) -> None:
        """Pass on the connection or slot that a waiter received in the iteration in which it was cancelled."""
        if not waiter.done() or waiter.cancelled() or waiter.exception() is not None:
            return
        connection = waiter.result()
        if connection is None:
            self._release_slot()
        else:
            self.release(connection)

    def _remove(self, connection: Connection) -> None:
        self._idle.pop(connection, None)
        self._release_slot()

    def _release_slot(self) -> None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
        self.open -= 1

    def _schedule_sweep(self, now: float) -> None:
        next_deadline = min(connection.lifetime.idle_until for connection in self._idle)
        delay = min(max(next_deadline - now, 0.01), SWEEP_INTERVAL)
        self._sweep = asyncio.get_running_loop().call_later(delay, self._close_expired)

    def _close_expired(self) -> None:
        now = asyncio.get_running_loop().time()
        self._sweep = None
        for connection in [each for each in self._idle if now >= each.lifetime.idle_until]:
            del self._idle[connection]
            connection.close()
        if self._idle:
            self._schedule_sweep(now)

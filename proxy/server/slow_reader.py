"""Abort connections whose client reads answers more slowly than the minimum rate."""

from __future__ import annotations

import asyncio
from typing import Final

from proxy.server.connection_reset import reset
from proxy.server.minimum_rate import MinimumRate
from proxy.server.timeouts import ClientTimeouts
from proxy.websocket.link import acknowledged

CHECKS: Final = 8
"""Number of checks within the time by which a slow reader may fall behind."""


class SlowReaderWatch:
    """Aborts a connection whose client falls behind, from `begin` until all written bytes have been sent.

    `written` counts the bytes given to the transport; the connection increases it.
    """

    __slots__ = ("_delivered", "_loop", "_rate", "_timeouts", "_timer", "_transport", "written")

    def __init__(self, loop: asyncio.AbstractEventLoop, transport: asyncio.Transport, timeouts: ClientTimeouts) -> None:
        self._loop, self._transport, self._timeouts = loop, transport, timeouts
        self._rate: MinimumRate
        self._timer: asyncio.TimerHandle | None = None
        self.written = self._delivered = 0

    def begin(self) -> None:
        """Start the checks, unless they run already or nothing waits to be sent."""
        if self._timer is None and self._transport.get_write_buffer_size():
            self._rate = MinimumRate(self._timeouts.min_rate, self._timeouts.idle, self._loop.time())
            self._delivered = acknowledged(self._transport, self.written)
            self._schedule()

    def stop(self) -> None:
        """Stop the checks."""
        if self._timer is not None:
            self._timer.cancel()

    def _schedule(self) -> None:
        self._timer = self._loop.call_later(self._timeouts.idle / CHECKS, self._check)

    def _check(self) -> None:
        self._timer = None
        now = self._loop.time()
        delivered = acknowledged(self._transport, self.written)
        self._rate.add(delivered - self._delivered, now)
        self._delivered = delivered
        if now >= self._rate.deadline:
            reset(self._transport)
        elif self._transport.get_write_buffer_size():
            self._schedule()

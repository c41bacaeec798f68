"""Stop reading from a connection while there is no room for its bytes, or until its turn in the fair queue.

no room ──────▶ pause ──▶ resume ──▶ read
much is read ─▶ resume_by_queue ──▶ FairQueue ──▶ on_reached, then read
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable

from proxy.fair_queue import fair_queue_of


class ReadFlow:
    """Reading from one connection. The transport reads unless the flow is paused or queued.

    `client`: its key in the fair queue. `on_reached` is called when the queue reaches the connection, `on_resumed`
    whenever the transport reads again.
    """

    __slots__ = ("_client", "_on_reached", "_on_resumed", "_queue", "_transport", "is_paused", "is_queued")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        transport: asyncio.Transport,
        client: Hashable,
        on_reached: Callable[[], None] | None = None,
        on_resumed: Callable[[], None] | None = None,
    ) -> None:
        self._queue, self._transport, self._client = fair_queue_of(loop), transport, client
        self._on_reached, self._on_resumed = on_reached, on_resumed
        self.is_paused = self.is_queued = False

    @property
    def is_stopped(self) -> bool:
        """True while nothing is read."""
        return self.is_paused or self.is_queued

    def pause(self) -> None:
        """Stop reading until `resume` or `resume_by_queue`."""
        if not self.is_paused:
            self.is_paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        """End a pause."""
        if self.is_paused:
            self.is_paused = False
            self._read_on()

    def resume_by_queue(self, *, large: bool) -> None:
        """Read again once the fair queue reaches the client; end a pause. `large`: see `FairQueue.enqueue`."""
        self.is_paused = False
        self.queue(large=large)

    def queue(self, *, large: bool) -> None:
        """Read again once the fair queue reaches the client and no pause holds."""
        if not self.is_queued:
            self.is_queued = True
            self._transport.pause_reading()
            self._queue.enqueue(self._client, self._leave_queue, large=large)

    def _leave_queue(self) -> None:
        self.is_queued = False
        if self._on_reached is not None:
            self._on_reached()
        self._read_on()

    def _read_on(self) -> None:
        if not (self.is_paused or self.is_queued or self._transport.is_closing()):
            self._transport.resume_reading()
            if self._on_resumed is not None:
                self._on_resumed()


def call_after_arrivals(loop: asyncio.AbstractEventLoop, seconds: float, function: Callable[[], None]) -> None:
    """Call a function after `seconds`, and after whatever has arrived by then was read."""
    loop.call_later(seconds, call_soon_after_arrivals, loop, function)


def call_soon_after_arrivals(loop: asyncio.AbstractEventLoop, function: Callable[[], None]) -> None:
    """Call a function after whatever has arrived was read.

    A loop that is late runs its timers before it reads, so the call waits for a further pass.
    """
    loop.call_soon(loop.call_soon, function)

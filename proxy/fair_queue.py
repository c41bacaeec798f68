"""Share the event loop fairly: clients take turns with pieces of their large work.

    bytes ─▶ is the pass of the loop long already? ── no ─▶ read them now
                                                  └─ yes ─▶ queue; after a large read, the next one always queues

One pass of the loop handles every connection that is ready. A client with many connections, or with a very fast one,
would make a pass so long that others notice. `PASS_TIME` therefore limits the reads of a pass. Further reads wait in a
queue per client, and each pass takes from the clients in turn. Requests queue in the same way before native is called
or legacy is dialled (`wait_if_contended`), because these calls are most of a pass. A client's next requests queue
behind its waiting ones, so that a pass begins only one of them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Hashable
from functools import partial
from typing import Final
from weakref import WeakKeyDictionary

from proxy.rotation import Rotation

LARGE: Final = 64 * 1024
"""Bytes of a read after which the next read queues."""
PASS_TIME: Final = 0.004
"""Seconds of a pass after which further reads queue."""
QUEUE_TIME: Final = 0.001
"""Seconds of queued work that one pass begins."""

_loops: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, FairQueue]] = WeakKeyDictionary()


class FairQueue:
    """The queued work of one event loop, by client. `clock` gives seconds."""

    def __init__(self, loop: asyncio.AbstractEventLoop, clock: Callable[[], float] = time.monotonic) -> None:
        self._loop, self._clock = loop, clock
        self._waiting: Final = Rotation[tuple[Callable[[], None], bool]]()
        self._pass_began: float | None = None

    def __len__(self) -> int:
        """Return how many clients wait."""
        return len(self._waiting)

    @property
    def pass_is_long(self) -> bool:
        """True if this pass of the loop has lasted longer than `PASS_TIME`; the first call of a pass begins it."""
        if self._pass_began is None:
            self._pass_began = self._clock()
            self._loop.call_soon(self._end_pass)
            return False
        return self._clock() - self._pass_began > PASS_TIME

    def _end_pass(self) -> None:
        self._pass_began = None

    def enqueue(self, client: Hashable, work: Callable[[], None], *, large: bool = False) -> None:
        """Do `work` in one of the next passes; `large` work is the last of its pass."""
        if not self._waiting:
            self._loop.call_soon(self._run_pass)
        self._waiting.add(client, (work, large))

    async def wait_if_contended(self, client: Hashable) -> None:
        """Return immediately while passes are short and the client has no queued work; otherwise do as `wait`."""
        if client in self._waiting or self.pass_is_long:
            await self.wait(client)

    async def wait(self, client: Hashable) -> None:
        """Return when it is the client's turn; its task then does the large work."""
        granted = self._loop.create_future()
        self.enqueue(client, partial(_grant, granted), large=True)
        await granted

    def _run_pass(self) -> None:
        began = self._clock()
        try:
            while self._waiting and not self._run_next() and self._clock() - began < QUEUE_TIME:
                pass
        finally:
            if self._waiting:
                self._loop.call_soon(self._run_pass)

    def _run_next(self) -> bool:
        """Do the first work of the next client; return whether it is large."""
        work, large = self._waiting.take()
        work()
        return large


def _grant(granted: asyncio.Future[None]) -> None:
    if not granted.done():
        granted.set_result(None)


def fair_queue_of(loop: asyncio.AbstractEventLoop) -> FairQueue:
    """Return the queue of an event loop."""
    queue = _loops.get(loop)
    if queue is None:
        queue = _loops[loop] = FairQueue(loop)
    return queue

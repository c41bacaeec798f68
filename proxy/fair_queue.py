"""Share the event loop fairly: clients take turns with pieces of their large work.

    bytes ─▶ is the pass of the loop long already? ── no ─▶ read them now
                                                  └─ yes ─▶ queue; after a large read, the next one always queues

One pass of the loop handles every connection that is ready. A client with many connections, or with a very fast one,
would make a pass so long that others notice. `PASS_TIME` therefore limits the reads of a pass. Further reads wait in a
queue per client, and each pass takes from the clients in turn. Requests queue in the same way before native is called
or legacy is dialled (`wait_if_contended`), because these calls are most of a pass. A client's next requests queue
behind its waiting ones.

A pass begins queued work for as long as its other work takes up to `PASS_TIME`, and for a quarter of longer work.
With a constant time instead, the queue would starve while answers are large or many: of 128 new connections, the last
would wait for 100 passes.
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
"""Seconds of queued work that any pass may begin, and the assumed seconds of large work, which is done later."""

_loops: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, FairQueue]] = WeakKeyDictionary()


class FairQueue:
    """The queued work of one event loop, by client. `clock` gives seconds."""

    def __init__(self, loop: asyncio.AbstractEventLoop, clock: Callable[[], float] = time.monotonic) -> None:
        self._loop, self._clock = loop, clock
        self._waiting: Final = Rotation[tuple[Callable[[], None], bool]]()
        self._pass_began: float | None = None
        self._ended: float | None = None
        self._other_work = 0.0

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
        """Do `work` in one of the next passes. `large`: it causes more work than it does itself."""
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
        began, spent, budget = self._clock(), 0.0, self._budget()
        self._loop.call_soon(self._end_other_work)  # before the tasks that this pass wakes up
        try:
            while self._waiting and self._clock() - began + spent < budget:
                spent += QUEUE_TIME if self._run_next() else 0.0
        finally:
            self._other_work = 0.0
            self._ended = self._clock() if self._waiting else None
            if self._waiting:
                self._loop.call_soon(self._run_pass)

    def _budget(self) -> float:
        """Return how many seconds of queued work this pass may begin."""
        return max(QUEUE_TIME, min(self._other_work, PASS_TIME), self._other_work / 4)

    def _end_other_work(self) -> None:
        """Record for how long the loop did other work since the last pass ended."""
        if self._ended is not None:
            self._other_work = self._clock() - self._ended

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

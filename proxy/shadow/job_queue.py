"""Jobs that wait for one of few slots, and whose starts are spread over time."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Final, Generic, TypeVar

from common.background_tasks import BackgroundTasks

Job = TypeVar("Job")

STEP: Final = 0.01
"""Seconds between two starts of some of the waiting jobs."""


class JobQueue(Generic[Job]):
    """Runs jobs among `tasks` in their order, at most `limit()` of them at once.

    A burst of jobs occupies a CPU for long enough to delay the gateway. Of the waiting jobs, therefore, only the share
    `step / spread` starts every `step` seconds: a batch takes about `spread` seconds to start, however long it is. With
    a `spread` of 0, jobs start immediately.
    """

    def __init__(
        self,
        tasks: BackgroundTasks,
        run: Callable[[Job], Coroutine[Any, Any, None]],
        limit: Callable[[], int],
        spread: float = 0.0,
        step: float = STEP,
    ) -> None:
        self._tasks, self._run, self._limit = tasks, run, limit
        self._step, self._share = step, min(1.0, step / spread) if spread else 1.0
        self._waiting: deque[Job] = deque()
        self._running = 0
        self._allowed = 0
        self._next_step = -math.inf
        self._timer: asyncio.TimerHandle | None = None

    def add(self, job: Job) -> None:
        """Run a job as soon as there is a slot, within the share of its step."""
        self._waiting.append(job)
        self._start()

    def clear(self) -> None:
        """Drop the jobs that wait."""
        self._waiting.clear()

    def _start(self) -> None:
        """Start the jobs that may start now."""
        self._begin_step()
        while self._waiting and self._allowed and self._running < self._limit():
            self._allowed -= 1
            self._running += 1
            self._tasks.start(self._do(self._waiting.popleft()))
        if self._waiting and not self._allowed and self._timer is None:
            self._timer = asyncio.get_running_loop().call_at(self._next_step, self._expire_timer)

    def _begin_step(self) -> None:
        now = asyncio.get_running_loop().time()
        if self._share == 1.0 or now >= self._next_step:
            self._allowed = math.ceil(len(self._waiting) * self._share)
            self._next_step = now + self._step

    def _expire_timer(self) -> None:
        self._timer = None
        self._start()

    async def _do(self, job: Job) -> None:
        try:
            await self._run(job)
        finally:
            self._running -= 1
            self._start()

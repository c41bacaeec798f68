"""Jobs that wait for one of few slots."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

from common.background_tasks import BackgroundTasks

Job = TypeVar("Job")


class JobQueue(Generic[Job]):
    """Runs jobs among `tasks` in their order, at most `limit()` of them at once."""

    def __init__(
        self, tasks: BackgroundTasks, run: Callable[[Job], Coroutine[Any, Any, None]], limit: Callable[[], int]
    ) -> None:
        self._tasks, self._run, self._limit = tasks, run, limit
        self._waiting: deque[Job] = deque()
        self._running = 0

    def add(self, job: Job) -> None:
        """Run a job as soon as there is a slot."""
        self._waiting.append(job)
        self._start()

    def clear(self) -> None:
        """Drop the jobs that wait."""
        self._waiting.clear()

    def _start(self) -> None:
        while self._waiting and self._running < self._limit():
            self._running += 1
            self._tasks.start(self._do(self._waiting.popleft()))

    async def _do(self, job: Job) -> None:
        try:
            await self._run(job)
        finally:
            self._running -= 1
            self._start()

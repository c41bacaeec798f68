"""Jobs that wait for one of few slots."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

Job = TypeVar("Job")


class JobQueue(Generic[Job]):
    """Runs jobs in their order, at most `limit()` of them at once. `run` must not raise."""

    def __init__(self, run: Callable[[Job], Coroutine[Any, Any, None]], limit: Callable[[], int]) -> None:
        self._run, self._limit = run, limit
        self._waiting: deque[Job] = deque()
        self.tasks: set[asyncio.Task[None]] = set()
        """The jobs that run."""

    def add(self, job: Job) -> None:
        """Run a job as soon as there is a slot."""
        self._waiting.append(job)
        self._start()

    def clear(self) -> None:
        """Drop the jobs that wait."""
        self._waiting.clear()

    def _start(self) -> None:
        while self._waiting and len(self.tasks) < self._limit():
            task = asyncio.create_task(self._run(self._waiting.popleft()))
            self.tasks.add(task)
            task.add_done_callback(self._end)

    def _end(self, task: asyncio.Task[None]) -> None:
        self.tasks.discard(task)
        self._start()

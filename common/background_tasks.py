"""Background tasks of a service, which are stopped together."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from contextvars import Context
from typing import Any, TypeVar

from common.failure_trace import trace_of

T = TypeVar("T")

logger = logging.getLogger(__name__)


class BackgroundTasks:
    """The tasks that a service runs until it stops. The failure of a task is logged without its message."""

    def __init__(self, *, cancel_again: float = 5.0) -> None:
        """`cancel_again`: seconds after which `stop` cancels a task again that has not ended.

        Libraries can swallow a cancellation: before Python 3.12 `asyncio.wait_for` does when the awaited result
        arrives at the same time. Without a second cancellation, neither the task nor `stop` would end.
        """
        self._cancel_again = cancel_again
        self._tasks: set[asyncio.Task[Any]] = set()
        self._cancelled: set[asyncio.Task[Any]] = set()

    @property
    def running(self) -> bool:
        """True while there are tasks that have not ended and are not cancelled."""
        return bool(self._tasks)

    def start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run a coroutine as a task of the running event loop.

        The context is empty, so that the task does not inherit the transaction of a request that starts it.
        """
        task = asyncio.get_running_loop().create_task(work, context=Context())
        self._tasks.add(task)
        task.add_done_callback(self._end)
        return task

    def cancel(self) -> None:
        """Cancel the tasks without waiting. `stop` waits for those that have not ended."""
        for task in self._tasks:
            task.cancel()
        self._cancelled |= self._tasks
        self._tasks.clear()

    async def stop(self) -> None:
        """Cancel the tasks and wait for their end; their errors are not raised."""
        self.cancel()
        pending = set(self._cancelled)
        while pending:
            _, pending = await asyncio.wait(pending, timeout=self._cancel_again)
            for task in pending:
                task.cancel()

    def _end(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        self._cancelled.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("a background task failed: %s", trace_of(error))

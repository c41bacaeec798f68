"""Background tasks of a service, which start and stop together."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


class BackgroundTasks:
    """The tasks that a service runs between its start and its stop."""

    def __init__(self, *, cancel_again: float = 5.0) -> None:
        """`cancel_again`: seconds after which `stop` cancels a task again that has not ended.

        Libraries can swallow a cancellation: `asyncio.wait_for` before Python 3.12 does when the awaited result comes
        at the same time. The task would then run for ever, and `stop` with it.
        """
        self._cancel_again = cancel_again
        self._tasks: tuple[asyncio.Task[None], ...] = ()
        self._cancelled: set[asyncio.Task[None]] = set()

    @property
    def running(self) -> bool:
        """True between `start` and `stop` or `cancel`."""
        return bool(self._tasks)

    def start(self, *work: Coroutine[Any, Any, None]) -> None:
        """Run coroutines as tasks of the running event loop, in addition to those already running."""
        self._tasks += tuple(asyncio.get_running_loop().create_task(each) for each in work)

    def cancel(self) -> None:
        """Cancel the tasks without waiting; `stop` waits for their end, unless they have ended by then."""
        tasks, self._tasks = self._tasks, ()
        for task in tasks:
            self._cancelled.add(task)
            task.add_done_callback(self._cancelled.discard)
            task.cancel()

    async def stop(self) -> None:
        """Cancel the tasks and wait for their end; their errors are not raised."""
        self.cancel()
        tasks = pending = set(self._cancelled)
        while pending:
            _, pending = await asyncio.wait(pending, timeout=self._cancel_again)
            for task in pending:
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

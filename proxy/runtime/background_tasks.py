"""Background tasks of a service, which start and stop together."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


class BackgroundTasks:
    """The tasks that a service runs between its start and its stop."""

    def __init__(self) -> None:
        self._tasks: tuple[asyncio.Task[None], ...] = ()

    @property
    def running(self) -> bool:
        """True between `start` and `stop`."""
        return bool(self._tasks)

    def start(self, *work: Coroutine[Any, Any, None]) -> None:
        """Run coroutines as tasks of the running event loop, in addition to those already running."""
        self._tasks += tuple(asyncio.get_running_loop().create_task(each) for each in work)

    async def stop(self) -> None:
        """Cancel the tasks and wait for their end; their errors are not raised."""
        tasks, self._tasks = self._tasks, ()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

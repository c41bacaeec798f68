"""Tell the cancellation of a task from an exception of the code that it runs."""

from __future__ import annotations

import asyncio


def ends_task(error: BaseException) -> bool:
    """Return True if an exception that the running task has caught ends the task, and must be raised again.

    A task that is being cancelled ends, and so does a coroutine that is being closed. A CancelledError also comes from
    code that awaits a cancelled future, and a BaseExceptionGroup from a group of tasks: both are that code's failures.
    """
    if isinstance(error, GeneratorExit):
        return True
    task = asyncio.current_task()
    return not isinstance(error, Exception) and task is not None and task.cancelling() > 0

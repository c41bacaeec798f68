"""Blocking calls that may never return, such as reading a file from a hung network file system.

`asyncio.to_thread` is unsuitable: its few threads are shared, and the process waits for all of them at exit.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import Final, TypeVar

T = TypeVar("T")


class DaemonThreads:
    """Runner of calls in one thread each; a thread whose call times out is abandoned."""

    def __init__(self, name: str) -> None:
        self._name: Final = name
        self._threads: list[threading.Thread] = []

    @property
    def running(self) -> int:
        """Number of threads whose call has not returned."""
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        return len(self._threads)

    async def run(self, function: Callable[[], T], timeout: float) -> T:
        """Return the function's result or raise its error. Raises TimeoutError after `timeout` seconds."""
        loop = asyncio.get_running_loop()
        result: asyncio.Future[T] = loop.create_future()

        def call() -> None:
            try:
                value = function()
            except Exception as error:
                finish(result.set_exception, error)
            else:
                finish(result.set_result, value)

        def finish(setter: Callable[..., None], outcome: object) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has been closed
                loop.call_soon_threadsafe(lambda: None if result.done() else setter(outcome))

        thread = threading.Thread(target=call, name=self._name, daemon=True)
        thread.start()
        self._threads.append(thread)
        async with asyncio.timeout(timeout):
            return await result

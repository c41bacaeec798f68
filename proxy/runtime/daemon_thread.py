"""Run blocking calls that may never return, such as reading a file from a hung network file system.

`asyncio.to_thread` is unsuitable: its few threads are shared, and the process waits for all of them at exit.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable
from typing import Final, TypeVar

T = TypeVar("T")
Call = Callable[[], Callable[[], None]]
"""A call that returns a function, which delivers the result."""

IDLE_TIMEOUT: Final = 1.5
"""Seconds for which a thread waits for its next call, because starting a thread costs more than a call."""


class DaemonThreads:
    """Runner of calls in threads, one at a time each; a thread whose call times out is abandoned until it returns."""

    def __init__(self, name: str, idle_timeout: float = IDLE_TIMEOUT) -> None:
        self._name: Final = name
        self._idle_timeout = idle_timeout
        self._threads: list[_CallingThread] = []

    @property
    def running(self) -> int:
        """Number of threads whose call has not returned."""
        return sum(thread.is_calling for thread in self._threads)

    async def run(self, function: Callable[[], T], timeout: float) -> T:
        """Return the function's result or raise its error. Raises TimeoutError after `timeout` seconds."""
        loop = asyncio.get_running_loop()
        result: asyncio.Future[T] = loop.create_future()

        def call() -> Callable[[], None]:
            try:
                value = function()
            except Exception as error:
                return finish(result.set_exception, error)
            return finish(result.set_result, value)

        def finish(setter: Callable[..., None], outcome: object) -> Callable[[], None]:
            def deliver() -> None:
                with contextlib.suppress(RuntimeError):  # the loop has been closed
                    loop.call_soon_threadsafe(lambda: None if result.done() else setter(outcome))

            return deliver

        if not any(thread.submit(call) for thread in self._threads):
            self._threads = [thread for thread in self._threads if not thread.has_ended]
            self._threads.append(_CallingThread(self._name, self._idle_timeout, call))
        async with asyncio.timeout(timeout):
            return await result


class _CallingThread:
    """A thread that runs one call at a time, and ends if none comes for `idle_timeout` seconds.

    It starts with its first call: on a busy machine the time could pass before a call is submitted.
    """

    def __init__(self, name: str, idle_timeout: float, first: Call) -> None:
        self.is_calling = True
        self.has_ended = False
        self._idle_timeout = idle_timeout
        self._calls: queue.SimpleQueue[Call] = queue.SimpleQueue()
        self._calls.put(first)
        self._lock = threading.Lock()  # held during a submission and the thread's end
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def submit(self, call: Call) -> bool:
        """Run a call; return False if the thread runs another or has ended."""
        with self._lock:
            if self.is_calling or self.has_ended:
                return False
            self.is_calling = True
            self._calls.put(call)
            return True

    def _run(self) -> None:
        while self._run_next():
            pass

    def _run_next(self) -> bool:
        try:
            call = self._calls.get(timeout=self._idle_timeout)
        except queue.Empty:
            with self._lock:
                self.has_ended = not self.is_calling
            return not self.has_ended
        deliver = call()
        self.is_calling = False  # before the result is seen
        deliver()
        return True

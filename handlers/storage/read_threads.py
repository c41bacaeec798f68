"""Threads for blocking reads, with a shorter path from and to the event loop than an executor's.

    future ─▶ SimpleQueue ─▶ thread: the blocking call ─▶ call_soon_threadsafe ─▶ future

An executor costs several times as much for each call: a second future with a lock, its link to the event loop's
future, a copy of the context, and the inspection of the function.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from typing import Any, Final, NamedTuple


class _Call(NamedTuple):
    """A call that waits for a thread."""

    result: asyncio.Future[Any]
    function: Callable[..., Any]
    arguments: tuple[object, ...]


class ReadThreads:
    """At most `size` threads, each started when no other is free.

    The threads are daemons: a read that hangs does not delay the end of the process. They run calls in their own
    context, without the caller's context variables.
    """

    def __init__(self, name: str, size: int) -> None:
        self._name: Final = name
        self._size: Final = size
        self._calls: Final = SimpleQueue[_Call | None]()
        self._threads: list[Thread] = []
        self._pending = 0

    @property
    def started(self) -> int:
        """Number of threads."""
        return len(self._threads)

    def submit(self, function: Callable[..., Any], *arguments: object) -> asyncio.Future[Any]:
        """Call a function in a thread; return a future of its result or error.

        A call whose future is cancelled before a thread is free is not made. Must be called in the event loop.
        """
        result: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._pending += 1
        if len(self._threads) < min(self._pending, self._size):
            self._start_thread()
        self._calls.put(_Call(result, function, arguments))
        return result

    def close(self) -> None:
        """Let the threads end after the calls that wait already."""
        for _ in self._threads:
            self._calls.put(None)
        self._threads.clear()

    def _start_thread(self) -> None:
        thread = Thread(target=self._work, name=f"{self._name}-{len(self._threads)}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            value, error = None, None
            result = call.result
            if not result.cancelled():
                try:
                    value = call.function(*call.arguments)
                except BaseException as raised:
                    error = raised
            with contextlib.suppress(RuntimeError):  # the loop has been closed
                result.get_loop().call_soon_threadsafe(self._deliver, result, value, error)
            del call, result, value, error  # a thread without work holds no documents

    def _deliver(self, result: asyncio.Future[Any], value: object, error: BaseException | None) -> None:
        self._pending -= 1
        if result.done():
            return
        if error is None:
            result.set_result(value)
        else:
            result.set_exception(error)

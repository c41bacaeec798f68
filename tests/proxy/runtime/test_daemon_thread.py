"""Calls in threads that may hang: results, errors, reuse, abandonment, the end of idle threads."""

from __future__ import annotations

import asyncio
import threading

import pytest

from proxy.runtime.daemon_thread import DaemonThreads
from tests.support.waiting import HANG_TIMEOUT


async def test_sequential_calls_share_one_thread() -> None:
    threads = DaemonThreads("test-reuse")
    assert len({await threads.run(threading.get_ident, HANG_TIMEOUT) for _ in range(5)}) == 1
    assert threads.running == 0


async def test_error_is_raised_and_the_thread_continues() -> None:
    threads = DaemonThreads("test-errors")

    def fail() -> None:
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        await threads.run(fail, HANG_TIMEOUT)
    assert await threads.run(lambda: 1, HANG_TIMEOUT) == 1


async def test_hanging_call_is_abandoned_and_others_run() -> None:
    threads, end = DaemonThreads("test-hanging"), threading.Event()
    with pytest.raises(TimeoutError):
        await threads.run(lambda: end.wait(60), 0.05)
    assert threads.running == 1
    assert await threads.run(lambda: 1, HANG_TIMEOUT) == 1
    end.set()
    async with asyncio.timeout(HANG_TIMEOUT):
        while threads.running:
            await asyncio.sleep(0.01)


async def test_concurrent_calls_run_in_separate_threads() -> None:
    threads, barrier = DaemonThreads("test-at-once"), threading.Barrier(3)
    await asyncio.gather(*(threads.run(lambda: barrier.wait(HANG_TIMEOUT), HANG_TIMEOUT) for _ in range(3)))


async def test_disabled_idling_starts_a_thread_per_call() -> None:
    threads = DaemonThreads("test-hasty", idle_timeout=0.0)
    assert [await threads.run(lambda: 1, HANG_TIMEOUT) for _ in range(100)] == [1] * 100


async def test_idle_threads_end_and_the_next_call_starts_one() -> None:
    threads = DaemonThreads("test-idle", idle_timeout=0.01)
    await threads.run(lambda: None, HANG_TIMEOUT)
    async with asyncio.timeout(HANG_TIMEOUT):
        while any(thread.name == "test-idle" for thread in threading.enumerate()):
            await asyncio.sleep(0.01)
    assert await threads.run(lambda: 2, HANG_TIMEOUT) == 2

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextvars import ContextVar

import pytest

from handlers.storage.read_threads import ReadThreads
from tests.support.waiting import HANG_TIMEOUT

HANGING_READ = """
import asyncio, threading
from handlers.storage.read_threads import ReadThreads

async def main():
    begun = threading.Event()
    ReadThreads("hanging", 1).submit(lambda: (begun.set(), threading.Event().wait()))
    await asyncio.to_thread(begun.wait)

asyncio.run(main())
"""
VARIABLE: ContextVar[str] = ContextVar("variable", default="unset")


@pytest.fixture
def threads() -> Iterator[ReadThreads]:
    threads = ReadThreads("test-read", 2)
    yield threads
    threads.close()


async def test_results_and_errors_arrive_in_the_loop(threads: ReadThreads) -> None:
    assert await threads.submit(divmod, 7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        await threads.submit(divmod, 7, 0)
    assert await threads.submit(threading.get_ident) != threading.get_ident()


async def test_threads_are_started_as_needed_up_to_their_limit(threads: ReadThreads) -> None:
    assert threads.started == 0
    for _ in range(5):
        await threads.submit(str)
    assert threads.started == 1
    gate = threading.Barrier(3)
    calls = [threads.submit(gate.wait, HANG_TIMEOUT) for _ in range(2)]
    waiting = threads.submit(str, "third")
    await asyncio.to_thread(gate.wait, HANG_TIMEOUT)
    await asyncio.gather(*calls)
    assert (await waiting, threads.started) == ("third", 2)


async def test_cancelled_call_is_not_made_and_does_not_occupy_a_thread(threads: ReadThreads) -> None:
    gate, made = threading.Event(), list[int]()
    running = [threads.submit(gate.wait, HANG_TIMEOUT) for _ in range(2)]
    waiting = [threads.submit(made.append, number) for number in range(2)]
    waiting[0].cancel()
    running[0].cancel()
    gate.set()
    await waiting[1]
    assert made == [1]
    assert running[0].cancelled()
    assert await running[1] is True


async def test_calls_do_not_run_in_the_context_of_the_caller(threads: ReadThreads) -> None:
    VARIABLE.set("caller")
    assert await threads.submit(VARIABLE.get) == "unset"


async def test_closed_threads_complete_the_waiting_calls(threads: ReadThreads) -> None:
    calls = [threads.submit(str, number) for number in range(5)]
    threads.close()
    assert await asyncio.gather(*calls) == ["0", "1", "2", "3", "4"]
    assert threads.started == 0


def test_result_for_a_closed_loop_is_dropped(threads: ReadThreads) -> None:
    gate = threading.Event()

    async def leave() -> None:
        threads.submit(gate.wait, HANG_TIMEOUT)

    asyncio.run(leave())
    gate.set()

    async def use() -> object:
        return await threads.submit(str, "next")

    assert asyncio.run(use()) == "next"


def test_hanging_read_does_not_delay_the_end_of_the_process() -> None:
    subprocess.run([sys.executable, "-c", HANGING_READ], timeout=HANG_TIMEOUT, check=True)

"""Jobs run in order, within their slots, and do not start in bursts."""

from __future__ import annotations

import asyncio
import math

from common.background_tasks import BackgroundTasks
from proxy.shadow.job_queue import JobQueue
from tests.support.event_loop import advance

STEP = 1000.0
"""Seconds between two steps: a loaded machine does not reach the next one by itself."""


class Jobs:
    """A queue of jobs that run until they are ended; `started` are those that have begun."""

    def __init__(self, limit: int, spread: float = 0.0) -> None:
        self.limit = limit
        self.started: list[str] = []
        self._ends: dict[str, asyncio.Event] = {}
        self._tasks = BackgroundTasks()
        self.queue = JobQueue[str](self._tasks, self._run, lambda: self.limit, spread, STEP)

    async def _run(self, name: str) -> None:
        self.started.append(name)
        await self._ends.setdefault(name, asyncio.Event()).wait()

    async def end(self, name: str) -> None:
        self._ends[name].set()
        await advance(0.0)

    async def add(self, names: str) -> None:
        for name in names:
            self.queue.add(name)
        await advance(0.0)

    async def stop(self) -> None:
        self.queue.clear()
        await self._tasks.stop()


async def test_jobs_run_in_their_order_within_the_limit() -> None:
    jobs = Jobs(limit=2)
    await jobs.add("abcd")
    assert jobs.started == ["a", "b"]
    await jobs.end("b")
    assert jobs.started == ["a", "b", "c"]
    jobs.limit = 3
    await jobs.end("a")
    assert jobs.started == ["a", "b", "c", "d"]
    await jobs.stop()


async def test_cleared_jobs_do_not_run() -> None:
    jobs = Jobs(limit=1)
    await jobs.add("abc")
    jobs.queue.clear()
    await jobs.end("a")
    assert jobs.started == ["a"]
    await jobs.stop()


async def test_batch_starts_by_shares_of_the_waiting_jobs() -> None:
    jobs = Jobs(limit=100, spread=5 * STEP)
    await jobs.add("abcdefghijk")
    for started in "a", "abc", "abcde", "abcdefg", "abcdefgh", "abcdefghi", "abcdefghij", "abcdefghijk":
        assert jobs.started == list(started)
        await advance(STEP)
    await jobs.stop()


async def test_long_queue_starts_in_the_time_of_a_short_one() -> None:
    jobs = Jobs(limit=10_000, spread=5 * STEP)
    await jobs.add("x" * 1000)
    await advance(STEP)
    assert len(jobs.started) == 1 + math.ceil(999 / 5)
    await jobs.stop()


async def test_job_after_a_pause_starts_at_once() -> None:
    jobs = Jobs(limit=100, spread=5 * STEP)
    await jobs.add("a")
    await advance(STEP)
    await jobs.add("b")
    assert jobs.started == ["a", "b"]
    await jobs.stop()


async def test_jobs_of_a_step_start_as_slots_become_free() -> None:
    jobs = Jobs(limit=1, spread=2 * STEP)
    await jobs.add("abcde")
    await jobs.end("a")
    assert jobs.started == ["a"]
    await advance(STEP)
    for name in "bc":
        assert jobs.started[-1] == name
        await jobs.end(name)
    assert jobs.started == ["a", "b", "c"]
    await advance(STEP)
    assert jobs.started == ["a", "b", "c", "d"]
    await jobs.stop()


async def test_timer_of_cleared_jobs_starts_nothing() -> None:
    jobs = Jobs(limit=100, spread=5 * STEP)
    await jobs.add("abc")
    jobs.queue.clear()
    await advance(STEP)
    assert jobs.started == ["a"]
    await jobs.stop()

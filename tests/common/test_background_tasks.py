"""Background tasks of a service start together, and none is left after a stop."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar

import pytest

from common.background_tasks import BackgroundTasks


class Recorder:
    """A coroutine that waits forever, and records its cancellation and its end."""

    def __init__(self) -> None:
        self.ended = False

    async def run(self) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)  # an end that takes an iteration of the loop
            self.ended = True


async def test_stop_waits_for_tasks_that_were_cancelled_before() -> None:
    tasks, former, current = BackgroundTasks(), Recorder(), Recorder()
    tasks.start(former.run())
    await asyncio.sleep(0)
    tasks.cancel()
    assert (tasks.running, former.ended) == (False, False)
    tasks.start(current.run())
    await asyncio.sleep(0)
    assert tasks.running
    await tasks.stop()
    assert (tasks.running, former.ended, current.ended) == (False, True, True)


async def test_failure_is_logged_without_its_message_and_not_raised(caplog: pytest.LogCaptureFixture) -> None:
    async def fail() -> None:
        raise ValueError("jane.roe@clinic.example")

    tasks = BackgroundTasks()
    tasks.start(fail())
    while tasks.running:
        await asyncio.sleep(0)
    await tasks.stop()
    assert "a background task failed: ValueError at test_background_tasks.py" in caplog.text
    assert "jane" not in caplog.text


async def test_task_has_a_result_and_an_empty_context() -> None:
    variable: ContextVar[str] = ContextVar("variable", default="")
    variable.set("a request's")

    async def read() -> str:
        return variable.get()

    assert await BackgroundTasks().start(read()) == ""


async def test_stop_cancels_a_task_again_that_swallows_cancellations() -> None:
    swallowed = 0

    async def swallow() -> None:
        nonlocal swallowed
        while swallowed < 3:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                swallowed += 1
        await asyncio.Event().wait()

    tasks = BackgroundTasks(cancel_again=0.01)
    tasks.start(swallow())
    await asyncio.sleep(0)
    await tasks.stop()
    assert swallowed == 3

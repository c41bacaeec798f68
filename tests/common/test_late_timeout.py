"""A timeout counts the time of this process, not that in which it is stopped."""

from __future__ import annotations

import asyncio
from typing import Final

import pytest

from common.late_timeout import MAX_LATENESS, LateTimeout
from tests.support.event_loop import advance

SECONDS: Final = 1000.0


async def wait(timeout: LateTimeout) -> None:
    async with timeout:
        await asyncio.Event().wait()


async def test_timeout_starts_again_once_after_a_stop() -> None:
    timeout = LateTimeout(SECONDS)
    waiting = asyncio.create_task(wait(timeout))
    await advance(SECONDS + 10 * MAX_LATENESS)
    assert (waiting.done(), timeout.was_late) == (False, True)
    await advance(10 * SECONDS)
    with pytest.raises(TimeoutError):
        await waiting


async def test_timeout_of_a_running_process_ends_in_time() -> None:
    timeout = LateTimeout(SECONDS, max_lateness=SECONDS)
    waiting = asyncio.create_task(wait(timeout))
    await advance(1.5 * SECONDS)
    with pytest.raises(TimeoutError):
        await waiting
    assert not timeout.was_late


async def test_timeout_that_was_moved_does_not_start_again() -> None:
    timeout = LateTimeout(SECONDS)
    with pytest.raises(TimeoutError):
        async with timeout as limit:
            limit.reschedule(asyncio.get_running_loop().time() + 2 * SECONDS)
            await advance(10 * SECONDS)
            await asyncio.Event().wait()


async def test_ended_timeout_has_no_effect() -> None:
    async with LateTimeout(SECONDS, max_lateness=100 * SECONDS):
        pass
    await advance(10 * SECONDS)

"""The signal of an exchange's progress, and the pause of its writes."""

from __future__ import annotations

import asyncio

from proxy.backends.legacy.progress_signal import ProgressSignal
from proxy.backends.legacy.write_pause import WritePause
from tests.support.waiting import HANG_TIMEOUT


async def test_progress_wakes_the_answer_and_the_body() -> None:
    signal = ProgressSignal(asyncio.get_running_loop())
    waits = [asyncio.ensure_future(signal.wait()), asyncio.ensure_future(signal.wait_before_body(60))]
    await asyncio.sleep(0)
    assert not any(wait.done() for wait in waits)
    signal.wake()
    await asyncio.wait_for(asyncio.gather(*waits), HANG_TIMEOUT)


async def test_receiver_is_called_once_instead() -> None:
    signal, calls = ProgressSignal(asyncio.get_running_loop()), []
    wait = asyncio.ensure_future(signal.wait())
    await asyncio.sleep(0)
    signal.receiver = lambda: calls.append(1)
    signal.wake()
    await asyncio.sleep(0)
    assert calls == [1]
    assert not wait.done()
    signal.wake()
    await asyncio.wait_for(wait, HANG_TIMEOUT)
    assert calls == [1]


async def test_body_wait_is_bounded() -> None:
    await asyncio.wait_for(ProgressSignal(asyncio.get_running_loop()).wait_before_body(0.01), HANG_TIMEOUT)


async def test_writes_wait_during_a_pause_only() -> None:
    pause = WritePause(asyncio.get_running_loop())
    await asyncio.wait_for(pause.wait(), HANG_TIMEOUT)
    pause.begin()
    wait = asyncio.ensure_future(pause.wait())
    await asyncio.sleep(0)
    assert not wait.done()
    pause.end()
    await asyncio.wait_for(wait, HANG_TIMEOUT)

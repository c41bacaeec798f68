"""The timeout that progress extends, with a clock that the test moves."""

from __future__ import annotations

import pytest_asyncio

from proxy.websocket.progress_timeout import ProgressTimeout
from tests.support.event_loop import advance

SECONDS = 5.0
LATE = 60.0


class Case:
    def __init__(self) -> None:
        self.progress = self.expired = 0
        self.timeout = ProgressTimeout(SECONDS, lambda: self.progress, self._expire)

    def _expire(self) -> None:
        self.expired += 1


@pytest_asyncio.fixture
async def case() -> Case:
    return Case()


async def test_timeout_expires_once_without_progress(case: Case) -> None:
    case.timeout.start()
    await advance(SECONDS)
    await advance(SECONDS)
    assert case.expired == 1


async def test_progress_extends_the_timeout(case: Case) -> None:
    case.timeout.start()
    case.progress = 1
    await advance(SECONDS)
    assert case.expired == 0
    await advance(SECONDS)
    assert case.expired == 1


async def test_progress_before_the_start_is_ignored(case: Case) -> None:
    case.progress = 7
    case.timeout.start()
    await advance(SECONDS)
    assert case.expired == 1


async def test_cancelled_timeout_does_not_expire(case: Case) -> None:
    case.timeout.start()
    case.timeout.cancel()
    await advance(SECONDS)
    assert case.expired == 0


async def test_second_start_replaces_the_first(case: Case) -> None:
    case.timeout.start()
    await advance(SECONDS / 2)
    case.timeout.start()
    await advance(SECONDS / 2)
    assert case.expired == 0


async def test_process_that_was_stopped_starts_again_once(case: Case) -> None:
    case.timeout.start()
    await advance(LATE)
    assert case.expired == 0
    await advance(LATE)
    assert case.expired == 1


async def test_progress_after_a_stop_counts(case: Case) -> None:
    case.timeout.start()
    await advance(LATE)
    case.progress = 1
    await advance(SECONDS)
    assert case.expired == 0

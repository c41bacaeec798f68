"""The timeout that progress extends, with a clock that the test moves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from proxy.websocket.progress_timeout import ProgressTimeout


class Timer:
    """A loop's `call_later`, whose calls become due when the test moves the clock."""

    def __init__(self) -> None:
        self.pending: list[tuple[Callable[..., None], tuple[Any, ...]]] = []

    def call_later(self, delay: float, callback: Callable[..., None], *args: Any) -> Timer:
        assert delay == 5
        self.pending.append((callback, args))
        return self

    def cancel(self) -> None:
        self.pending.clear()

    def elapse(self) -> None:
        due, self.pending = self.pending, []
        for callback, args in due:
            callback(*args)


class Case:
    def __init__(self) -> None:
        self.timer, self.progress, self.expired = Timer(), 0, 0
        loop: asyncio.AbstractEventLoop = self.timer  # type: ignore[assignment]
        self.timeout = ProgressTimeout(loop, 5, lambda: self.progress, self._expire)

    def _expire(self) -> None:
        self.expired += 1


@pytest.fixture
def case() -> Case:
    return Case()


def test_timeout_expires_once_without_progress(case: Case) -> None:
    case.timeout.start()
    case.timer.elapse()
    case.timer.elapse()
    assert case.expired == 1


def test_progress_extends_the_timeout(case: Case) -> None:
    case.timeout.start()
    case.progress = 1
    case.timer.elapse()
    assert case.expired == 0
    case.timer.elapse()
    assert case.expired == 1


def test_progress_before_the_start_is_ignored(case: Case) -> None:
    case.progress = 7
    case.timeout.start()
    case.timer.elapse()
    assert case.expired == 1


def test_cancelled_timeout_does_not_expire(case: Case) -> None:
    case.timeout.start()
    case.timeout.cancel()
    case.timer.elapse()
    assert case.expired == 0


def test_second_start_replaces_the_first(case: Case) -> None:
    case.timeout.start()
    case.timeout.start()
    assert len(case.timer.pending) == 1

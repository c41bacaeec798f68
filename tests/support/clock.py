"""A clock that a test moves."""

from __future__ import annotations


class Clock:
    """A clock in seconds that advances only when a test moves it; `now` is its time."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

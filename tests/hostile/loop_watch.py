"""Measure how long each callback holds an event loop, in CPU seconds of the loop's thread.

CPU time is used instead of wall time, so that other processes do not make a callback appear slower.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

IDLE: Final = 0.0100
"""CPU seconds of `_work` on the machine of docs/performance.md while it is idle."""
_TEXT: Final = json.dumps([{"name": f"field {number}", "value": [number / 7] * 4} for number in range(5_000)])


@dataclass
class LoopWatch:
    """The longest callback since `reset`: its CPU seconds, and the code that it ran."""

    seconds: float = 0.0
    culprit: str = ""

    def reset(self) -> None:
        self.seconds, self.culprit = 0.0, ""

    def record(self, seconds: float, handle: asyncio.Handle) -> None:
        if seconds > self.seconds:
            self.seconds, self.culprit = seconds, repr(handle)


@contextmanager
def watched_loops() -> Iterator[LoopWatch]:
    """Watch asyncio's own event loops of this process, except those of the caller's thread."""
    watch, own, run = LoopWatch(), threading.get_ident(), asyncio.Handle._run

    def timed(handle: asyncio.Handle) -> None:
        if threading.get_ident() == own:
            run(handle)
            return
        started = time.thread_time()
        run(handle)
        watch.record(time.thread_time() - started, handle)

    setattr(asyncio.Handle, "_run", timed)  # noqa: B010 - not to be typed: it is private
    try:
        yield watch
    finally:
        setattr(asyncio.Handle, "_run", run)  # noqa: B010


def slowness() -> float:
    """Return how many times longer a piece of work takes now than on an idle machine, at least 1.

    Processes beside it take caches and clock rate away, which lengthens the CPU time of a callback, too.
    """
    return max(1.0, min(_work() for _ in range(3)) / IDLE)


def _work() -> float:
    """Parse a fixed text in C, which no tracer slows; return the CPU seconds."""
    started = time.thread_time()
    json.loads(_TEXT)
    return time.thread_time() - started

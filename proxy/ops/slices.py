"""Compute in slices between which the event loop runs; work that cannot be divided runs in one shared thread."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

SLICE: Final = 0.002
"""Seconds of work after which the event loop runs."""

_thread: Final = ThreadPoolExecutor(1, "ops-pages")


async def in_slices(items: Iterable[T], clock: Callable[[], float] = time.perf_counter) -> AsyncIterator[T]:
    """Yield the items; after each `SLICE` the event loop runs first."""
    began = clock()
    for item in items:
        yield item
        if clock() - began >= SLICE:
            await asyncio.sleep(0)
            began = clock()


async def in_thread(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Return the result of `work` in a thread that all pages share.

    There is only one, because each computing thread delays the event loop by up to Python's switch interval.
    """
    return await asyncio.get_running_loop().run_in_executor(_thread, lambda: work(*args, **kwargs))

"""Fair slicing of long work: only one of the yielding callers continues in each pass of the event loop.

Without this, every long request would do a slice in each pass. A short request takes several passes and would wait for
all of them each time. Long bytes are joined in a thread instead, since `bytes.join` releases the GIL.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Final
from weakref import WeakKeyDictionary

LONG_JOIN: Final = 1 << 20
"""Size from which `bytes.join` releases the GIL; joining as many bytes takes about half a millisecond."""

_loops: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, deque[asyncio.Future[None]]]] = WeakKeyDictionary()


async def yield_fairly() -> None:
    """Let the event loop run. In each pass, at most one caller returns."""
    loop = asyncio.get_running_loop()
    waiting = _loops.setdefault(loop, deque())
    if not waiting:
        loop.call_soon(_resume_first, loop, waiting)
    resumed = loop.create_future()
    waiting.append(resumed)
    await resumed


async def join_bytes(pieces: Sequence[bytes]) -> bytes:
    """Return the joined pieces; the event loop runs while long ones are joined."""
    if sum(map(len, pieces)) < LONG_JOIN:
        return b"".join(pieces)
    return await asyncio.to_thread(b"".join, pieces)


def _resume_first(loop: asyncio.AbstractEventLoop, waiting: deque[asyncio.Future[None]]) -> None:
    """Resume the first caller that is not cancelled; the others follow in later passes."""
    while waiting:
        resumed = waiting.popleft()
        if not resumed.done():
            resumed.set_result(None)
            break
    if waiting:
        loop.call_soon(_resume_first, loop, waiting)

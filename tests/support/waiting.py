"""Wait for conditions. A bound only ends a hang, and no test depends on the speed of a busy machine."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import httpx

HANG_TIMEOUT: Final = 120.0
"""Seconds after which a condition that never holds is reported."""
PROMPT_TIMEOUT: Final = 20.0
"""Seconds that no prompt reaction takes, even on a busy machine. The limit that would otherwise apply is longer."""
POLL_INTERVAL: Final = 0.01
"""Seconds between two checks of a condition that cannot be awaited."""
REQUEST_INTERVAL: Final = 0.05
"""Seconds between two checks that are requests to a process or a database, which take a CPU from it."""
BRIEFLY_IDLE: Final = httpx.Limits(keepalive_expiry=1.0)
"""Limits of a client that drops idle connections long before Node or uvicorn do (after 5 s), to avoid a race."""


async def until(holds: Callable[[], object]) -> None:
    """Wait until the condition holds. Raises `TimeoutError` after `HANG_TIMEOUT`."""
    async with asyncio.timeout(HANG_TIMEOUT):
        while not holds():
            await asyncio.sleep(POLL_INTERVAL)


async def until_async(holds: Callable[[], Awaitable[object]]) -> None:
    """Wait until the condition, which is awaited, holds. Raises `TimeoutError` after `HANG_TIMEOUT`."""
    async with asyncio.timeout(HANG_TIMEOUT):
        while not await holds():
            await asyncio.sleep(REQUEST_INTERVAL)


async def until_listening(port: int) -> None:
    """Wait until something accepts connections on a port of this machine. Raises `TimeoutError`."""
    await until_async(lambda: _accepts(port))


async def _accepts(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True

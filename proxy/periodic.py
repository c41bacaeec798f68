"""Ticks of the work that a process repeats: all work with one period is due at once, and wakes an idle process once."""

from __future__ import annotations

import asyncio


def seconds_to_tick(period: float, now: float) -> float:
    """Return the seconds until the next multiple of `period` that is at least half a period later than `now`."""
    rest = period - now % period if period > 0 else 0.0
    return rest if 2 * rest >= period else rest + period


def until_tick(period: float) -> float:
    """Return the seconds until the next tick by the event loop's clock."""
    return seconds_to_tick(period, asyncio.get_running_loop().time())


async def tick(period: float) -> None:
    """Wait for the next tick: after the first one, a whole period apart."""
    await asyncio.sleep(until_tick(period))

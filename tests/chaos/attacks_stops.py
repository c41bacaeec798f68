"""The gateway, legacy or MongoDB is stopped for a while (SIGSTOP), as by a paused virtual machine, and continues."""

from __future__ import annotations

import asyncio
import functools
import os
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final, Literal

from tests.chaos.figures import Attack, Figures, Setup
from tests.chaos.target import Target

Part = Literal["gateway", "legacy", "database"]

STOPS_S: Final = (0.5, 3.0, 7.0)
"""Durations of the stops: the longest exceeds the time for which Node and the gateway keep idle connections."""
BRIEF_STOPS_S: Final = (0.25, 0.5, 0.75)
"""Durations for MongoDB: native answers 503 after a second of silence."""
RECOVERY_S: Final = 3.0


async def stop(part: Part, durations: Sequence[float], target: Target) -> Figures:
    """Stop a part several times under load; each request of others gets its answer afterwards."""
    async with target.traffic(quiet=1.0) as others:
        for seconds in durations:
            async with _stopped(part, target):
                await asyncio.sleep(seconds)
            await asyncio.sleep(RECOVERY_S)
        figures = await others.figures()
    names = ("requests of others", "errors of others", "errors' kinds")
    return {name: figures[name] for name in names if name in figures}


@asynccontextmanager
async def _stopped(part: Part, target: Target) -> AsyncIterator[None]:
    if part == "database":
        target.mongodb.hang()
        yield
        target.mongodb.mend()
        return
    pids = target.pids() if part == "gateway" else target.legacy_pids()
    try:
        _signal(pids, signal.SIGSTOP)
        yield
    finally:
        _signal(pids, signal.SIGCONT)


def _signal(pids: Sequence[int], number: signal.Signals) -> None:
    for pid in pids:
        os.kill(pid, number)


ATTACKS: Final = [
    Attack("gateway stopped", functools.partial(stop, "gateway", STOPS_S), quick=True),
    Attack(
        "gateway with two workers stopped",
        functools.partial(stop, "gateway", STOPS_S),
        Setup(options=("--workers", "2")),
    ),
    Attack("legacy stopped", functools.partial(stop, "legacy", STOPS_S)),
    Attack("database stopped", functools.partial(stop, "database", BRIEF_STOPS_S)),
]

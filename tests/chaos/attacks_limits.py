"""Clients that stall: missing bodies, unread answers, idle WebSockets, unfinished frames."""

from __future__ import annotations

import asyncio
import functools
from typing import Final

from tests.chaos.attackers import attacking
from tests.chaos.figures import Attack, Figures
from tests.chaos.stalling_client import stall
from tests.chaos.target import Target

HOLD_S: Final = 4.0
"""Seconds for which clients hold their connections."""


async def hold(request: str, number: int, target: Target) -> Figures:
    """Open `number` connections that send `request` and nothing more, and read nothing of its answer."""
    async with target.traffic() as others, attacking(stall, target.port, request, number) as attackers:
        await asyncio.sleep(HOLD_S)
        figures = await others.figures()
        return {**figures, "RSS, MiB": target.peak_rss(), **await attackers.command("figures")}


ATTACKS: Final = [
    Attack("1,030 bodies that never come", functools.partial(hold, "body", 1030)),
    Attack("1,030 bodies that never come, legacy's", functools.partial(hold, "legacy's body", 1030)),
    Attack("1,024 idle WebSockets", functools.partial(hold, "idle", 1024)),
    Attack("60 stalled uploads of 9.9 MB", functools.partial(hold, "upload", 60)),
    Attack("6 unfinished frames of 95 MiB", functools.partial(hold, "frame", 6)),
    Attack("12 recordings of 24 MiB", functools.partial(hold, "recording", 12)),
    Attack("256 slow readers", functools.partial(hold, "pipeline", 256)),
]

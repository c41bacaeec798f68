"""The hostile corpus: how long one request holds the event loop, in CPU time of the loop's thread."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Final

from tests.chaos.figures import Attack, Figures
from tests.chaos.target import Target

SIZE: Final = 10_000_000


async def play_corpus(_: Target) -> Figures:
    """Play one round of hostile bodies and frames, and every hostile head."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.hostile", str(SIZE), "--json"), stdout=asyncio.subprocess.PIPE
    )
    output = (await process.communicate())[0]
    result = json.loads(output)
    return {
        "requests": result["requests"],
        "loop lag, ms": result["worst"],
        "slowest request": result["slowest"][:60],
        "longest refusal, kB": result["longest"] / 1000,
        "longest refusal's request": result["refused"][:60],
        "unanswered": result["unanswered"],
    }


ATTACKS: Final = [Attack("hostile corpus", play_corpus)]

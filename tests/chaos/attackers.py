"""The attackers' process: it runs while no other process wants the core, as if it were another machine.

async with attacking(stall, target.port, "name", 12) as attackers:    # calls `stall(12345, "name", 12)` there
    figures = await attackers.command("figures")                      # … and the function that it returned
"""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager

from tests.chaos.controlled_process import ControlledProcess, answer_commands, yield_to_others
from tests.chaos.figures import Figures

Begin = Callable[..., Awaitable[Callable[[], Figures]]]
"""Begins an attack; returns a function that gives its figures so far. The process ends its connections."""


def attacking(begin: Begin, *arguments: object) -> AbstractAsyncContextManager[ControlledProcess]:
    """Call a function of a module in the attackers' process; arguments are JSON."""
    return ControlledProcess.running(__name__, begin.__module__, begin.__name__, *arguments)


async def main() -> None:
    """Begin the attack of the command line; end it when standard input ends."""
    yield_to_others()
    module, name, *arguments = json.loads(sys.argv[1])
    begin: Begin = getattr(importlib.import_module(module), name)
    await answer_commands({"figures": await begin(*arguments)})


if __name__ == "__main__":
    asyncio.run(main())

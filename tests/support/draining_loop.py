"""Event loops that finish closing their transports before they are closed themselves."""

from __future__ import annotations

import asyncio
from typing import Final

PASSES: Final = 20
"""Passes of a loop in which a close travels from a client through the gateway to a legacy."""


class DrainingLoop(asyncio.SelectorEventLoop):
    """A loop that runs the callbacks of closed transports; otherwise a later test reports an unclosed transport.

    A transport that nobody closes is reported all the same.
    """

    def close(self) -> None:
        if not self.is_closed() and not self.is_running():
            self.run_until_complete(_drain())
        super().close()


class DrainingPolicy(asyncio.DefaultEventLoopPolicy):
    """The policy of the tests' own loops."""

    def new_event_loop(self) -> DrainingLoop:
        return DrainingLoop()


async def _drain() -> None:
    for _ in range(PASSES):
        await asyncio.sleep(0)

"""uvicorn's server without its polling: an idle process does not wake up."""

from __future__ import annotations

import asyncio
import contextlib
from types import FrameType
from typing import Final

import uvicorn

from proxy.periodic import until_tick

CHECK_INTERVAL: Final = 1.0
"""Seconds between checks of `should_exit`, for callers that set it without a signal."""


class GatewayServer(uvicorn.Server):
    """A server whose main loop a signal wakes for shutdown."""

    _loop: asyncio.AbstractEventLoop | None = None
    _signalled: asyncio.Event

    async def main_loop(self) -> None:
        """Wait for shutdown, without the work that uvicorn does ten times a second (headers, limits)."""
        self._signalled, self._loop = asyncio.Event(), asyncio.get_running_loop()
        while not self.should_exit:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(until_tick(CHECK_INTERVAL)):
                    await self._signalled.wait()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin the shutdown after a signal."""
        super().handle_exit(sig, frame)
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._signalled.set)

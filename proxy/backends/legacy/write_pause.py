"""Wait while a transport has too many bytes to write."""

from __future__ import annotations

import asyncio


class WritePause:
    """The state between `pause_writing` and `resume_writing` of a protocol. One caller waits at a time."""

    __slots__ = ("_loop", "_paused", "_resumed")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._paused = False
        self._resumed: asyncio.Future[None] | None = None

    async def wait(self) -> None:
        """Return once writing may continue."""
        if self._paused:
            self._resumed = self._loop.create_future()
            await self._resumed

    def begin(self) -> None:
        """Pause."""
        self._paused = True

    def end(self) -> None:
        """Resume, also if the connection was lost."""
        self._paused = False
        if self._resumed is not None and not self._resumed.done():
            self._resumed.set_result(None)

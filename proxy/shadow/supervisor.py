"""Keeps one shadow process alive beside a gateway process.

    spawn ─▶ Adopt ─▶ Ready ─▶ work, a Ping a second ─▶ it ends, or stands still and is killed ─▶ pause ─▶ spawn …

The pauses double while it keeps dying, and begin anew once it has lived for a while. At the end the link is closed:
the process takes leave by itself, and is killed where that takes too long. It dies with its gateway, too (`worker.py`).
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from proxy.observability import metrics
from proxy.runtime.message_channel import MessageChannel
from proxy.shadow.messages import Configure, Ping, Pong, Ready, ToGateway, ToShadow

logger = logging.getLogger("scribe_proxy.shadow")

PING_INTERVAL: Final = 1.0
"""Seconds between two looks at it."""
START_TIMEOUT: Final = 120.0
"""Seconds that it may take to be ready: it imports and starts the native app, with little of the processor."""
HEARTBEAT_TIMEOUT: Final = 5.0
"""Seconds of silence after which it counts as standing still, once it was ready."""
MIN_UPTIME: Final = 30.0
"""Seconds of life after which its death is no longer part of a row."""
RETRY_DELAYS: Final = (5.0, 300.0)
"""Seconds to wait before it is started again: at first, and at most."""
BATCH_DELAY: Final = 0.005
"""Seconds that what it is to be told may wait for more."""
NICENESS: Final = 10
"""How much it gives way to others for the processor."""
SHUTDOWN_TIMEOUT: Final = 3.0
"""Seconds that it has for taking leave."""

_PAGE: Final = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096

ShadowLink = MessageChannel[ToGateway, ToShadow]


class WorkerSupervisor:
    """`hear` is called with what it says, `gone` each time it has ended."""

    def __init__(self, hear: Callable[[ToGateway], None], gone: Callable[[], None]) -> None:
        self.pid: int | None = None
        self.ready: Ready | None = None
        self._hear, self._gone = hear, gone
        self._adopt: Configure | None = None
        self._link: ShadowLink | None = None
        self._keeping: asyncio.Task[None] | None = None
        self._leaving: set[asyncio.Task[None]] = set()
        self._alone = asyncio.Lock()
        self._heard = 0.0

    def keep(self, adopt: Configure) -> None:
        """Have it alive from now on, going on by this configuration."""
        self._adopt = adopt
        if self._keeping is None:
            self._keeping = asyncio.create_task(self._keep())
        else:
            self.send(adopt)

    def release(self) -> None:
        """Have none any more; it takes leave by and by."""
        leaving, self._keeping = self._keeping, None
        if leaving is not None:
            self._leaving.add(leaving)
            leaving.add_done_callback(self._leaving.discard)
            leaving.cancel()

    async def end(self) -> None:
        """Have none any more; returns once it has gone."""
        self.release()
        await asyncio.gather(*self._leaving, return_exceptions=True)

    def send(self, message: ToShadow, *, urgent: bool = False) -> None:
        """Tell it something, if it is there."""
        if self._link is not None:
            self._link.send(message, urgent=urgent)

    async def _keep(self) -> None:
        shortest, longest = RETRY_DELAYS
        pause = shortest
        async with self._alone:
            while True:
                began = time.monotonic()
                await self._live()
                pause = shortest if time.monotonic() - began > MIN_UPTIME else pause
                metrics.SHADOW_RESTARTS.inc()
                logger.warning("the shadow process has ended, and is started again in %.1f s", pause)
                await asyncio.sleep(pause)
                pause = min(2 * pause, longest)

    async def _live(self) -> None:
        """One process, from its start to its end."""
        ours, theirs = socket.socketpair()
        with theirs:
            process = _spawn(theirs)
        self.pid, self._heard = process.pid, time.monotonic()
        link = ShadowLink(self._note, BATCH_DELAY)
        try:
            await link.open(ours)
            self._link = link
            if self._adopt is not None:
                link.send(self._adopt)
            fault = await self._watch(link, process.pid)
            if fault is not None:
                logger.error("the shadow process %s and is killed", fault)
                process.kill()
        finally:
            if self.ready is None:
                process.kill()  # it has nothing to take leave of
            self._link = self.ready = self.pid = None
            link.close()
            await _reap(process)
            self._gone()

    async def _watch(self, link: ShadowLink, pid: int) -> str | None:
        """Return None once the process has ended by itself, or the reason why it is to be killed."""
        while time.monotonic() - self._heard < (START_TIMEOUT if self.ready is None else HEARTBEAT_TIMEOUT):
            if self._adopt is not None and resident_memory(pid) > self._adopt.config.shadow.max_memory:
                metrics.SHADOW_MEMORY_EXCEEDED.inc()
                return f"holds more than shadow.max_memory ({self._adopt.config.shadow.max_memory >> 20} MiB)"
            link.send(Ping())
            try:
                async with asyncio.timeout(PING_INTERVAL):
                    await link.closed.wait()
            except TimeoutError:
                continue
            return None
        return "stands still"

    def _note(self, message: ToGateway) -> None:
        self._heard = time.monotonic()
        if isinstance(message, Ready):
            self.ready = message
        if not isinstance(message, Pong):
            self._hear(message)


def resident_memory(pid: int) -> int:
    """Return the resident memory of a process in bytes (proc(5), Linux only); 0 where it is unknown."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_bytes().split()[1]) * _PAGE
    except (OSError, ValueError, IndexError):
        return 0


def _spawn(end: socket.socket) -> subprocess.Popen[bytes]:
    """It finds what this process finds; metrics are this process's, and so is standard output."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    env.pop("PROMETHEUS_MULTIPROC_DIR", None)
    return subprocess.Popen(  # noqa: S603 - this interpreter, and a module of ours
        [sys.executable, "-m", "proxy.shadow.worker", str(end.fileno()), str(NICENESS)],
        pass_fds=(end.fileno(),),
        stdin=subprocess.DEVNULL,
        stdout=2,
        env=env,
    )


async def _reap(process: subprocess.Popen[bytes]) -> None:
    """Returns once it has ended, by itself or by force; not even a cancellation leaves it behind."""
    waiting = asyncio.ensure_future(asyncio.to_thread(_wait, process))
    try:
        await asyncio.shield(waiting)
    except asyncio.CancelledError:
        process.kill()
        await waiting
        raise


def _wait(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(SHUTDOWN_TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()

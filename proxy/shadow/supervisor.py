"""Supervision of one shadow process beside a gateway process.

    spawn ─▶ Configure ─▶ Ready ─▶ Ping every second ─▶ exit, or no answer and a kill ─▶ delay ─▶ spawn …

The delay doubles with each failure and is reset once a process has run for `min_uptime`. To stop the process, the
channel is closed: the process then shuts down by itself, and is killed after `SHUTDOWN_TIMEOUT`. It also ends with its
gateway (`worker.py`).
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from common.background_tasks import BackgroundTasks
from proxy.observability import metrics
from proxy.observability.process_metrics import resident_memory
from proxy.periodic import until_tick
from proxy.runtime.interrupts import without_interrupts
from proxy.runtime.message_channel import MessageChannel
from proxy.shadow.load_shedder import CpuTimes, cpu_times
from proxy.shadow.messages import Configure, Ping, Pong, Ready, ToGateway, ToShadow
from proxy.shadow.timings import ShadowTimings

logger = logging.getLogger("scribe_proxy.shadow")

START_TIMEOUT: Final = 120.0
"""Seconds until the process must be ready: it imports and starts the native app at a low CPU priority."""
BATCH_DELAY: Final = 0.05
"""Seconds that a message to the process may wait for others, so that a wake-up serves several."""
SHUTDOWN_TIMEOUT: Final = 3.0
"""Seconds for the process to shut down before it is killed."""

WorkerChannel = MessageChannel[ToGateway, ToShadow]


class WorkerSupervisor:
    """Starts, checks and restarts the shadow process.

    `on_message` receives its messages, heartbeats excepted; `on_exit` is called each time a process has ended.
    `prepare` is called before each batch of messages to the process, and again while it returns True; it may send more.
    """

    def __init__(
        self,
        on_message: Callable[[ToGateway], None],
        on_exit: Callable[[], None],
        timings: ShadowTimings,
        prepare: Callable[[], bool] = bool,
    ) -> None:
        self.pid: int | None = None
        self.ready: Ready | None = None
        self._on_message, self._on_exit, self._timings = on_message, on_exit, timings
        self._prepare = prepare
        self._configure: Configure | None = None
        self._channel: WorkerChannel | None = None
        self._tasks = BackgroundTasks()
        self._one_process = asyncio.Lock()
        self._last_message = 0.0
        self._started = math.inf
        self._failures = 0

    @property
    def failures(self) -> int:
        """Return how often in a row a process has ended before it ran for `min_uptime`."""
        return 0 if time.monotonic() - self._started > self._timings.min_uptime else self._failures

    def ensure_running(self, configure: Configure) -> None:
        """Start the process if there is none, and apply a configuration to it."""
        self._configure = configure
        if self._tasks.running:
            self.send(configure)
        else:
            self._tasks.start(self._run())

    def request_stop(self) -> None:
        """Begin to stop the process, without waiting."""
        self._tasks.cancel()

    async def stop(self) -> None:
        """Stop the process and wait for its end."""
        await self._tasks.stop()

    def send(self, message: ToShadow, *, urgent: bool = False) -> None:
        """Send a message to the process; drop it if there is no process."""
        if self._channel is not None:
            self._channel.send(message, urgent=urgent)

    def request_flush(self) -> None:
        """Send a batch of messages soon."""
        if self._channel is not None:
            self._channel.request_flush()

    async def _run(self) -> None:
        shortest, longest = self._timings.retry_delays
        delay = shortest
        async with self._one_process:
            while True:
                self._started = time.monotonic()
                await self._run_process()
                if time.monotonic() - self._started > self._timings.min_uptime:
                    self._failures, delay = 0, shortest
                self._failures, self._started = self._failures + 1, math.inf
                metrics.SHADOW_RESTARTS.inc()
                logger.warning("the shadow process has ended; the next one starts in %.1f s", delay)
                await asyncio.sleep(delay)
                delay = min(2 * delay, longest)

    async def _run_process(self) -> None:
        """Run one process from its start to its end."""
        own_end, child_end = socket.socketpair()
        with child_end, without_interrupts(signal.SIGTERM):
            process = _spawn(child_end, self._timings.niceness)
        self.pid, self._last_message = process.pid, time.monotonic()
        channel = WorkerChannel(self._receive, BATCH_DELAY, prepare=self._prepare)
        try:
            await channel.open(own_end)
            self._channel = channel
            if self._configure is not None:
                channel.send(self._configure)
            fault = await self._monitor(channel, process.pid)
            if fault is not None:
                logger.error("the shadow process %s and is killed", fault)
                process.kill()
        finally:
            if self.ready is None:
                process.kill()  # it has started nothing that needs a shutdown
            self._channel = self.ready = self.pid = None
            channel.close()
            await _reap(process)
            self._on_exit()

    async def _monitor(self, channel: WorkerChannel, pid: int) -> str | None:
        """Return None once the process has ended by itself, or the reason to kill it."""
        waits = CpuWaits(lambda: cpu_times(Path(f"/proc/{pid}/schedstat")))
        while time.monotonic() - self._last_message < self._silence_limit(waits.since(self._last_message)):
            if self._configure is not None and (resident_memory(pid) or 0) > self._configure.config.shadow.max_memory:
                metrics.SHADOW_MEMORY_EXCEEDED.inc()
                return f"exceeds shadow.max_memory ({self._configure.config.shadow.max_memory >> 20} MiB)"
            channel.send(Ping())
            try:
                async with asyncio.timeout(until_tick(self._timings.ping_interval)):
                    await channel.closed.wait()
            except TimeoutError:
                continue
            return None
        return "does not respond"

    def _silence_limit(self, waited: float) -> float:
        """Return the seconds of silence that prove a hang; a process that `waited` for a CPU could not answer."""
        if self.ready is None:
            return START_TIMEOUT
        return self._timings.heartbeat_timeout + min(waited, START_TIMEOUT)

    def _receive(self, message: ToGateway) -> None:
        self._last_message = time.monotonic()
        if isinstance(message, Ready):
            self.ready = message
        if not isinstance(message, Pong):
            self._on_message(message)


class CpuWaits:
    """Seconds for which a process has waited for a CPU since its last message; 0 where they are unknown."""

    def __init__(self, read_times: Callable[[], CpuTimes | None]) -> None:
        self._read_times = read_times
        self._message, self._before = -1.0, 0.0

    def since(self, message: float) -> float:
        """Return the wait since the first call with `message`, the time at which the last message came."""
        times = self._read_times()
        waited = times.waited if times else self._before
        if message != self._message:
            self._message, self._before = message, waited
        return waited - self._before


def _spawn(end: socket.socket, niceness: int) -> subprocess.Popen[bytes]:
    """Start the worker with this process's import path, without its metrics; standard output goes to standard error."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    env.pop("PROMETHEUS_MULTIPROC_DIR", None)
    return subprocess.Popen(  # noqa: S603 - this interpreter, and a module of this package
        [sys.executable, "-m", "proxy.shadow.worker", str(end.fileno()), str(niceness)],
        pass_fds=(end.fileno(),),
        stdin=subprocess.DEVNULL,
        stdout=2,
        env=env,
    )


async def _reap(process: subprocess.Popen[bytes]) -> None:
    """Wait for the end of a process; kill it after `SHUTDOWN_TIMEOUT`, or immediately if the wait is cancelled."""
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

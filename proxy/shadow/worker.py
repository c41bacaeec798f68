"""The shadow process: `python -m proxy.shadow.worker FD NICENESS`, started by a gateway process, and gone with it.

Nothing in here can touch an answer that is served: it has a process, a native app, connections and an event loop of its
own, gives way to every other process, and is the first to go where memory runs out.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Awaitable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any, Final

from proxy.backends.native import Native, NativeUnavailable
from proxy.capture.agent import CaptureAgent
from proxy.comparison.exchange import Exchange
from proxy.comparison.verdicts import Verdict, skipped
from proxy.observability.log_writer import configure_logging, flush_logs, redirect_standard_streams
from proxy.observability.tracing import Tracing
from proxy.reports.events import Entry, SkippedEvent
from proxy.reports.writer import ReportWriter, Why
from proxy.runtime import parent_death
from proxy.runtime.database import Database
from proxy.runtime.message_channel import MessageChannel
from proxy.shadow.backends import ShadowBackends
from proxy.shadow.comparator import Comparator
from proxy.shadow.dry_run import DryRunExchange, Writes, declares
from proxy.shadow.messages import (
    Compared,
    CompareRead,
    Configure,
    Discard,
    DryRun,
    DryRunFinished,
    LegacyServed,
    Pong,
    Ready,
    ReportsDropped,
    ToGateway,
    ToShadow,
)
from proxy.shadow.replay import UncancellableAppError

logger = logging.getLogger("scribe_proxy.shadow")

BATCH_DELAY: Final = 0.02
"""Seconds that what is to be said may wait for more; a dry run that is over does not."""
SHUTDOWN_TIMEOUT: Final = 2.0
"""Seconds for the native app to stop, and for the last reports to be written."""

DryRunResult = tuple[str, Exchange, Writes]
"""A dry run's route, what native answered, and what it would have written."""


class Worker:
    """Does what the gateway says until the link is closed."""

    def __init__(self) -> None:
        self._link: MessageChannel[ToShadow, ToGateway] = MessageChannel(self._hear, BATCH_DELAY)
        self._adopting: asyncio.Queue[Configure] = asyncio.Queue()
        self._waiting: deque[CompareRead] = deque()
        self._reading: set[asyncio.Task[None]] = set()
        self._concluding: set[asyncio.Task[None]] = set()
        self._dry_runs: dict[int, asyncio.Task[DryRunResult | None]] = {}
        self._reports: ReportWriter
        self._capturing: CaptureAgent
        self._stage: ShadowBackends
        self._review: Comparator

    async def run(self, own: socket.socket) -> None:
        """Work over a connected socket. Raises NativeUnavailable."""
        await self._link.open(own)
        working = asyncio.create_task(self._work())
        closed = asyncio.create_task(self._link.closed.wait())
        await asyncio.wait({working, closed}, return_when=asyncio.FIRST_COMPLETED)
        closed.cancel()
        working.cancel()
        await self._stop()
        with contextlib.suppress(asyncio.CancelledError):
            await working

    async def _stop(self) -> None:
        self._waiting.clear()
        left = {*self._reading, *self._concluding, *self._dry_runs.values()}
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left, timeout=SHUTDOWN_TIMEOUT)

    async def _work(self) -> None:
        """Start the native app, and adopt one configuration after the other."""
        adopt = await self._adopting.get()
        assert adopt.config.native is not None, "nothing is shadowed without a native app"
        native = Native(adopt.config.native)
        await native.start()
        database = Database.of(adopt.config.mongodb)
        self._reports = ReportWriter(database, adopt.config.reports, self._lose)
        tracing = Tracing.configured(os.environ)
        self._stage = ShadowBackends(native, tracing)
        self._capturing = CaptureAgent(database, adopt.config)
        self._review = Comparator(self._stage, self._note)
        try:
            await self._stage.adopt(adopt)
            await self._reports.start()
            await self._capturing.start()
            self._link.send(Ready(declares(native.state)))
            while True:
                adopt = await self._adopting.get()
                await self._stage.adopt(adopt)
                self._reports.adopt(adopt.config)
                self._capturing.adopt(adopt.config)
        finally:
            self._stage.close()
            await self._capturing.stop()
            await _within(SHUTDOWN_TIMEOUT, self._reports.stop())
            await _within(SHUTDOWN_TIMEOUT, native.stop())
            if database is not None:
                await database.close()
            if tracing is not None:
                await _within(SHUTDOWN_TIMEOUT, asyncio.to_thread(tracing.close))

    def _note(self, entry: Entry) -> None:
        self._reports.note(entry)
        self._capturing.note(entry)

    def _hear(self, message: ToShadow) -> None:
        if isinstance(message, CompareRead):
            self._waiting.append(message)
            self._read_on()
        elif isinstance(message, DryRun):
            self._dry_runs[message.number] = asyncio.create_task(self._dry_run(message))
        elif isinstance(message, LegacyServed):
            self._keep(self._concluding, self._conclude(message))
        elif isinstance(message, Discard):
            self._forget(message.number)
        elif isinstance(message, Configure):
            self._adopting.put_nowait(message)
        else:
            self._link.send(Pong())

    def _keep(self, tasks: set[asyncio.Task[None]], work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        return task

    def _read_on(self, _: object = None) -> None:
        """Begin what waits, as far as there is room."""
        while self._waiting and len(self._reading) < self._stage.shadowing.concurrency:
            reading = self._keep(self._reading, self._read(self._waiting.popleft()))
            reading.add_done_callback(self._read_on)

    async def _read(self, job: CompareRead) -> None:
        done = partial(self._tell, job.number)
        try:
            if time.monotonic() < job.deadline:
                await self._review.read(job, done)
            else:
                self._reports.note(SkippedEvent(job.route, job.served, "timeout"))
                done(skipped("timeout"))
        except UncancellableAppError:
            self._give_up()

    async def _dry_run(self, job: DryRun) -> DryRunResult | None:
        dry_run = DryRunExchange()
        try:
            found = await self._stage.dry_run(dry_run, job.route, job.asked, self._stage.bounds(job.deadline))
        except UncancellableAppError:
            self._give_up()
            return None
        played = None if isinstance(found, str) else (job.route, found, dry_run.wrote)
        self._link.send(DryRunFinished(job.number, found if isinstance(found, str) else None), urgent=True)
        return played

    async def _conclude(self, served: LegacyServed) -> None:
        dry_run = self._dry_runs.pop(served.number, None)
        played = await dry_run if dry_run is not None else None
        if played is not None:
            route, native, wrote = played
            self._tell(served.number, self._review.compare_dry_run(route, served.seen.exchange(), native, wrote))

    def _forget(self, number: int) -> None:
        dry_run = self._dry_runs.pop(number, None)
        if dry_run is not None:
            dry_run.cancel()

    def _tell(self, number: int, verdict: Verdict) -> None:
        self._link.send(Compared(number, verdict.name, verdict.reason))

    def _lose(self, why: Why, number: int) -> None:
        self._link.send(ReportsDropped(why, number))

    def _give_up(self) -> None:
        logger.critical("the native app does not end what was cancelled: this process ends, and a new one is started")
        self._link.close()


async def _within(seconds: float, work: Awaitable[None]) -> None:
    try:
        async with asyncio.timeout(seconds):
            await work
    except TimeoutError:
        logger.warning("took leave without waiting any longer")


def lower_priority(niceness: int) -> None:
    """Give way to every other process, and end with the one that started this."""
    os.nice(niceness)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the gateway, which then closes the link
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    parent_death.exit_with_parent(os.getppid(), signal.SIGKILL)


async def _work(own: socket.socket) -> None:
    await Worker().run(own)


def main() -> None:
    """Work until the gateway closes the link; leaves at once, whatever a native app has left running."""
    import uvloop

    end, niceness = map(int, sys.argv[1:])
    lower_priority(niceness)
    configure_logging("%(levelname)s %(name)s (shadow): %(message)s")
    redirect_standard_streams()
    code = 0
    try:
        uvloop.new_event_loop().run_until_complete(_work(socket.socket(fileno=end)))
    except NativeUnavailable as error:
        logger.error("%s", error)
        code = 1
    flush_logs()
    os._exit(code)


if __name__ == "__main__":
    main()

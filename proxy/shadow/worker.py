"""The shadow process: `python -m proxy.shadow.worker FD NICENESS`, a child of a gateway process.

It cannot affect served answers: it has its own native app, connections and event loop and a low CPU priority, and the
kernel kills it first when memory runs out.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Final

from common.background_tasks import BackgroundTasks
from proxy.backends.native import Native, NativeUnavailable
from proxy.capture.agent import CaptureAgent
from proxy.comparison.conversation import Chunk
from proxy.comparison.exchange import Exchange
from proxy.comparison.verdicts import Verdict, skipped
from proxy.config.models import Config
from proxy.database.database import Database
from proxy.failure_log import report_unhandled
from proxy.observability.log_writer import configure_logging, flush_logs, redirect_standard_streams
from proxy.observability.tracing import Tracing
from proxy.reports.code_names import collect_names
from proxy.reports.events import Entry, SkippedEvent
from proxy.reports.revisions import Revisions
from proxy.reports.writer import DropReason, ReportWriter
from proxy.runtime import parent_death
from proxy.runtime.garbage import without_collection
from proxy.runtime.interrupts import discard_interrupts
from proxy.runtime.message_channel import MessageChannel
from proxy.shadow.backends import ShadowBackends
from proxy.shadow.comparator import Comparator
from proxy.shadow.conversation_comparator import ConversationComparator
from proxy.shadow.conversation_replay import supports_conversations
from proxy.shadow.dry_run import DryRunExchange, Writes, supports_dry_run
from proxy.shadow.job_queue import JobQueue
from proxy.shadow.messages import (
    CompareConversation,
    Compared,
    CompareRead,
    CompareReads,
    Configure,
    ConversationPart,
    Discard,
    DryRun,
    DryRunFinished,
    LegacyServed,
    Notice,
    Pong,
    Ready,
    ReportsDropped,
    ToGateway,
    ToShadow,
)
from proxy.shadow.replay import CANCEL_TIMEOUT, UncancellableAppError

logger = logging.getLogger("scribe_proxy.shadow")

BATCH_DELAY: Final = 0.05
"""Maximum seconds that a message waits for others; the end of a dry run is sent immediately."""
SPREAD: Final = 0.025
"""Seconds over which the reads of a batch are spread: half of the time between two batches of the gateway."""
SHUTDOWN_TIMEOUT: Final = 2.0
"""Seconds for the native app to stop, and for the last reports to be written."""

MAX_CONVERSATIONS: Final = 4
"""Maximum number of conversations that are replayed at once."""

GC_THRESHOLD: Final = 10_000
"""Generation-0 threshold of the garbage collector, raised because comparisons allocate many objects."""

STATE_KEY: Final = "proxy.shadow"
"""The key of the lifespan's state by which a native app knows that it runs in the shadow, where no client waits."""

DryRunResult = tuple[DryRun, Exchange, Writes]
"""A dry run, native's answer, and the writes that it reported."""


class Worker:
    """Processes the gateway's messages until the channel is closed.

    An app may take `cancel_timeout` seconds to end after its cancellation. `configure_tracing` returns the tracing for
    an environment.
    """

    def __init__(
        self,
        cancel_timeout: float = CANCEL_TIMEOUT,
        configure_tracing: Callable[[Mapping[str, str]], Tracing | None] = Tracing.configured,
    ) -> None:
        self._cancel_timeout = cancel_timeout
        self._configure_tracing = configure_tracing
        self._channel: MessageChannel[ToShadow, ToGateway] = MessageChannel(self._receive, BATCH_DELAY)
        self._configurations: asyncio.Queue[Configure] = asyncio.Queue()
        self._tasks = BackgroundTasks()
        self._reads = JobQueue(self._tasks, self._read, lambda: self._backends.settings.concurrency, SPREAD)
        self._parts: dict[int, list[Chunk]] = {}
        self._conversations = JobQueue(self._tasks, self._compare_conversation, lambda: MAX_CONVERSATIONS)
        self._dry_runs: dict[int, asyncio.Task[DryRunResult | None]] = {}
        self._reports: ReportWriter
        self._capture: CaptureAgent
        self._backends: ShadowBackends
        self._comparator: Comparator
        self._conversation_comparator: ConversationComparator

    async def run(self, connection: socket.socket) -> None:
        """Work over a connected socket. Raises NativeUnavailable."""
        await self._channel.open(connection)
        serving = asyncio.create_task(self._serve())
        closed = asyncio.create_task(self._channel.closed.wait())
        await asyncio.wait({serving, closed}, return_when=asyncio.FIRST_COMPLETED)
        closed.cancel()
        serving.cancel()
        await self._cancel_tasks()
        with contextlib.suppress(asyncio.CancelledError):
            await serving

    async def _cancel_tasks(self) -> None:
        self._reads.clear()
        self._conversations.clear()
        await _within(SHUTDOWN_TIMEOUT, self._tasks.stop())

    def _create_services(
        self, config: Config, native: Native, database: Database | None, tracing: Tracing | None
    ) -> None:
        self._capture = CaptureAgent(database, config)
        self._reports = ReportWriter(
            database,
            config.reports,
            self._report_dropped,
            Revisions.of(config, os.environ),
            lambda event: self._channel.send(Notice(event)),
            self._capture.reproduce,
        )
        self._backends = ShadowBackends(native, tracing, self._cancel_timeout)
        self._comparator = Comparator(self._backends, self._record)
        self._conversation_comparator = ConversationComparator(self._backends, self._record)

    async def _start_services(self, message: Configure, native: Native) -> None:
        """Start the services with the first configuration and report that the worker is ready."""
        assert message.config.native is not None
        await self._backends.apply_config(message)
        self._reports.use_code_names(await asyncio.to_thread(collect_names, message.config.native))
        await self._reports.start()
        await self._capture.start()
        _tune_garbage_collection()
        self._channel.send(Ready(supports_dry_run(native.state), supports_conversations(native.state)))

    async def _apply_config(self, message: Configure) -> None:
        await self._backends.apply_config(message)
        self._reports.apply_config(message.config)
        self._capture.apply_config(message.config)

    async def _serve(self) -> None:
        """Start the native app, then apply each configuration that arrives."""
        message = await self._configurations.get()
        assert message.config.native is not None, "without a native app no route has a shadow"
        native = Native(message.config.native, {STATE_KEY: True})
        with without_collection():
            native.load()
        gc.freeze()
        await native.start()
        database = Database.of(message.config.mongodb)
        tracing = self._configure_tracing(os.environ)
        self._create_services(message.config, native, database, tracing)
        try:
            await self._start_services(message, native)
            while True:
                await self._apply_config(await self._configurations.get())
        finally:
            self._backends.close()
            await self._capture.stop()
            await _within(SHUTDOWN_TIMEOUT, self._reports.stop())
            await _within(SHUTDOWN_TIMEOUT, native.stop())
            if database is not None:
                await database.close()
            if tracing is not None:
                await _within(SHUTDOWN_TIMEOUT, asyncio.to_thread(tracing.close))

    def _record(self, entry: Entry) -> None:
        self._reports.record(entry)
        self._capture.record(entry)

    def _receive(self, message: ToShadow) -> None:
        if isinstance(message, CompareReads):
            for job in message.jobs():
                self._reads.add(job)
        elif isinstance(message, CompareRead):
            self._reads.add(message)
        elif isinstance(message, ConversationPart):
            self._parts.setdefault(message.number, []).extend(message.chunks)
        elif isinstance(message, CompareConversation):
            raw = message.raw._replace(chunks=self._parts.pop(message.number, []))
            self._conversations.add(message._replace(raw=raw))
        elif isinstance(message, DryRun):
            self._dry_runs[message.number] = self._tasks.start(self._run_dry(message))
        elif isinstance(message, LegacyServed):
            self._tasks.start(self._compare_dry_run(message))
        elif isinstance(message, Discard):
            self._discard(message.number)
        elif isinstance(message, Configure):
            self._configurations.put_nowait(message)
        else:
            self._channel.send(Pong())

    async def _read(self, job: CompareRead) -> None:
        on_verdict = partial(self._send_verdict, job.number)
        yield_cpu()
        try:
            if time.monotonic() < job.deadline:
                await self._comparator.compare_read(job, on_verdict)
            else:
                self._expire(job.number, SkippedEvent(job.route, job.served, "timeout"))
        except UncancellableAppError:
            self._give_up()
        finally:
            yield_cpu()

    async def _compare_conversation(self, job: CompareConversation) -> None:
        if time.monotonic() >= job.deadline:
            self._expire(job.number, SkippedEvent(job.route, "legacy", "timeout"))
            return
        try:
            self._send_verdict(job.number, await self._conversation_comparator.compare(job))
        except UncancellableAppError:
            self._give_up()

    def _expire(self, number: int, event: SkippedEvent) -> None:
        """Skip a job that has waited for too long."""
        self._reports.record(event)
        self._send_verdict(number, skipped(event.reason))

    async def _run_dry(self, job: DryRun) -> DryRunResult | None:
        dry_run = DryRunExchange()
        bounds = self._backends.bounds(job.deadline)
        try:
            result = await self._backends.dry_run(dry_run, job.route, job.request, bounds)
        except UncancellableAppError:
            self._give_up()
            return None
        reason = result if isinstance(result, str) else None
        self._channel.send(DryRunFinished(job.number, reason), urgent=True)
        return None if isinstance(result, str) else (job, result, dry_run.writes)

    async def _compare_dry_run(self, message: LegacyServed) -> None:
        task = self._dry_runs.pop(message.number, None)
        result = await task if task is not None else None
        if result is not None:
            job, native, writes = result
            legacy = message.exchange
            try:
                verdict = await self._comparator.compare_dry_run(job.route, job.request, legacy, native, writes)
            except UncancellableAppError:
                self._give_up()
                return
            self._send_verdict(message.number, verdict)

    def _discard(self, number: int) -> None:
        self._parts.pop(number, None)
        task = self._dry_runs.pop(number, None)
        if task is not None:
            task.cancel()

    def _send_verdict(self, number: int, verdict: Verdict) -> None:
        self._channel.send(Compared(number, verdict.count_name, verdict.reason))

    def _report_dropped(self, reason: DropReason, number: int) -> None:
        self._channel.send(ReportsDropped(reason, number))

    def _give_up(self) -> None:
        logger.critical("the native app ignores a cancellation: this process exits and is restarted")
        self._channel.close()


def _tune_garbage_collection() -> None:
    """Exclude imported objects from full collections, and collect less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD)


async def _within(seconds: float, work: Awaitable[None]) -> None:
    try:
        async with asyncio.timeout(seconds):
            await work
    except TimeoutError:
        logger.warning("shutdown continues without waiting any longer")


def yield_cpu() -> None:
    """Let a process that waits for this CPU run first, instead of after this process's time slice (sched_yield(2)).

    Linux lets even a process of low priority finish its time slice of some milliseconds, and a gateway would wait for
    it.
    """
    if hasattr(os, "sched_yield"):
        os.sched_yield()


def lower_priority(niceness: int) -> None:
    """Lower this process's CPU and memory priority, and make it end with its parent.

    The batch policy, if the system has it, stops the process from preempting others when it wakes up (sched(7)).
    """
    os.nice(niceness)
    if hasattr(os, "SCHED_BATCH"):
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    discard_interrupts(signal.SIGTERM)  # both stop the gateway, which then closes the channel
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    parent_death.exit_with_parent(os.getppid(), signal.SIGKILL)


async def _run(connection: socket.socket) -> None:
    asyncio.get_running_loop().set_exception_handler(report_unhandled)
    await Worker().run(connection)


def main() -> None:
    """Work until the gateway closes the channel, then exit without waiting for tasks or threads of the native app."""
    import uvloop

    descriptor, niceness = map(int, sys.argv[1:])
    lower_priority(niceness)
    configure_logging("shadow")
    redirect_standard_streams()
    code = 0
    try:
        uvloop.new_event_loop().run_until_complete(_run(socket.socket(fileno=descriptor)))
    except NativeUnavailable as error:
        logger.error("%s", error)
        code = 1
    flush_logs()
    os._exit(code)


if __name__ == "__main__":
    main()

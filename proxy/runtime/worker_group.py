"""The workers of `serve --workers N`: start, check and replace them.

    starting ──ready──▶ serving ──dies, or does not answer for HANG_TIMEOUT──▶ ended ──after a delay──▶ starting

A worker that ends early is replaced after a growing delay, so that a fault of all workers never becomes a busy loop.
The group ends with an error if the first workers cannot start, or if every worker has failed several times in a row.
Without that, a supervisor without workers would hold the ports and accept connections that no worker serves.
"""

from __future__ import annotations

import logging
import os
import pickle
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Final

import uvicorn
from uvicorn.supervisors.multiprocess import Multiprocess, Process

from proxy.observability.process_metrics import remove_dead_workers
from proxy.runtime.interrupts import discard_interrupts, without_interrupts
from proxy.runtime.server import GatewayServer

logger = logging.getLogger("scribe_proxy.workers")

HANG_TIMEOUT: Final = 60.0
"""Seconds without an answer to a ping after which a worker is killed."""
START_TIMEOUT: Final = 120.0
"""The same limit before the first answer, because starting takes long on a loaded machine."""
MIN_UPTIME: Final = 10.0
"""Seconds of serving after which the end of a worker counts as the first failure of a series."""
RETRY_DELAYS: Final = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
"""Seconds until a worker is replaced, by the number of failures in a row; the last value repeats."""
MAX_FAILURES: Final = 4
"""Failures in a row of every worker after which the group ends."""

_RESTARTS: Final = [signal.Signals[name] for name in ("SIGHUP", "SIGTTIN", "SIGTTOU") if hasattr(signal, name)]


@dataclass(slots=True)
class WorkerState:
    """Supervision state of one worker. Times are monotonic; `ready_at` and `restart_at` are None if not applicable.

    `gave_up`: the worker exited with an error rather than by a signal.
    """

    pinged_at: float = field(default_factory=time.monotonic)
    pinged: bool = False
    answered: bool = False
    ready_at: float | None = None
    restart_at: float | None = None
    failures: int = 0
    gave_up: bool = False

    def record_end(self, now: float) -> float:
        """Record the end of the worker. Return the seconds until it is replaced."""
        lived = self.ready_at is not None and now - self.ready_at >= MIN_UPTIME
        self.failures = 0 if lived else self.failures + 1
        delay = RETRY_DELAYS[min(self.failures, len(RETRY_DELAYS) - 1)]
        self.restart_at, self.ready_at = now + delay, None
        return delay

    def record_start(self, now: float) -> None:
        """Record that a new worker is starting."""
        self.restart_at, self.pinged, self.answered, self.pinged_at = None, False, False, now


@contextmanager
def _unchanged_handlers() -> Iterator[None]:
    """Keep the actions of the signals by which uvicorn restarts its workers or changes their number.

    Its new workers would be plain ones, and the kernel sends SIGTTIN and SIGTTOU to jobs in the background.
    """
    before = {number: signal.getsignal(number) for number in _RESTARTS}
    try:
        yield
    finally:
        for number, action in before.items():
            signal.signal(number, action)


class WorkerProcess(Process):
    """A worker process. Ctrl-C does not end it while it starts: the supervisor ends it."""

    def start(self) -> None:
        resource_tracker.ensure_running()  # its start unblocks Ctrl-C
        with without_interrupts():
            super().start()

    def target(self, sockets: list[socket.socket] | None = None) -> None:
        discard_interrupts()
        super().target(sockets)

    @property
    def server(self) -> uvicorn.Server:
        if self._server is None:
            self._server = GatewayServer(config=self.config)
        return self._server


class WorkerGroup(Multiprocess):
    """Supervisor of uvicorn's workers. `failed`: it ended because no worker could serve."""

    def __init__(self, config: uvicorn.Config, sockets: list[socket.socket]) -> None:
        with _unchanged_handlers():
            super().__init__(config, sockets)
        self.failed = False
        self._slots: dict[Process, WorkerState] = {}
        self._served = False  # at least one worker has been ready

    def init_processes(self) -> None:
        """Start the workers."""
        for _ in range(self.processes_num):
            process = WorkerProcess(self.config, self.sockets)
            process.start()
            self.processes.append(process)

    def terminate_all(self) -> None:
        """Stop the workers. The kernel then refuses new connections once each worker has closed its listeners.

        With a listener open here, it would accept connections that no worker serves, until the last worker has ended.
        """
        for listener in self.sockets:
            listener.close()
        super().terminate_all()

    def keep_subprocess_alive(self) -> None:
        """Check every worker once; called twice a second."""
        if self.should_exit.is_set() or self.signal_queue:
            return  # stopping: workers may have received the signal themselves
        now = time.monotonic()
        for index, process in enumerate(tuple(self.processes)):
            slot = self._slots.setdefault(process, WorkerState())
            if slot.restart_at is None:
                self._check(process, slot, now)
            elif now >= slot.restart_at:
                self._replace(index, slot, now)
        self._end_if_hopeless()
        self._slots = {process: self._slots[process] for process in self.processes if process in self._slots}

    def _check(self, process: Process, slot: WorkerState, now: float) -> None:
        if process.process.is_alive() and not self._hangs(process, slot, now):
            return
        hung = process.process.is_alive()
        process.kill()
        process.join()
        if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
            remove_dead_workers(Path(os.environ["PROMETHEUS_MULTIPROC_DIR"]))
        slot.gave_up = not hung and (process.exitcode or 0) > 0
        delay = slot.record_end(now)
        cause = "did not answer and was killed" if hung else f"has ended with code {process.exitcode}"
        logger.error("worker %s %s; it is replaced in %.1f s", process.pid, cause, delay)

    def _hangs(self, process: Process, slot: WorkerState, now: float) -> bool:
        """Ping the worker without waiting, and read its last answer, which shows whether its server is ready."""
        try:
            if slot.pinged and process.parent_conn.poll(0):
                ready: bool = process.parent_conn.recv()
                slot.pinged, slot.answered = False, True
                slot.ready_at = (slot.ready_at or now) if ready else None
                self._served = self._served or ready
            if not slot.pinged:
                process.parent_conn.send(b"ping")
                slot.pinged, slot.pinged_at = True, now
        except (OSError, EOFError, pickle.UnpicklingError):
            return False  # it is ending
        return now - slot.pinged_at > (HANG_TIMEOUT if slot.answered else START_TIMEOUT)

    def _replace(self, index: int, slot: WorkerState, now: float) -> None:
        process = WorkerProcess(self.config, self.sockets)
        process.start()
        slot.record_start(now)
        self.processes[index] = process
        self._slots[process] = slot

    def _end_if_hopeless(self) -> None:
        slots = list(self._slots.values())
        starting_failed = not self._served and any(slot.gave_up for slot in slots)
        if starting_failed or (slots and all(slot.failures >= MAX_FAILURES for slot in slots)):
            logger.critical(
                "the workers cannot start; the gateway ends" if starting_failed else "no worker stays alive"
            )
            self.failed = True
            self.should_exit.set()

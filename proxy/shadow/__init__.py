"""Requests run on the other side, too, so that both answers can be compared: in a process of its own.

    gateway process                                          shadow process (`worker.py`)
    attendance.py   sees a request and its answer pass
    __init__.py     hands it over, within a bound  ── message_channel ─▶  stage.py    asks the other side
    ledger.py       what is outstanding                            review.py   compares, asks again
    pressure.py     how much there is room for
    counts.py       what came of it                                reports/    keeps what came of it
    child.py        keeps the process alive

The gateway process does no more than capture and count, so whatever the other side does (hang, crash, use up a
processor, answer without an end), no client waits for it. Only a dry run is waited for, and no longer than
`shadow.dry_run_timeout`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from starlette.types import Receive, Scope

from proxy.comparison.exchange import RawExchange
from proxy.comparison.verdicts import Reason
from proxy.config.field_types import FULL
from proxy.config.models import Config, Route
from proxy.config.rules import SAFE
from proxy.gateway import bucketing
from proxy.gateway.request_record import ComparisonObserver
from proxy.observability import metrics
from proxy.reports.events import SkippedEvent
from proxy.shadow.counts import Counts
from proxy.shadow.load_shedder import INTERVAL, CpuLoadShedder
from proxy.shadow.messages import (
    Compared,
    CompareRead,
    Configure,
    ConnectionInfo,
    Discard,
    DryRun,
    DryRunFinished,
    LegacyServed,
    ReportsDropped,
    RequestSnapshot,
    ToGateway,
)
from proxy.shadow.mirror import MirroredDryRun, MirroredRead, MirroredRequest
from proxy.shadow.pending import PendingRequest, PendingTable
from proxy.shadow.supervisor import WorkerSupervisor
from proxy.types import Backend


class ShadowClient:
    """The shadow of one gateway process: it has a process of its own while some route's requests are to be compared.

    `directory` is where routing.yaml stands. `observers` hear of every request that was to be compared, `note` of those
    that never came as far as the shadow process, which notes the others by itself.
    """

    def __init__(
        self,
        config: Config,
        directory: Path,
        observers: Iterable[ComparisonObserver] = (),
        note: Callable[[SkippedEvent], None] | None = None,
    ) -> None:
        self._config = config
        self._native = config.native
        self._directory = directory
        self._counts = Counts(observers, note)
        self._child = WorkerSupervisor(self._hear, self._lose)
        self._ledger = PendingTable()
        self._pressure = CpuLoadShedder()
        self._dry_running = 0
        self._looking: asyncio.Task[None] | None = None

    @property
    def outstanding(self) -> int:
        """How many requests wait for a comparison, or are in one."""
        return len(self._ledger)

    @property
    def ready(self) -> bool:
        """Whether there is a process, and its native app has started."""
        return self._child.ready is not None

    @property
    def pid(self) -> int | None:
        """The process's, while there is one."""
        return self._child.pid

    async def start(self) -> None:
        """Begin; the process comes up by and by."""
        self._looking = asyncio.create_task(self._look())
        self._keep()

    async def stop(self) -> None:
        """End, the process with it; what is outstanding is skipped."""
        if self._looking is not None:
            self._looking.cancel()
        await self._child.end()
        self._counts.tell()

    def adopt(self, config: Config) -> None:
        """Go on by a changed file, contracts read anew. Another native app takes effect at a restart."""
        self._config = config.model_copy(update={"native": self._native})
        self._keep()

    def attend(
        self, route: Route, decision: bucketing.Decision, scope: Scope, receive: Receive
    ) -> MirroredRequest | None:
        """Attend to an HTTP request that is to run in the shadow; None where it is not, or cannot."""
        if not bucketing.is_shadowed(route, decision.bucket):
            return None
        reads = scope["method"] in SAFE
        reason = self._refusal(route, decision.backend, reads=reads)
        if reason is not None:
            self.leave(route.name, decision.backend, reason)
            return None
        attending = MirroredRead if reads else MirroredDryRun
        return attending(self, route.name, scope, receive, self._config.shadow.max_body)

    def read(self, route: str, served: Backend, arrival: ConnectionInfo, seen: RawExchange) -> None:
        """A read to be compared."""
        deadline = time.monotonic() + self._config.shadow.deadline
        number = self._ledger.admit(PendingRequest(route, served, seen.size, deadline), self._room)
        if number is None:
            self.leave(route, served, "queue_full")
        else:
            self._child.send(CompareRead(number, route, served, arrival, seen, deadline))

    async def dry_run(self, route: str, asked: RequestSnapshot) -> int | None:
        """Have a write rehearsed, and wait for it; gives its number, None where nothing will be compared."""
        over: asyncio.Future[Reason | None] = asyncio.get_running_loop().create_future()
        number = self._ledger.admit(PendingRequest(route, "legacy", len(asked.body), result=over), self._room)
        if number is None:
            self.leave(route, "legacy", "queue_full")
            return None
        patience = self._config.shadow.dry_run_timeout
        self._child.send(DryRun(number, route, asked, time.monotonic() + patience), urgent=True)
        self._dry_running += 1
        reason: Reason | None = "client_gone"
        try:
            async with asyncio.timeout(patience):
                reason = await over
        except TimeoutError:
            reason = "timeout"
        finally:
            self._dry_running -= 1
            if reason is not None:
                self.forget(number, reason)
        return number if reason is None else None

    def served(self, number: int, seen: RawExchange) -> None:
        """What legacy did with a write that was rehearsed."""
        entry = self._ledger.find(number)
        if entry is not None:
            entry.deadline = time.monotonic() + self._config.shadow.deadline
            self._child.send(LegacyServed(number, seen))

    def forget(self, number: int, reason: Reason) -> None:
        """A dry run with which nothing is to be compared."""
        entry = self._ledger.settle(number)
        if entry is not None:
            self._child.send(Discard(number))
            self.leave(entry.route, entry.served, reason)

    def leave(self, route: str, served: Backend, reason: Reason) -> None:
        """A request that is skipped, and of which the shadow process knows nothing."""
        self._counts.leave(route, served, reason)

    @property
    def _room(self) -> int:
        return self._config.shadow.queue + self._config.shadow.concurrency

    def _keep(self) -> None:
        if any(route.shadow.share for route in self._config.routes):
            self._child.keep(Configure(self._config, self._directory))
        else:
            self._child.release()

    def _refusal(self, route: Route, served: Backend, *, reads: bool) -> Reason | None:
        """Why a request is not even attended to: told before it costs anything."""
        if not reads and (route.shadow.writes == "never" or served == "native"):
            return "write_not_allowed"
        ready = self._child.ready
        if ready is None:
            return "backend_unavailable"
        if not reads and not ready.supports_dry_run:
            return "write_not_allowed"
        full = not reads and self._dry_running >= self._config.shadow.concurrency
        if full or len(self._ledger) >= self._room:
            return "queue_full"
        return None if self._pressure.admits() else "shed"

    def _hear(self, message: ToGateway) -> None:
        if isinstance(message, Compared):
            entry = self._ledger.settle(message.number)
            if entry is not None:
                self._counts.done(entry.route, entry.served, message.verdict, message.reason)
        elif isinstance(message, DryRunFinished):
            self._resolve(self._ledger.find(message.number), message.reason)
        elif isinstance(message, ReportsDropped):
            metrics.REPORTS_DROPPED.labels(message.why).inc(message.number)

    def _resolve(self, entry: PendingRequest | None, reason: Reason | None) -> None:
        if entry is not None and entry.result is not None and not entry.result.done():
            entry.result.set_result(reason)

    def _lose(self) -> None:
        """The process has ended, and with it all that it had been given."""
        for number in self._ledger.numbers():
            self._drop(number, "worker_crashed")

    def _drop(self, number: int, reason: Reason) -> None:
        entry = self._ledger.find(number)
        if entry is not None and entry.result is not None and not entry.result.done():
            entry.result.set_result(reason)  # who waits for it forgets it
        else:
            self.forget(number, reason)

    async def _look(self) -> None:
        while True:
            now = time.monotonic()
            for number in self._ledger.overdue(now):
                self._drop(number, "timeout")
            metrics.SHADOW_OUTSTANDING.set(len(self._ledger))
            self._pressure.look(now, self._config.shadow.max_cpu_wait / FULL)
            metrics.SHADOW_SHARE.set(self._pressure.share)
            await asyncio.sleep(INTERVAL)

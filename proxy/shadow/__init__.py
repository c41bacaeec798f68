"""Shadow requests: run each one also on the other backend, in a separate process, and compare both answers.

    gateway process                                              shadow process (`worker.py`)
    mirror.py        records a request and its answer (a WebSocket: `mirrored_conversation.py`)
    __init__.py      submits it, within limits  ── message_channel ─▶  backends.py     sends it to the other backend
    direct_reads.py  collects reads that need no task in batches
    pending.py       requests without a verdict yet                    comparator.py   compares, confirms mismatches
    load_shedder.py  reduces the share while the CPU is contended
    counts.py        verdicts, for metrics and observers               reports/        stores the results
    supervisor.py    starts and restarts the process

Shadowing never affects users. The gateway process only captures and counts; no client waits for the other backend,
even if it hangs, crashes or uses a whole CPU. Only the dry run of a write is awaited, for at most
`shadow.dry_run_timeout`. A WebSocket's messages are replayed on native once legacy has served all of it
(`conversation_replay.py`).
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, Literal, TypeAlias

from starlette.types import Receive, Scope

from common.background_tasks import BackgroundTasks
from proxy.comparison.conversation import RawConversation
from proxy.comparison.exchange import Exchange
from proxy.comparison.verdicts import Reason
from proxy.config.field_types import FULL
from proxy.config.inheritance import SAFE
from proxy.config.models import Config, Route
from proxy.gateway import bucketing
from proxy.gateway.request_record import ComparisonObserver
from proxy.observability import metrics
from proxy.observability.webhook import WebhookEvent
from proxy.periodic import until_tick
from proxy.reports.events import SkippedEvent
from proxy.server.memory_budget import MemoryBudget
from proxy.shadow.conversation_sender import ConversationSender
from proxy.shadow.counts import Counts
from proxy.shadow.direct_reads import DirectReadQueue
from proxy.shadow.load_shedder import IDLE_INTERVAL, INTERVAL, CpuLoadShedder, RouteFloors
from proxy.shadow.messages import (
    AnsweredRead,
    CompareConversation,
    Compared,
    CompareRead,
    CompareReads,
    Configure,
    ConnectionInfo,
    Discard,
    DryRun,
    DryRunFinished,
    LegacyServed,
    Notice,
    ReportsDropped,
    RequestSnapshot,
    ToGateway,
)
from proxy.shadow.mirror import (
    MIRROR_ERRORS,
    DirectRead,
    MirroredDryRun,
    MirroredRead,
    MirroredRequest,
    ServedRequest,
    budget_of,
)
from proxy.shadow.mirrored_conversation import MirroredConversation
from proxy.shadow.pending import PendingRequest, PendingTable
from proxy.shadow.supervisor import WorkerSupervisor
from proxy.shadow.timings import ShadowTimings
from proxy.types import Backend

Kind: TypeAlias = Literal["read", "write", "conversation"]

REPLAYS: Final = 3
"""Multiple of `shadow.deadline` after which a conversation expires: one to wait, and two for its replays."""


class ShadowClient:
    """The shadow of one gateway process. A worker process runs as long as a route has a `shadow` share.

    `directory` is the one of routing.yaml. `observers` receive every outcome; `record_skipped` receives the requests
    that never reached the worker, which records the others itself. `publish` receives its events for the webhook.
    `load_shedder` and `floors` decide which reads, writes and conversations are admitted.
    """

    def __init__(
        self,
        config: Config,
        directory: Path,
        observers: Iterable[ComparisonObserver] = (),
        record_skipped: Callable[[SkippedEvent], None] | None = None,
        publish: Callable[[WebhookEvent], None] = lambda _: None,
        timings: ShadowTimings | None = None,
        *,
        load_shedder: CpuLoadShedder | None = None,
        floors: RouteFloors | None = None,
    ) -> None:
        timings = timings or ShadowTimings()
        self._publish = publish
        self._config = config
        self._native = config.native
        self._directory = directory
        self._counts = Counts(observers, record_skipped, timings.publish_delay)
        self._supervisor = WorkerSupervisor(self._handle, self._drop_all, timings, self._prepare_direct)
        self._direct = DirectReadQueue(self._number, self._send_batch)
        self._pending = PendingTable()
        self._load_shedder = load_shedder or CpuLoadShedder()
        self._floors = floors or RouteFloors()
        self._requested = asyncio.Event()
        self._dry_runs = 0
        self._sender = ConversationSender(self._supervisor.send, lambda number: self._pending.get(number) is not None)
        self._conversations = MemoryBudget(config.shadow.websocket.max_held)
        self._background = BackgroundTasks()

    @property
    def pending(self) -> int:
        """The number of requests without a verdict yet."""
        return len(self._pending) + len(self._direct)

    @property
    def ready(self) -> bool:
        """True while there is a worker whose native app has started."""
        return self._supervisor.ready is not None

    @property
    def pid(self) -> int | None:
        """The worker's process id, None while there is no worker."""
        return self._supervisor.pid

    async def start(self) -> None:
        """Start the housekeeping and the worker; returns before the worker is ready."""
        self._background.start(self._run_housekeeping())
        self._update_worker()

    async def stop(self) -> None:
        """Stop the worker and publish the counts; pending requests are skipped."""
        await self._background.stop()
        self._sender.cancel()
        await self._supervisor.stop()
        self._counts.publish()

    def apply_config(self, config: Config) -> None:
        """Apply a changed configuration and reload the contracts. Another native app takes effect at a restart."""
        self._config = config.model_copy(update={"native": self._native})
        self._conversations.limit = config.shadow.websocket.max_held
        self._update_worker()

    def mirror(
        self, route: Route, decision: bucketing.Decision, request: ServedRequest, receive: Receive
    ) -> MirroredRequest | None:
        """Begin to mirror a request or a WebSocket. Return None if it is not sampled or is skipped."""
        if not bucketing.is_shadowed(route, decision.bucket):
            return None
        kind = _kind_of(request)
        reason = self._skip_reason(route, decision.backend, kind)
        if reason is not None:
            self.skip(route.name, decision.backend, reason)
            return None
        if kind == "conversation":
            return self._mirror_conversation(route.name, request.scope, receive)
        limit = self._config.shadow.max_body
        if kind == "read":
            return MirroredRead(self, route.name, request, receive, limit)
        return MirroredDryRun(self, route.name, request.scope, receive, limit)

    def mirror_direct(self, read: DirectRead) -> None:
        """Mirror a read that was served without a task, unless it is not sampled or is skipped."""
        if not bucketing.is_shadowed(read.route, read.decision.bucket):
            return
        if self._supervisor.ready is None:
            self.skip(read.route.name, read.decision.backend, "backend_unavailable")
        elif self._direct.add(read):
            self._supervisor.request_flush()

    def _prepare_direct(self) -> bool:
        """Prepare some reads of the batch; return True before the last of them."""
        is_unfinished = self._direct.step()
        if self._direct and not is_unfinished:  # they have come during the batch
            asyncio.get_running_loop().call_soon(self._supervisor.request_flush)
        return is_unfinished

    def _number(self, read: DirectRead) -> AnsweredRead | None:
        """Return a read with its number, as the worker gets it; None if it is skipped, or submitted by itself."""
        with MIRROR_ERRORS:
            route, served = read.route.name, read.decision.backend
            reason = self._skip_reason(read.route, served, "read")
            if reason is not None:
                self.skip(route, served, reason)
            elif len(read.body) > self._config.shadow.max_body:
                read.submit(self, self._config.shadow.max_body)
            else:
                deadline, size = self._deadline(), len(read.body)
                number = self._add_pending(PendingRequest(route, served, size, deadline, caller=read.request.caller))
                return None if number is None else read.answered(number, deadline)
        return None

    def _send_batch(self, reads: list[AnsweredRead]) -> None:
        """Send those reads whose worker has not ended since they were numbered."""
        pending = [read for read in reads if self._pending.get(read.number) is not None]
        if pending:
            self._supervisor.send(CompareReads.of(pending))

    def _mirror_conversation(self, route: str, scope: Scope, receive: Receive) -> MirroredRequest:
        budgets = tuple(budget for budget in (self._conversations, budget_of(scope)) if budget is not None)
        return MirroredConversation(self, route, scope, receive, self._config.shadow, budgets)

    def submit_read(self, route: str, served: Backend, connection: ConnectionInfo, exchange: Exchange) -> None:
        """Submit a read, answered by `served`, for comparison."""
        deadline = self._deadline()
        number = self._add_pending(PendingRequest(route, served, exchange.size, deadline, caller=connection.caller))
        if number is not None:
            self._supervisor.send(CompareRead(number, route, served, connection, exchange, deadline))

    def submit_conversation(self, route: str, connection: ConnectionInfo, raw: RawConversation) -> None:
        """Submit a conversation with legacy for comparison."""
        seconds, now = self._config.shadow.deadline, time.monotonic()
        pending = PendingRequest(route, "legacy", raw.size, now + REPLAYS * seconds, caller=connection.caller)
        number = self._add_pending(pending)
        if number is not None:
            self._sender.submit(CompareConversation(number, route, connection, raw, now + seconds))

    async def dry_run(self, route: str, request: RequestSnapshot) -> int | None:
        """Run a write dry and wait for its end. Return its number; None if nothing will be compared."""
        result: asyncio.Future[Reason | None] = asyncio.get_running_loop().create_future()
        caller = request.connection.caller
        pending = PendingRequest(route, "legacy", len(request.body), result=result, caller=caller)
        number = self._add_pending(pending)
        if number is None:
            return None
        timeout = self._config.shadow.dry_run_timeout
        self._supervisor.send(DryRun(number, route, request, time.monotonic() + timeout), urgent=True)
        self._dry_runs += 1
        reason: Reason | None = "client_gone"
        try:
            async with asyncio.timeout(timeout):
                reason = await result
        except TimeoutError:
            reason = "timeout"
        finally:
            self._dry_runs -= 1
            if reason is not None:
                self.discard(number, reason)
        return number if reason is None else None

    def submit_legacy_answer(self, number: int, exchange: Exchange) -> None:
        """Submit legacy's answer to a write that ran dry."""
        pending = self._pending.get(number)
        if pending is not None:
            pending.deadline = self._deadline()
            self._supervisor.send(LegacyServed(number, exchange))

    def discard(self, number: int, reason: Reason) -> None:
        """Skip the comparison of a pending request."""
        pending = self._pending.pop(number)
        if pending is not None:
            self._supervisor.send(Discard(number))
            self.skip(pending.route, pending.served, reason)

    def skip(self, route: str, served: Backend, reason: Reason) -> None:
        """Count a request that is not compared and was not sent to the worker."""
        self._counts.add_skipped(route, served, reason)

    def _add_pending(self, request: PendingRequest) -> int | None:
        """Return the number of a request that is pending from now on; None if it is skipped: too many are."""
        number = self._pending.add(request, self._max_pending)
        if number is None:
            self.skip(request.route, request.served, "queue_full")
        return number

    def _deadline(self) -> float:
        return time.monotonic() + self._config.shadow.deadline

    @property
    def _max_pending(self) -> int:
        return self._config.shadow.queue + self._config.shadow.concurrency

    def _update_worker(self) -> None:
        if any(route.shadow.share for route in self._config.routes):
            self._supervisor.ensure_running(Configure(self._config, self._directory))
        else:
            self._supervisor.request_stop()

    def _skip_reason(self, route: Route, served: Backend, kind: Kind) -> Reason | None:
        """Return the reason for not mirroring a request, before any work is done for it; None if it is mirrored."""
        self._requested.set()
        if kind != "read" and (served == "native" or (kind == "write" and route.shadow.writes == "never")):
            return "write_not_allowed"
        ready = self._supervisor.ready
        if ready is None:
            return "backend_unavailable"
        if not (kind == "read" or (ready.supports_dry_run if kind == "write" else ready.supports_conversations)):
            return "write_not_allowed"
        full = kind == "write" and self._dry_runs >= self._config.shadow.concurrency
        due = self._floors.is_due(route.name)
        if full or not self._pending.has_room(route.name, self._max_pending):
            return "queue_full"
        if not self._load_shedder.admits(route.name) and not due:
            return "shed"
        self._floors.admitted(route.name)
        return None

    def _handle(self, message: ToGateway) -> None:
        if isinstance(message, Compared):
            pending = self._pending.pop(message.number)
            if pending is not None:
                verdict, reason = message.verdict, message.reason
                self._counts.add_verdict(pending.route, pending.served, verdict, reason, pending.caller)
                if reason is None:
                    self._floors.compared(pending.route)
        elif isinstance(message, DryRunFinished):
            self._resolve(self._pending.get(message.number), message.reason)
        elif isinstance(message, ReportsDropped):
            metrics.REPORTS_DROPPED.labels(message.reason).inc(message.number)
        elif isinstance(message, Notice):
            metrics.DIFFERENCE_EVENTS.labels(message.event.type).inc()
            self._publish(message.event)

    def _resolve(self, pending: PendingRequest | None, reason: Reason | None) -> bool:
        """Resolve an awaited dry run; return False if no request awaits it."""
        if pending is None or pending.result is None or pending.result.done():
            return False
        pending.result.set_result(reason)
        return True

    def _drop_all(self) -> None:
        """Skip all pending requests: the worker has ended."""
        for number in self._pending.numbers():
            self._drop(number, "worker_crashed")

    def _drop(self, number: int, reason: Reason) -> None:
        if not self._resolve(self._pending.get(number), reason):  # an awaited dry run is discarded by `dry_run`
            self.discard(number, reason)

    async def _run_housekeeping(self) -> None:
        """Expire pending requests and adapt to the CPU load, every `INTERVAL` seconds; less often without requests."""
        while True:
            now = time.monotonic()
            for number in self._pending.expired(now):
                self._drop(number, "timeout")
            metrics.SHADOW_OUTSTANDING.set(len(self._pending))
            self._load_shedder.update(now, self._config.shadow.max_cpu_wait / FULL)
            metrics.SHADOW_SHARE.set(self._load_shedder.share)
            if self._pending or await self._is_requested(until_tick(IDLE_INTERVAL)):
                await asyncio.sleep(INTERVAL)

    async def _is_requested(self, seconds: float) -> bool:
        """Wait until a request is to be mirrored, for some seconds at most; return True if there is one."""
        self._requested.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                return await self._requested.wait()
        return False


def _kind_of(request: ServedRequest) -> Kind:
    if request.kind == "websocket":
        return "conversation"
    return "read" if request.method in SAFE else "write"

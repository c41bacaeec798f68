"""Shadow requests: run each one also on the other backend, in a separate process, and compare both answers.

    gateway process                                              shadow process (`worker.py`)
    mirror.py        records a request and its answer (a WebSocket: `mirrored_conversation.py`)
    __init__.py      admits it, within limits
    submissions.py   submits it                 ── message_channel ─▶  backends.py     sends it to the other backend
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
from typing import Literal, TypeAlias

from starlette.types import Receive

from common.background_tasks import BackgroundTasks
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
from proxy.shadow.counts import Counts
from proxy.shadow.direct_reads import DirectReadQueue
from proxy.shadow.load_shedder import IDLE_INTERVAL, INTERVAL, CpuLoadShedder, RouteFloors
from proxy.shadow.messages import (
    AnsweredRead,
    Compared,
    Configure,
    DryRunFinished,
    Notice,
    ReportsDropped,
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
from proxy.shadow.submissions import Submissions
from proxy.shadow.supervisor import WorkerSupervisor
from proxy.shadow.timings import ShadowTimings
from proxy.types import Backend

Kind: TypeAlias = Literal["read", "write", "conversation"]


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
        self._supervisor = WorkerSupervisor(self._handle, self._skip_all, timings, self._prepare_direct)
        self._submissions = Submissions(config.shadow, self._supervisor.send, self._counts)
        self._direct = DirectReadQueue(self._admit_direct, self._submissions.send_direct_reads)
        self._load_shedder = load_shedder or CpuLoadShedder()
        self._floors = floors or RouteFloors()
        self._requested = asyncio.Event()
        self._conversations = MemoryBudget(config.shadow.websocket.max_held)
        self._background = BackgroundTasks()

    @property
    def pending(self) -> int:
        """The number of requests without a verdict yet."""
        return len(self._submissions) + len(self._direct)

    @property
    def ready(self) -> bool:
        """True while there is a worker whose native app has started."""
        return self._supervisor.ready is not None

    @property
    def failures(self) -> int:
        """Return how often in a row a worker has ended soon after its start."""
        return self._supervisor.failures

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
        self._submissions.cancel()
        await self._supervisor.stop()
        self._counts.publish()

    def apply_config(self, config: Config) -> None:
        """Apply a changed configuration and reload the contracts. Another native app takes effect at a restart."""
        self._config = config.model_copy(update={"native": self._native})
        self._submissions.settings = config.shadow
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
            self._submissions.skip(route.name, decision.backend, reason)
            return None
        settings = self._config.shadow
        if kind == "conversation":
            budgets = tuple(each for each in (self._conversations, budget_of(request.scope)) if each is not None)
            return MirroredConversation(self._submissions, route.name, request.scope, receive, settings, budgets)
        if kind == "read":
            return MirroredRead(self._submissions, route.name, request, receive, settings.max_body)
        return MirroredDryRun(self._submissions, route.name, request.scope, receive, settings.max_body)

    def mirror_direct(self, read: DirectRead) -> None:
        """Mirror a read that was served without a task, unless it is not sampled or is skipped."""
        if not bucketing.is_shadowed(read.route, read.decision.bucket):
            return
        if self._supervisor.ready is None:
            self._submissions.skip(read.route.name, read.decision.backend, "backend_unavailable")
        elif self._direct.add(read):
            self._supervisor.request_flush()

    def _prepare_direct(self) -> bool:
        """Prepare some reads of the batch; return True before the last of them."""
        is_unfinished = self._direct.step()
        if self._direct and not is_unfinished:  # they have come during the batch
            asyncio.get_running_loop().call_soon(self._supervisor.request_flush)
        return is_unfinished

    def _admit_direct(self, read: DirectRead) -> AnsweredRead | None:
        """Return a read for the batch; None if it is skipped, or submitted by itself."""
        with MIRROR_ERRORS:
            reason = self._skip_reason(read.route, read.decision.backend, "read")
            if reason is None:
                return self._submissions.add_direct_read(read)
            self._submissions.skip(read.route.name, read.decision.backend, reason)
        return None

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
        due = self._floors.is_due(route.name)
        if not self._submissions.has_room(route.name, dry_run=kind == "write"):
            return "queue_full"
        if not self._load_shedder.admits(route.name) and not due:
            return "shed"
        self._floors.admitted(route.name)
        return None

    def _handle(self, message: ToGateway) -> None:
        if isinstance(message, Compared):
            route = self._submissions.record_verdict(message)
            if route is not None:
                self._floors.compared(route)
        elif isinstance(message, DryRunFinished):
            self._submissions.end_dry_run(message.number, message.reason)
        elif isinstance(message, ReportsDropped):
            metrics.REPORTS_DROPPED.labels(message.reason).inc(message.number)
        elif isinstance(message, Notice):
            metrics.DIFFERENCE_EVENTS.labels(message.event.type).inc()
            self._publish(message.event)

    def _skip_all(self) -> None:
        self._submissions.skip_all("worker_crashed")

    async def _run_housekeeping(self) -> None:
        """Expire pending requests and adapt to the CPU load, every `INTERVAL` seconds; less often without requests."""
        while True:
            self._submissions.skip_expired()
            metrics.SHADOW_OUTSTANDING.set(len(self._submissions))
            self._load_shedder.update(time.monotonic(), self._config.shadow.max_cpu_wait / FULL)
            metrics.SHADOW_SHARE.set(self._load_shedder.share)
            if self._submissions or await self._is_requested(until_tick(IDLE_INTERVAL)):
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

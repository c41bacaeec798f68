"""One gateway process: configuration and its reloading, the backends, the two listeners.

uvicorn serves one app on both listeners; `listeners` dispatches their connections.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from typing import Protocol

from starlette.routing import Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from common.background_tasks import BackgroundTasks
from proxy.backends.health import HealthChecks
from proxy.backends.native import Native
from proxy.config.loading import decode, read
from proxy.config.masking import masked
from proxy.config.models import Config
from proxy.config.problems import ConfigError
from proxy.contract.declared_refusals import DeclaredRefusals
from proxy.database.database import Database
from proxy.docs.app import Docs
from proxy.failure_log import report_unhandled
from proxy.gateway.bucketing import Limit
from proxy.gateway.gateway import Gateway
from proxy.gateway.snapshot import RoutingSnapshot
from proxy.observability import metrics
from proxy.observability.process_metrics import ProcessMetrics
from proxy.observability.recent_failures import RecentFailures
from proxy.observability.webhook import WebhookEvent, WebhookQueue
from proxy.ops.app import create_ops
from proxy.ops.fleet import Fleet
from proxy.ops.rendering import compile_templates
from proxy.ops.revocations import RevokedSessions
from proxy.ops.status import process_health
from proxy.reports.revisions import Revisions
from proxy.reports.writer import ReportWriter
from proxy.rollout import publish
from proxy.rollout.analysis.route_stats import StatsRegistry
from proxy.rollout.controller import RolloutController
from proxy.rollout.hub import HubStore
from proxy.rollout.in_force import ControllerHooks
from proxy.rollout.model import AuditEntry
from proxy.rollout.mongo import MongoStore
from proxy.rollout.store import MemoryStore, Store
from proxy.runtime.config_watcher import ConfigWatcher, log_problems
from proxy.runtime.garbage import without_collection
from proxy.runtime.last_good import LastGood, LoadedConfig, load_config
from proxy.runtime.legacy_backend import LegacyBackend
from proxy.runtime.listener_settings import ListenerSettings, ListenerState
from proxy.runtime.listeners import ListenerAddress, ListenerDispatcher
from proxy.runtime.request_observation import RequestObservation
from proxy.server.memory_budget import MemoryBudget
from proxy.shadow import ShadowClient
from proxy.shadow.timings import ShadowTimings

logger = logging.getLogger("scribe_proxy")


GC_THRESHOLD = 20_000
"""Generation-0 threshold of the garbage collector. At Python's default of 700, collections take an eighth of the time
of a request that reads a hundred documents (measured)."""


class BackgroundService(Protocol):
    """A service of the process that applies each changed configuration."""

    async def start(self) -> None: ...
    async def stop(self) -> None: ...
    def apply_config(self, config: Config) -> None: ...


class GatewayProcess:
    """The parts of one process. `file` is routing.yaml; `env` holds the variables it may refer to, and the pin.

    `loaded`: the file's content, if it has just been read. If the file is refused, the process starts with the last
    good configuration. Raises ConfigError if there is none.
    """

    def __init__(
        self,
        file: Path,
        env: Mapping[str, str],
        last_good: LastGood | None = None,
        hub: HubStore | None = None,
        loaded: LoadedConfig | None = None,
        shadow_timings: ShadowTimings | None = None,
    ) -> None:
        self._hub = hub
        loaded = loaded or load_config(file, env, last_good)
        config = loaded.config
        self.native = Native(config.native) if config.native else None
        self._legacy = LegacyBackend(config)
        self.listeners = ListenerSettings(config)
        self._observation = RequestObservation(config, env)
        self.database = Database.of(config.mongodb)
        self.revoked_sessions = RevokedSessions.of(self.database, env)
        self.reports = ReportWriter(self.database, config.reports, revisions=Revisions.of(config, env))
        self.notices = WebhookQueue(config)
        self.shadow = self._create_shadow(config, file.parent, shadow_timings)
        self.watcher = ConfigWatcher(file, env, self._apply_config, loaded, last_good=last_good)
        self.gateway = self._create_gateway(config)
        self.public = Docs(self.gateway, config, self.native, file.parent)
        self._process_metrics = ProcessMetrics(self._load)
        self.health = HealthChecks(self.native, config)
        self.controller = self._create_controller(config)
        self.fleet = self._create_fleet()
        _report_loaded(file, loaded)

    @property
    def _services(self) -> tuple[BackgroundService, ...]:
        """The services in the order of their start."""
        return (self.notices, self.reports, self.shadow, self.health, self.controller, self.fleet)

    @property
    def stats(self) -> StatsRegistry:
        """The statistics that guards and gates evaluate."""
        return self._observation.stats

    @property
    def failures(self) -> RecentFailures:
        """Counts of recent failures by their code."""
        return self._observation.failures

    @property
    def native_started(self) -> bool:
        return self.native is not None and self.native.started

    @property
    def shadow_ready(self) -> bool:
        """True while a shadow process can run requests."""
        return self.shadow.ready

    @property
    def shadow_failures(self) -> int:
        """How often in a row the shadow process has ended soon after its start."""
        return self.shadow.failures

    @property
    def memory(self) -> MemoryBudget:
        """The budget for bytes that are buffered for clients."""
        return self.listeners.memory

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Start native and all services, and stop them at the end. Raises `NativeUnavailable`."""
        asyncio.get_running_loop().set_exception_handler(report_unhandled)
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(self._close)
            if self.native is not None:
                await self.native.start()
            for service in self._services:
                await service.start()
                stack.push_async_callback(service.stop)
            tasks = BackgroundTasks()
            stack.push_async_callback(tasks.stop)
            for work in (self.watcher, self._process_metrics, self.revoked_sessions):
                tasks.start(work.run())
            tasks.start(compile_templates())
            yield

    async def _close(self) -> None:
        if self.native is not None:
            await self.native.stop()
        self._legacy.close()
        if self.database is not None:
            await self.database.close()
        if self._hub is not None:
            await self._hub.close()
        await self._observation.close()

    def _create_shadow(self, config: Config, directory: Path, timings: ShadowTimings | None) -> ShadowClient:
        compared = (self.stats.compared,)
        return ShadowClient(config, directory, compared, self.reports.record, self.notices.publish, timings)

    def _create_gateway(self, config: Config) -> Gateway:
        observers = [*self._observation.observers]
        if self.database is not None:
            observers.append(self.reports.observe)
        return Gateway(self._create_snapshot(config), observers, self._observation.tracing, self.shadow)

    def _create_fleet(self) -> Fleet:
        health = partial(process_health, self)
        return Fleet(self.controller, self.failures, lambda: self.gateway.in_flight, health)

    def _create_snapshot(self, config: Config) -> RoutingSnapshot:
        declared = DeclaredRefusals(self.watcher.bundle.divergences)
        return RoutingSnapshot.of(config, self._legacy.breaker, self.native, declared)

    def _create_controller(self, config: Config) -> RolloutController:
        store: Store = MemoryStore()
        if self.database is not None:
            store = MongoStore(self.database)
        elif self._hub is not None:
            store = self._hub
        hooks = ControllerHooks(
            apply=self._limit,
            healthy=lambda: not self.health.failing,
            legacy_down=lambda: self._legacy.breaker.is_open,
            changed=self._announce,
            in_force=publish.show,
            config_text=self._config_text,
        )
        return RolloutController(config, store, self.stats, hooks)

    def _load(self) -> tuple[int, int, int]:
        """Return the requests and WebSockets in flight, and the bytes buffered for clients."""
        websockets = self.gateway.websockets
        return self.gateway.in_flight - websockets, websockets, self.memory.used

    def _config_text(self) -> str:
        snapshots = self.watcher.snapshots
        shown = masked(snapshots[-1].text) if snapshots else None
        return shown.text if shown is not None else ""

    def _limit(self, limits: Mapping[str, Limit]) -> None:
        self.gateway.limits = limits

    def _announce(self, change: AuditEntry) -> None:
        publish.count(change)
        event = publish.webhook_event(change)
        if event is not None:
            self.notices.publish(event)

    def _apply_config(self, config: Config | None) -> None:
        """Apply a changed configuration; None for a refused one, for which the last good one stays in force."""
        metrics.RELOADS.labels("refused" if config is None else "applied").inc()
        metrics.CONFIG_VALID.set(config is not None)
        if config is None:
            problems = [problem.located("routing.yaml", column=True) for problem in self.watcher.problems]
            in_force = self.gateway.snapshot.config.revision
            self.notices.publish(WebhookEvent("config_refused", {"problems": problems, "in_force": in_force}))
            return
        before = self.gateway.snapshot.config
        if config.native != before.native:
            logger.warning("native: %s takes effect at a restart; %s stays until then", config.native, before.native)
        if config.mongodb != before.mongodb:
            logger.warning("mongodb: takes effect at a restart")
        self._legacy.apply_config(config)
        self.gateway.snapshot = self._create_snapshot(config)
        self._observation.apply_config(config)
        self.listeners.apply_config(config)
        self.public.apply_config(config)
        for service in self._services:
            service.apply_config(config)


def _report_loaded(file: Path, loaded: LoadedConfig) -> None:
    """Set the metric of the configuration's state; log the problems of a refused file."""
    metrics.CONFIG_VALID.set(not loaded.problems)
    if loaded.saved_at is None:
        return
    log_problems(file, loaded.problems, _text_of(file))
    saved = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(loaded.saved_at))
    logger.error("%s: refused; started with the last good one, revision %s of %s", file, loaded.config.revision, saved)


def _text_of(file: Path) -> str:
    """Return the text of a file; empty if it cannot be read."""
    try:
        return decode(read(file), str(file))
    except ConfigError:
        return ""


def create_app(
    file: Path,
    ops_listener: ListenerAddress,
    ops_token: str | None,
    last_good: LastGood | None = None,
    hub: HubStore | None = None,
    ops_viewer_token: str | None = None,
    loaded: LoadedConfig | None = None,
) -> ListenerDispatcher:
    """Return the app of one process, for both listeners. `hub` holds state shared by workers.

    Raises ConfigError, `NativeUnavailable`.
    """
    process = GatewayProcess(file, os.environ, last_good, hub, loaded)
    if process.native is not None:
        with without_collection():
            process.native.load()
        gc.freeze()  # excludes the objects so far from collections during the native app's start-up
    process.listeners.proxy_protocol.exempt = ops_listener.accepted

    @contextlib.asynccontextmanager
    async def lifespan(_: Router) -> AsyncIterator[ListenerState]:
        async with process.running():
            gc.collect()
            gc.freeze()  # imported objects are excluded from full collections, which otherwise take 50 ms
            gc.set_threshold(GC_THRESHOLD)
            yield process.listeners.state

    ops = create_ops(process, ops_token, ops_viewer_token)
    return ListenerDispatcher(process.public, ops, ops_listener, _with_reason(lifespan, process.native))


def _with_reason(
    lifespan: Callable[[Router], AbstractAsyncContextManager[ListenerState]], native: Native | None
) -> ASGIApp:
    """Return the app of a lifespan, which reports a native app that fails to start without a second traceback."""
    router = Router(lifespan=lifespan)

    async def run(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_reason(message: Message) -> None:
            if message["type"] == "lifespan.startup.failed" and native is not None and native.failure:
                message = {**message, "message": native.failure}
            await send(message)

        await router(scope, receive, send_reason)

    return run

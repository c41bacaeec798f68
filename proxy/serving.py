"""One process of the gateway: its plan and the reloading of it, its sides, its two listeners.

uvicorn serves one app on two sockets; `Entrance` tells them apart by the local port of the connection, which no client
can choose, so the ops app cannot be reached through the public socket.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import multiprocessing
import os
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Protocol

from starlette.routing import Router
from starlette.types import ASGIApp, Receive, Scope, Send

from proxy import metrics, supervision
from proxy.access_log import AccessLog
from proxy.breaker import Breaker
from proxy.config import Config, load
from proxy.database import Database
from proxy.docs import Docs
from proxy.gateway import Gateway, Plan
from proxy.guard.watch import Watches
from proxy.health import HealthChecks
from proxy.native import Native
from proxy.notify import Notice, Notices
from proxy.observation import Observation
from proxy.ops.app import create_ops
from proxy.reload import Watcher
from proxy.reports.reports import Reports
from proxy.rollout import Limit
from proxy.server.timeouts import STATE_KEY, ClientTimeouts, ListenerTimeouts
from proxy.shadow import Shadow
from proxy.state import telling
from proxy.state.keeper import Keeper, Surroundings
from proxy.state.model import Change
from proxy.state.mongo import MongoStore
from proxy.state.store import Memory
from proxy.tracing import Tracing
from proxy.upstream import Timeouts, Upstream
from proxy.vitals import Vitals, forget_the_dead

logger = logging.getLogger("scribe_proxy")


GARBAGE = 20_000
"""Objects that may come to stay before Python looks for cycles among them. At its own 700, a request that reads a
hundred documents pays for a look, which is an eighth of all its time (measured)."""

SWITCH_INTERVAL = 0.001
"""Seconds that a thread may keep the others waiting: the database driver's wait for the loop's, which is always busy
under load. A fifth of Python's own takes a sixth off the slowest answers and costs no throughput (measured)."""


class Entrance:
    """Gives a connection that came in by the ops port to the ops app, any other to the public one."""

    def __init__(self, public: ASGIApp, ops: ASGIApp, ops_port: int) -> None:
        self._public, self._ops, self._ops_port = public, ops, ops_port

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        server = scope.get("server")
        if server is not None and server[1] == self._ops_port:
            await self._ops(scope, receive, send)
        else:
            await self._public(scope, receive, send)


class Companion(Protocol):
    """What runs beside the gateway for as long as the process does, and goes on by a changed file."""

    async def start(self) -> None: ...
    async def stop(self) -> None: ...
    def adopt(self, config: Config) -> None: ...


class Process:
    """What one process holds. `file` is routing.yaml; `env` what it may refer to, and the pin."""

    def __init__(self, file: Path, env: Mapping[str, str]) -> None:
        self._env = env
        config = load(file, env)
        self.native = Native(config.native) if config.native else None
        self._upstream = _upstream(config)
        self.breaker = self._breaker(config)
        self._access_log = AccessLog(sys.stdout)
        self._tracing = Tracing.configured(env)
        self.database = Database.of(config.mongodb)
        self.reports = Reports(self.database, config.reports)
        self.watches = Watches()
        observers = (metrics.RequestMetrics(), self._log, self.reports.observe, self.watches)
        self.shadow = Shadow(config, file.parent, (self.watches.compared,), self.reports.note)
        self.gateway = Gateway(self._plan(config), observers, self._tracing, self.shadow)
        self._vitals = Vitals(lambda: (self.gateway.in_flight - self.gateway.websockets, self.gateway.websockets))
        self.listener_timeouts = ListenerTimeouts(_client_timeouts(config))
        self.watcher = Watcher(file, env, self._adopt, config)
        self.notices = Notices(config)
        self.health = HealthChecks(self.native, config)
        self.keeper = self._keeper(config)
        self._companions: tuple[Companion, ...] = (self.notices, self.reports, self.shadow, self.health, self.keeper)
        metrics.CONFIG_VALID.set(1)

    @property
    def native_started(self) -> bool:
        return self.native is not None and self.native.started

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Native started, the file watched. Raises `NativeUnavailable`."""
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(self._close)
            if self.native is not None:
                await self.native.start()
            for companion in self._companions:
                await companion.start()
                stack.push_async_callback(companion.stop)
            for each in (self.watcher, self._vitals):
                stack.callback(asyncio.create_task(each.run()).cancel)
            yield

    async def _close(self) -> None:
        if self.native is not None:
            await self.native.stop()
        self._upstream.close()
        if self.database is not None:
            await self.database.close()
        self._access_log.flush()
        if self._tracing is not None:
            await asyncio.to_thread(self._tracing.close)

    def _plan(self, config: Config) -> Plan:
        return Plan.of(config, self.breaker, self.native)

    def _breaker(self, config: Config) -> Breaker:
        settings = config.legacy.breaker
        return Breaker(self._upstream, settings.failures, settings.pause, _note_breaker)

    def _keeper(self, config: Config) -> Keeper:
        store = MongoStore(self.database) if self.database is not None else Memory()
        around = Surroundings(
            apply=self._limit,
            healthy=lambda: not self.health.failing,
            legacy_down=lambda: self.breaker.is_open,
            changed=self._tell,
            in_force=telling.show,
        )
        return Keeper(config, store, self.watches, around)

    def _limit(self, limits: Mapping[str, Limit]) -> None:
        self.gateway.limits = limits

    def _tell(self, change: Change) -> None:
        telling.count(change)
        notice = telling.notice(change)
        if notice is not None:
            self.notices.tell(notice)

    def _adopt(self, config: Config | None) -> None:
        """Go on by a changed file; None where it is refused, and the last good one stays."""
        metrics.RELOADS.labels("refused" if config is None else "adopted").inc()
        metrics.CONFIG_VALID.set(config is not None)
        if config is None:
            problems = [problem.located("routing.yaml") for problem in self.watcher.problems]
            in_force = self.gateway.plan.config.revision
            self.notices.tell(Notice("config_refused", {"problems": problems, "in_force": in_force}))
            return
        before = self.gateway.plan.config
        if config.native != before.native:
            logger.warning("native: %s takes effect at a restart; %s stays until then", config.native, before.native)
        if config.mongodb != before.mongodb:
            logger.warning("mongodb: takes effect at a restart")
        if config.legacy != before.legacy:
            former, self._upstream = self._upstream, _upstream(config)
            former.close()
            self.breaker = self._breaker(config)
            metrics.BREAKER_OPEN.set(0)
        self.gateway.plan = self._plan(config)
        self.listener_timeouts.current = _client_timeouts(config)
        for companion in self._companions:
            companion.adopt(config)

    def _log(self, observation: Observation) -> None:
        if self.gateway.plan.config.access_log:
            self._access_log(observation)


def _note_breaker(opened: bool) -> None:
    logger.warning("legacy %s", "is down: no connections" if opened else "accepts connections again")
    metrics.BREAKER_OPEN.set(opened)


def _upstream(config: Config) -> Upstream:
    legacy = config.legacy
    return Upstream(legacy.url, Timeouts(**legacy.timeouts.model_dump()), max_connections=legacy.max_connections)


def _client_timeouts(config: Config) -> ClientTimeouts:
    server = config.server
    return ClientTimeouts(
        keep_alive=server.keep_alive,
        header=min(server.header_timeout, server.request_timeout),
        request=server.request_timeout,
        websocket_ping_interval=server.websocket_ping_interval,
        websocket_ping_timeout=server.websocket_ping_timeout,
    )


def create_app(file: Path, ops_port: int, ops_token: str | None) -> Router:
    """The app of one process, for both listeners; `serve` hands it to uvicorn."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    logging.getLogger("scribe_proxy").setLevel(logging.INFO)  # below that, HTTP clients tell of whole URLs
    sys.setswitchinterval(SWITCH_INTERVAL)
    supervisor = multiprocessing.parent_process()
    if supervisor is not None and supervisor.pid is not None:
        supervision.end_with(supervisor.pid)  # else workers of one that was killed keep its ports
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        forget_the_dead(Path(os.environ["PROMETHEUS_MULTIPROC_DIR"]))
    process = Process(file, os.environ)

    @contextlib.asynccontextmanager
    async def lifespan(_: Router) -> AsyncIterator[dict[str, ListenerTimeouts]]:
        async with process.running():
            gc.collect()
            gc.freeze()  # else each full collection walks all that was imported: 50 ms, which is most of p99
            gc.set_threshold(GARBAGE)
            yield {STATE_KEY: process.listener_timeouts}

    public = Docs(process.gateway, lambda: process.gateway.plan.config, process.native, file.parent)
    entrance = Entrance(public, create_ops(process, ops_token), ops_port)
    return Router(default=entrance, redirect_slashes=False, lifespan=lifespan)

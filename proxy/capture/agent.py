"""Captures, in a shadow process, what orders ask for. Never in anybody's way: what cannot be kept is let go."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from proxy.capture.anonymizer import AnonymizerTerms, Unsuitable, step
from proxy.capture.jobs import CapturedExchange, CaptureJob, CaptureJobs
from proxy.capture.pseudonyms import Pseudonyms
from proxy.config.models import Config
from proxy.reports.events import ComparisonEvent, Entry
from proxy.runtime.database import Database, DatabaseError

logger = logging.getLogger("scribe_proxy")

INTERVAL: Final = 1.0
"""Seconds between two looks at the orders."""
WAITING: Final = 200
"""How many exchanges may wait to be kept."""


@dataclass(slots=True)
class _Work:
    """An order being carried out: `seen` counts exchanges by operation and status."""

    order: CaptureJob
    pseudonyms: Pseudonyms
    seen: Counter[tuple[str, str]] = field(default_factory=Counter)
    waiting: list[CapturedExchange] = field(default_factory=list)


class CaptureAgent:
    """`config` says which paths routes have. Without a database there is nothing to capture for."""

    def __init__(self, database: Database | None, config: Config) -> None:
        self._orders = CaptureJobs(database) if database is not None else None
        self._works: dict[str, _Work] = {}
        self._running: asyncio.Task[None] | None = None
        self._process = f"{socket.gethostname()}:{os.getpid()}"
        self.apply_config(config)

    def apply_config(self, config: Config) -> None:
        """Go on by a changed file."""
        self._templates = {route.name: route.pattern.path for route in config.routes}

    async def start(self) -> None:
        """Look for orders from now on."""
        if self._orders is not None:
            self._running = asyncio.create_task(self._run(self._orders))

    async def stop(self) -> None:
        """Look no more."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)

    def record(self, entry: Entry) -> None:
        """Captures what legacy answered, where it is asked for. Never waits and never raises."""
        if not isinstance(entry, ComparisonEvent):
            return
        for work in self._works.values():
            try:
                self._capture(work, entry)
            except Exception as error:
                logger.error("an exchange on %s could not be captured: %s", entry.route, type(error).__name__)

    def _capture(self, work: _Work, comparison: ComparisonEvent) -> None:
        order, legacy, operation = work.order, comparison.legacy, comparison.operation
        if time.time() >= order.until or (order.routes and comparison.route not in order.routes):
            return
        status = str(legacy.status) if legacy.outcome == "response" else legacy.outcome
        place = (operation.name if operation else comparison.route, status)
        if work.seen[place] >= order.each or len(work.waiting) >= WAITING:
            return
        template = operation.template if operation else self._templates.get(comparison.route, "/*")
        try:
            found = step(legacy, AnonymizerTerms(template, operation, order.named), work.pseudonyms)
        except Unsuitable as reason:
            logger.debug("not captured on %s: %s", comparison.route, reason)
            return
        work.seen[place] += 1
        work.waiting.append(CapturedExchange(*place, found))

    async def _run(self, orders: CaptureJobs) -> None:
        while True:
            try:
                await self._keep(orders)
                await self._look(orders)
            except DatabaseError:  # reports tell of it
                self._works.clear()
            await asyncio.sleep(INTERVAL)

    async def _look(self, orders: CaptureJobs) -> None:
        """Take up what is new, and leave what is over."""
        current = {order.id: order for order in await orders.current()}
        self._works = {name: work for name, work in self._works.items() if name in current}
        for name, order in current.items():
            if name not in self._works:
                self._works[name] = _Work(order, Pseudonyms(order.key, order.shift))
                await orders.take_up(order, self._process)

    async def _keep(self, orders: CaptureJobs) -> None:
        for work in self._works.values():
            waiting, work.waiting = work.waiting, []
            if waiting:
                await orders.keep(work.order, waiting)

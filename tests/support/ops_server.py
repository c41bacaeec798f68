"""A gateway process for tests of the ops pages, and a day of comparisons in a real MongoDB."""

from __future__ import annotations

import asyncio
import math
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path

import yaml
from pydantic import SecretStr, TypeAdapter

from proxy.comparison.exchange import Exchange
from proxy.comparison.exchanges import compare
from proxy.config.loading import load
from proxy.config.service_models import ReportSettings as Settings
from proxy.contract.divergences import Divergence
from proxy.contract.model import DeclaredAnswer, Operation
from proxy.contract.schemas import Schema
from proxy.database.database import Database
from proxy.gateway.gateway import Gateway
from proxy.gateway.request_record import RequestRecord
from proxy.gateway.snapshot import RoutingSnapshot
from proxy.observability.recent_failures import RecentFailures
from proxy.ops.fleet import Fleet
from proxy.ops.revocations import RevokedSessions
from proxy.ops.status import process_health
from proxy.reports import counter_keys
from proxy.reports.counters import CounterBatch, key
from proxy.reports.events import ComparisonEvent, Entry, ReplayEvent, SkippedEvent
from proxy.reports.redaction import Redactor
from proxy.reports.storage import Storage
from proxy.reports.writer import ReportWriter
from proxy.rollout.actions import promote, rollback
from proxy.rollout.analysis.route_stats import StatsRegistry
from proxy.rollout.controller import RolloutController
from proxy.rollout.in_force import ControllerHooks
from proxy.rollout.store import MemoryStore, Store
from proxy.runtime.config_watcher import ConfigWatcher
from proxy.server.memory_budget import MemoryBudget
from proxy.types import JSON, Backend
from tests.support.exchanges import answered, exchange, properties
from tests.support.waiting import HANG_TIMEOUT, until

PATIENT = "Agnes Nightingale"
KEY = "a-key-that-is-shared"
ROUTING = """\
legacy: {{url: "http://127.0.0.1:{port}"}}
native: tests.nowhere:app
overrides: {{secret: hunter2-hunter2-hunter2}}
ops: {{hosts: [testserver, ops]}}
routes:
  - {{name: users.login, match: POST /users/login, native: 100%}}
  - {{name: consultations.list, match: GET /api/consultations, native: 25%, shadow: 100%, guard: {{}}}}
  - {{name: notes.list, match: "GET /api/notes/{{id}}", native: 12.5%, group: notes, shadow: 50%}}
  - name: notes.create
    match: POST /api/notes/{{id}}
    native: 12.5%
    shadow: {{share: 5%, writes: dry_run}}
  - name: prompts.list
    match: GET /api/prompts
    shadow: 100%
    guard: {{}}
    rollout: {{stages: [1%, 10%, 50%, 100%], bake_time: 2h}}
  - {{name: transcription, match: WS /transcription-stream, pin: legacy}}
"""
NOTE = properties(
    _id={"type": "string"}, body={"type": "string"}, status={"enum": ["active", "archived"], "x-report": "show"}
)
NOTES = properties(notes={"type": "array", "items": NOTE}, count={"type": "integer"})
SERVED = (
    ("users.login", 0, 4),
    ("consultations.list", 6, 2),
    ("notes.list", 7, 1),
    ("notes.create", 14, 2),
    ("prompts.list", 2, 2),
    ("-", 3, 0),
)
"""Requests by route, of legacy and of native."""
Served = tuple[str, int, int, int]
SERVING: tuple[Served, ...] = (
    ("users.login", 6, 0, 0),
    ("consultations.list", 9, 28, 3),
    ("notes.list", 2, 14, 0),
    ("prompts.list", 3, 25, 0),
)
"""Requests a second by route: of native, of legacy, and of 20 of native's those that fail."""
DIVERGENCES = """\
- id: count-in-words
  operation: GET /api/notes/{id}
  legacy: counts in numbers
  native: counts in words
  reason: words are nicer
  since: 0.2.0
  when: {paths: [body.count]}
- id: login-wrong-password
  operation: POST /users/login
  legacy: never answers a wrong password
  native: '200 {"msg":"wrong credentials"}'
  reason: a client that waits for ever learns nothing, and holds a connection
  since: 0.1.0
  when: {legacy: {outcome: hang}}
"""
DECLARED_ONES = TypeAdapter(tuple[Divergence, ...]).validate_python(yaml.safe_load(DIVERGENCES))


@dataclass
class Stage:
    """The parts of a gateway process that the ops pages read."""

    gateway: Gateway
    watcher: ConfigWatcher
    controller: RolloutController
    stats: StatsRegistry
    native_started: bool = True
    shadow_ready: bool = False
    shadow_failures: int = 0
    database: Database | None = None
    failures: RecentFailures = field(default_factory=RecentFailures)

    @cached_property
    def fleet(self) -> Fleet:
        return Fleet(self.controller, self.failures, lambda: self.gateway.in_flight, partial(process_health, self))

    memory: MemoryBudget = field(default_factory=MemoryBudget)
    revoked_sessions: RevokedSessions = field(default_factory=lambda: RevokedSessions.of(None, os.environ))


async def nobody(*_: object) -> None:
    raise AssertionError("not asked")


def stage(directory: Path, port: int, text: str = ROUTING, store: Store | None = None) -> Stage:
    """Return a process for a file in the directory, with a legacy at the port. Its controller is not started."""
    file = directory / "routing.yaml"
    file.write_text(text.format(port=port))
    (directory / "contracts").mkdir(exist_ok=True)
    (directory / "contracts" / "divergences.yaml").write_text(DIVERGENCES)
    config = load(file, {})
    gateway, stats = Gateway(RoutingSnapshot.of(config, nobody, nobody)), StatsRegistry()
    controller = RolloutController(config, store or MemoryStore(), stats, ControllerHooks(apply=lambda _: None))
    return Stage(gateway, ConfigWatcher(file, {}, lambda _: None), controller, stats)


def serve_a_minute(stats: StatsRegistry, began: float, serving: Sequence[Served] = SERVING) -> None:
    """Count requests of both backends for one window from a monotonic time on; native becomes slower."""
    for slice_ in range(12):
        stats.advance(began + 5 * slice_)
        for route, native, legacy, failing in serving:
            for number in range(native * (5 + slice_ % 3)):
                status = 500 if number % 20 < failing else 200
                stats(_served(route, "native", status, 0.004 + 0.0004 * slice_ + 0.002 * (number % 7)))
            for number in range(legacy * (4 + slice_ % 3)):
                status = 404 if number % 50 == 0 else 200
                stats(_served(route, "legacy", status, 0.012 + 0.001 * (slice_ % 4) + 0.003 * (number % 9)))
    stats.advance(began + 60)


async def roll_out(staged: Stage) -> None:
    """Run two rollouts: one is promoted, one is capped by its guard, and a person caps a route."""
    controller = staged.controller
    prompts = staged.stats.of("prompts.list").route
    await controller.start()
    await until(lambda: controller.describe(prompts).state.stage is not None)
    await controller.act("prompts.list", promote, "Grace", "all quiet since Monday")
    await controller.act("notes.create", rollback(), "Ada", "notes came out twice, see the incident of this morning")
    serve_a_minute(staged.stats, time.monotonic())
    controller.evaluate()
    await _until_capped(controller.store)
    serve_a_minute(staged.stats, time.monotonic() + 60)


async def _until_capped(store: Store) -> None:
    async with asyncio.timeout(HANG_TIMEOUT):
        while (await store.history(1))[0].kind != "cap":
            await asyncio.sleep(0.01)


def contract(template: str = "/api/notes/{id}", method: str = "GET") -> Operation:
    """Return an operation whose answer is a list of notes."""
    declared = DeclaredAnswer(media={"application/json": Schema(NOTES)})
    return Operation(f"{method} {template}", method, template, {"200": declared}, {})


def compared(legacy: Exchange, native: Exchange, route: str = "notes.list", **more: object) -> ComparisonEvent:
    """Return the event of a comparison as the shadow process creates it."""
    operation = contract()
    verdict = compare(legacy, native, operation, DECLARED_ONES)
    return ComparisonEvent(route, operation, "legacy", verdict, legacy, native, **more)  # type: ignore[arg-type]


def notes(body: JSON = PATIENT, count: JSON = 2, **more: JSON) -> Exchange:
    """Return an answer with two notes."""
    first: JSON = {"_id": "64b7f0f0f0f0f0f0f0f0f0f0", "body": body, "status": "active", **more}
    second: JSON = {"_id": "64b7f0f0f0f0f0f0f0f0f0f1", "body": "short", "status": "archived"}
    listed: list[JSON] = [first, second]
    return answered({"notes": listed, "count": count}, target="/api/notes/64b7f0f0f0f0f0f0f0f0f0f2")


RENAMED = compared(notes(author="a"), notes(writer="a"))
TYPED = compared(notes(), notes(body=7))
DECLARED = compared(notes(), notes(count="two"))
MATCHING = compared(notes(), notes())
DRIFTING = compared(notes(count="many"), notes(count="many"))
DRY_RUN = compared(
    notes(),
    notes(body="another"),
    "notes.create",
    writes=[{"collection": "notes", "operation": "insert", "document": {"body": PATIENT, "tags": ["a", "b"]}}],
)
GONE = compared(notes(), exchange(outcome="gone"), "prompts.list")


async def store_a_day(database: Database) -> None:
    """Store a day of comparisons, fewer at night, with three faults that begin in the last hours, and samples."""
    storage, now = Storage(database), time.time()
    reports = ReportWriter(database, Settings(key=SecretStr(KEY), samples=2))
    for entry in (RENAMED, TYPED, DECLARED, DRIFTING, DRY_RUN, MATCHING):
        reports.record(entry)
    await reports.flush()
    for hours in range(24):
        await storage.add(_hour(now - 3600 * hours, hours))


def _hour(at: float, hours_ago: int) -> CounterBatch:
    tally = CounterBatch()
    requests = 60 + int(50 * math.cos(math.tau * (at / 86_400 - 0.55)))
    for route, factor in (("notes.list", 3), ("consultations.list", 5), ("prompts.list", 2), ("notes.create", 1)):
        tally.add(key("verdict", route=route, verdict="match"), at, requests * factor)
    for route, legacy, native in SERVED:
        tally.add(counter_keys.of_observation(_served(route, "legacy")), at, requests * legacy)
        tally.add(counter_keys.of_observation(_served(route, "native")), at, requests * native)
    _count(tally, MATCHING, at, 1)
    _count(tally, DECLARED, at, requests // 9)
    _count(tally, SkippedEvent("consultations.list", "legacy", "queue_full"), at, requests // 30)
    _count(tally, GONE, at, 2)
    if hours_ago < 5:
        _count(tally, RENAMED, at, requests // 6)
        _count(tally, TYPED, at, 3)
    if hours_ago == 7:
        _count(tally, DRIFTING, at, 4)
        _count(tally, DRY_RUN, at, 6)
    verdict = compare(notes(), notes(body="another"), contract())
    _count(tally, ReplayEvent("notes.list", contract(), verdict, notes(), notes(body="another")), at, 1)
    return tally


def _count(tally: CounterBatch, entry: Entry, at: float, number: int) -> None:
    if isinstance(entry, SkippedEvent):
        tally.add(key("skipped", route=entry.route, reason=entry.reason), at, number)
        return
    keys = counter_keys.of_replay if isinstance(entry, ReplayEvent) else counter_keys.of_comparison
    redactor = Redactor(KEY.encode(), entry.operation)
    for counted in keys(entry, redactor, lambda name: name):  # type: ignore[arg-type]
        tally.add(counted, at, number)


def _served(route: str, backend: Backend, status: int = 200, seconds: float = 0.1) -> RequestRecord:
    name = None if route == "-" else route
    return RequestRecord("id", "http", "GET", name, None, backend, "share", None, status, None, seconds, seconds)

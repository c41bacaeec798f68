"""A migration of 28 routes with one group rolled back, one blocked by missing evidence, and a refused file."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from demo.ports import free_port
from proxy.config.loading import parse
from proxy.config.models import Config
from proxy.rollout.store import Store
from tests.support.ops_server import Served, Stage, serve_a_minute, stage
from tests.support.waiting import HANG_TIMEOUT

GROUPS = {"users": 6, "consultations": 5, "transcripts": 2, "notes": 4, "prompts": 5, "ai": 4, "v1": 2}
SETTINGS = {
    "users": "native: 100%",
    "consultations": "shadow: 100%",
    "notes": "native: 25%, guard: {}",
    "prompts": "guard: {}, rollout: {stages: [10%, 50%, 100%], bake_time: 1s}",
    "v1": "native: 100%",
    "ai": "guard: {}, rollout: {stages: [1%, 25%, 50%, 100%], bake_time: 3d}",
}
SERVING: tuple[Served, ...] = (
    ("notes.0", 9, 28, 3),
    ("users.1", 6, 0, 0),
    ("consultations.0", 0, 14, 0),
    ("ai.0", 2, 8, 0),
)


def routing(groups: dict[str, int]) -> str:
    """Return a routing.yaml with as many routes in each group."""
    settings = [f"  {group}: {{{SETTINGS[group]}}}" for group in groups if group in SETTINGS]
    routes = [
        f'  - {{name: {group}.{number}, match: "GET /{group}/{number}", group: {group}}}'
        for group, count in groups.items()
        for number in range(count)
    ]
    head = [f"legacy: {{url: 'http://127.0.0.1:{free_port()}'}}", "native: tests.nowhere:app"]
    return "\n".join([*head, "ops: {hosts: [testserver]}", "groups:", *settings, "routes:", *routes, ""])


def board_config() -> Config:
    """Return the configuration of the 28 routes."""
    return parse(routing(GROUPS), {})


async def board_stage(directory: Path, groups: dict[str, int] | None = None, store: Store | None = None) -> Stage:
    """Return a process whose controller runs; the caller stops it."""
    text = routing(groups or GROUPS)
    staged = stage(directory, 0, text.replace("{", "{{").replace("}", "}}"), store)
    await staged.watcher.check()
    controller = staged.controller
    await controller.start()
    serve_a_minute(staged.stats, time.monotonic(), SERVING)
    controller.evaluate()
    async with asyncio.timeout(HANG_TIMEOUT):
        while not (controller.caps() and _waits_for_evidence(staged)):
            await asyncio.sleep(0.05)
    serve_a_minute(staged.stats, time.monotonic() + 60, SERVING)
    file = directory / "routing.yaml"
    file.write_text(text.replace("bake_time: 3d", "bake_tiem: 3d"))
    for _ in range(2):
        await staged.watcher.check()
    return staged


def _waits_for_evidence(staged: Stage) -> bool:
    progress = staged.controller.describe(staged.stats.of("prompts.0").route).progress
    return progress is not None and progress.waits == "evidence"
